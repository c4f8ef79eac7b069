/* A tokenizer.json, a zero byte, and a text: what is accepted encodes it to ids that decode. */
#include "base/mem.h"
#include "model/text/tokenizer.h"
#include "testing/encode.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void decode(const struct tokenizer *tokenizer, const int32_t *ids, int count)
{
    SCOPED_VALUE(bytes) whole = {0}, part = {0};
    for (int i = 0; i < count; i++)
        must(ids[i] >= 0 && ids[i] < tokenizer_vocab(tokenizer));
    err_free(tokenizer_decode(tokenizer, ids, (size_t)count, false, &whole));
    err_free(tokenizer_decode_part(tokenizer, ids, (size_t)count, true, &part));
}

/* A text as data, bounded and not, and as a template's, in part and in whole. */
static void encode(const struct tokenizer *tokenizer, const char *text, size_t len)
{
    const struct text_span spans[] = {{0, len / 2}, {0, len}};
    SCOPED_MEM int32_t *bounded = mem_array(64 * len + 64, sizeof *bounded);
    for (size_t i = 0; i < 3; i++) {
        const struct tokenizer_text one = {text, len, i ? &spans[i - 1] : NULL, i > 0, true};
        SCOPED_MEM int32_t *ids = NULL;
        int count = -1;
        err_t e = tokenizer_encode(tokenizer, &one, &ids, &count);
        if (!err_failed(e))
            decode(tokenizer, ids, count);
        err_free(e);
    }
    int count = -1;
    err_t e = encode_text(tokenizer, text, len, (int)(64 * len + 64), bounded, &count);
    if (!err_failed(e))
        decode(tokenizer, bounded, count);
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    SCOPED(tokenizer) tokenizer = NULL;
    const uint8_t *zero = memchr(data, 0, len);
    const size_t json = zero ? (size_t)(zero - data) : len;
    err_t e = tokenizer_parse((const char *)data, json, NULL, 0, "fuzz", &tokenizer);
    if (!err_failed(e)) {
        must(tokenizer_vocab(tokenizer) > 0);
        if (zero)
            encode(tokenizer, (const char *)zero + 1, len - json - 1);
    }
    err_free(e);
    return 0;
}
