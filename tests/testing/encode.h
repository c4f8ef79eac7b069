/* The tokens of a text into an array. */
#pragma once
#include "base/mem.h"
#include "model/text/tokenizer.h"

/* Text from data. ret_ids (max). RANGE: it has more tokens. */
static inline err_t encode_text(const struct tokenizer *tokenizer, const char *text, size_t len,
                                int max, int32_t *ret_ids, int *ret_count)
{
    SCOPED_MEM int32_t *ids = NULL;
    int count = 0;
    TRY(tokenizer_encode_row(tokenizer, text, len, false, &ids, &count));
    if (count > max)
        return err_new(ERR_RANGE, "%d tokens instead of %d", count, max);
    for (int i = 0; i < count; i++)
        ret_ids[i] = ids[i];
    *ret_count = count;
    return OK;
}
