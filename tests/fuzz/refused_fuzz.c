/* Bytes of strangers, before they are known: the text of an identity, and the first bytes of a
 * client that is refused. */
#include "tls/refusal.h"
#include "tls/spiffe.h"
#include <stdlib.h>
#include <string.h>

/* An identity prints as it was read. */
static void identity(const uint8_t *data, size_t len)
{
    struct identity who;
    char text[IDENTITY_TEXT];
    const err_t e = identity_parse(data, len, &who);
    if (!err_failed(e)) {
        identity_print(&who, text);
        if (strlen(text) != len || memcmp(text, data, len) != 0)
            abort();
    }
    err_free(e);
}

/* The answer is the same however the bytes are cut, and is short. */
static void refused(const uint8_t *data, size_t len)
{
    enum { ANSWER_MAX = 2000 };
    struct bytes whole = {0}, cut = {0};
    struct refusal at_once = refusal_of("no"), byte_by_byte = at_once;
    refusal_take(&at_once, data, len, &whole);
    for (size_t i = 0; i < len; i++)
        refusal_take(&byte_by_byte, data + i, 1, &cut);
    if (whole.len != cut.len || whole.len > ANSWER_MAX || at_once.done != byte_by_byte.done ||
        (whole.len && memcmp(whole.data, cut.data, whole.len) != 0))
        abort();
    bytes_done(&whole);
    bytes_done(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    identity(data, len);
    refused(data, len);
    return 0;
}
