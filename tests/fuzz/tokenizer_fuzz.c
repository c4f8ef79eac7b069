/* A tokenizer.json, a zero byte, and a text: what is accepted encodes it to ids that decode. */
#include "base/mem.h"
#include "model/text/tokenizer.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void encode(const struct tokenizer *tokenizer, const char *text, size_t len)
{
    SCOPED_VALUE(bytes) back = {0};
    SCOPED_MEM int32_t *ids = mem_array(4 * len + 4, sizeof *ids);
    int count = -1;
    err_t e = tokenizer_encode(tokenizer, text, len, (int)(4 * len + 4), ids, &count);
    if (!err_failed(e)) {
        for (int i = 0; i < count; i++)
            must(ids[i] >= 0 && ids[i] < tokenizer_vocab(tokenizer));
        must(!err_failed(tokenizer_decode(tokenizer, ids, (size_t)count, false, &back)));
    }
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
