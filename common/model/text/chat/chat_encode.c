/* A rendered text into tokens, and which of them are the assistant's. */
#include "base/mem.h"
#include "model/text/chat/chat.h"
#include "model/text/values/value_text.h"
#include <string.h>

static err_t encode(const struct tokenizer *tokenizer, const struct chat_text *text, size_t len,
                    int32_t **ret_ids, int *ret_count)
{
    size_t specials = text->specials;
    while (specials && text->special[specials - 1].at >= len)
        specials--;
    const struct tokenizer_text whole = {(const char *)text->text.data, len, text->special,
                                         specials, false};
    return tokenizer_encode(tokenizer, &whole, ret_ids, ret_count);
}

/* ---- where tokens begin in the text */

/* Whether a token's text stands at *at, where *at goes on behind it. A space before it may be the
 * tokenizer's own; spaces of the text may be gone, where an added token takes them. */
static bool stands(const struct chat_text *text, const struct bytes *token, size_t *at)
{
    const char *data = (const char *)text->text.data, *spelled = (const char *)token->data;
    const size_t left = text->text.len - *at;
    size_t len = token->len;
    if (len <= left && memcmp(data + *at, spelled, len) == 0) {
        *at += len;
        return true;
    }
    if (len && spelled[0] == ' ' && len - 1 <= left && !memcmp(data + *at, spelled + 1, len - 1)) {
        *at += len - 1;
        return true;
    }
    const size_t skipped = text_space_ahead(data + *at, left);
    if (skipped && len && len <= left - skipped && !memcmp(data + *at + skipped, spelled, len)) {
        *at += skipped + len;
        return true;
    }
    return false;
}

/* (*ret)[i]: where token i begins; [count]: the end. false: the tokens do not spell the text, as a
 * normalizer changes it. */
static err_t places(const struct tokenizer *tokenizer, const struct chat_text *text,
                    const int32_t *ids, int count, size_t *ret, bool *ret_known)
{
    SCOPED_VALUE(bytes) token = {0};
    size_t at = 0;
    *ret_known = true;
    for (int i = 0; *ret_known && i < count; i++) {
        bytes_clear(&token);
        TRY(tokenizer_decode_part(tokenizer, &ids[i], 1, false, &token));
        ret[i] = at;
        *ret_known = stands(text, &token, &at);
    }
    ret[count] = text->text.len;
    return OK;
}

/* ---- masks */

static void mask_by_places(const struct chat_text *text, const size_t *place, int count,
                           uint8_t *mask)
{
    size_t span = 0;
    for (int i = 0; i < count; i++) {
        while (span < text->generations &&
               text->generation[span].at + text->generation[span].len <= place[i])
            span++;
        mask[i] = span < text->generations && place[i + 1] > text->generation[span].at;
    }
}

/* How many tokens the text has before a byte, and whether a token ends there. */
static err_t tokens_before(const struct tokenizer *tokenizer, const struct chat_text *text,
                           size_t byte, const int32_t *ids, int count, int *ret, bool *ret_ends)
{
    SCOPED_MEM int32_t *before = NULL;
    int befores = 0, same = 0;
    TRY(encode(tokenizer, text, byte, &before, &befores));
    while (same < befores && same < count && before[same] == ids[same])
        same++;
    *ret = same;
    *ret_ends = same == befores;
    return OK;
}

/* Without places: a span's tokens begin where those of the text before it end. A token across its
 * end is one of them. */
static err_t mask_by_prefixes(const struct tokenizer *tokenizer, const struct chat_text *text,
                              const int32_t *ids, int count, uint8_t *mask)
{
    for (size_t i = 0; i < text->generations; i++) {
        const struct text_span *span = &text->generation[i];
        int begin, end;
        bool ends;
        TRY(tokens_before(tokenizer, text, span->at, ids, count, &begin, &ends));
        TRY(tokens_before(tokenizer, text, span->at + span->len, ids, count, &end, &ends));
        end += !ends && end < count;
        if (end > begin)
            memset(mask + begin, 1, (size_t)(end - begin));
    }
    return OK;
}

static err_t mask_of(const struct tokenizer *tokenizer, const struct chat_text *text,
                     const int32_t *ids, int count, uint8_t *mask)
{
    SCOPED_MEM size_t *place = mem_array((size_t)count + 1, sizeof *place);
    bool known;
    if (!text->generations)
        return OK;
    TRY(places(tokenizer, text, ids, count, place, &known));
    if (!known)
        return mask_by_prefixes(tokenizer, text, ids, count, mask);
    mask_by_places(text, place, count, mask);
    return OK;
}

err_t chat_encode(const struct tokenizer *tokenizer, const struct chat_text *text, const char *name,
                  int32_t **ret_ids, uint8_t **ret_mask, int *ret_count)
{
    SCOPED_MEM int32_t *ids = NULL;
    SCOPED_MEM uint8_t *mask = NULL;
    int count = 0;
    TRY(err_wrap(encode(tokenizer, text, text->text.len, &ids, &count), "%s", name));
    if (ret_mask) {
        mask = mem_array((size_t)count + 1, 1);
        TRY(err_wrap(mask_of(tokenizer, text, ids, count, mask), "%s", name));
        *ret_mask = STEAL(mask);
    }
    *ret_ids = STEAL(ids);
    *ret_count = count;
    return OK;
}
