/* Words into tokens: BPE over bytes, BPE over characters, Unigram. */
#include "base/mem.h"
#include "model/text/tokenizer_state.h"
#include <limits.h>
#include <string.h>

enum { WORD_STACK = 256 };

err_t tokenizer_put_ids(struct id_list *list, const int32_t *ids, int count)
{
    if (count > INT_MAX / 4 - list->count)
        return err_new(ERR_RANGE, "the text has more than %d tokens", INT_MAX / 4);
    if (count > list->room - list->count) {
        list->room = 2 * (list->count + count) + 64;
        list->ids = mem_grow(list->ids, (size_t)list->room, sizeof *list->ids);
    }
    if (count)
        memcpy(list->ids + list->count, ids, (size_t)count * sizeof *ids);
    list->count += count;
    return OK;
}

/* The error for a character that the model lacks. */
static err_t no_token(const char *text, size_t len)
{
    return err_new(ERR_INVALID, "the tokenizer's vocabulary has no token for '%.*s'", (int)len,
                   text);
}

static err_t word_bytes(const struct tokenizer *t, struct id_list *list, const char *word,
                        size_t len)
{
    int32_t stack[WORD_STACK];
    SCOPED_MEM int32_t *memory = len > WORD_STACK ? mem_array(len, sizeof *memory) : NULL;
    int32_t *ids = memory ? memory : stack;
    size_t count = 0;
    for (size_t i = 0; i < len; i++) {
        ids[count] = bpe_byte(t->bpe, (uint8_t)word[i]);
        if (ids[count] < 0 && !list->drops)
            return err_new(ERR_INVALID,
                           "the tokenizer's vocabulary has no token for byte 0x%02x ('%c')",
                           (uint8_t)word[i], word[i] > ' ' && word[i] < 0x7f ? word[i] : '?');
        count += ids[count] >= 0;
    }
    return tokenizer_put_ids(list, ids, bpe_word(t->bpe, ids, count));
}

/* Tokens of the bytes, if each has one. */
static bool fall_back(const struct tokenizer *t, const char *text, size_t len, int32_t *ids,
                      size_t *count)
{
    bool all = t->falls_back;
    for (size_t i = 0; i < len && all; i++)
        all = t->fallback[(uint8_t)text[i]] >= 0;
    for (size_t i = 0; i < len && all; i++)
        ids[(*count)++] = t->fallback[(uint8_t)text[i]];
    return all;
}

/* Symbols of characters. An unknown one waits for the next that is known, as in `tokenizers`. */
static err_t symbols(const struct tokenizer *t, bool drops, const char *word, size_t len,
                     int32_t *ids, size_t *ret_count)
{
    size_t count = 0;
    bool waits = false;
    uint32_t code;
    for (size_t at = 0, bytes; at < len; at += bytes) {
        bytes = (size_t)unicode_next(word + at, len - at, &code);
        const int id =
            bytes == 1 ? bpe_byte(t->bpe, (uint8_t)word[at]) : bpe_find(t->bpe, word + at, bytes);
        if (id < 0 && fall_back(t, word + at, bytes, ids, &count))
            continue;
        if (id < 0 && t->unk < 0) {
            if (!drops)
                return no_token(word + at, bytes);
            continue;
        }
        if (waits && (id >= 0 || !t->fuse_unk))
            ids[count++] = t->unk;
        waits = id < 0;
        if (id >= 0)
            ids[count++] = id;
    }
    if (waits)
        ids[count++] = t->unk;
    *ret_count = count;
    return OK;
}

static err_t word_characters(const struct tokenizer *t, struct id_list *list, const char *word,
                             size_t len)
{
    int32_t stack[WORD_STACK];
    SCOPED_MEM int32_t *memory = len > WORD_STACK ? mem_array(len, sizeof *memory) : NULL;
    int32_t *ids = memory ? memory : stack;
    size_t count = 0;
    TRY(symbols(t, list->drops, word, len, ids, &count));
    return tokenizer_put_ids(list, ids, bpe_word(t->bpe, ids, count));
}

/* A piece that Unigram does not know may be a token all the same, which its score kept out. */
static err_t put_unknown(const struct tokenizer *t, struct id_list *list, const char *text,
                         size_t len)
{
    const int id = bpe_find(t->bpe, text, len);
    if (id >= 0 && !tokenizer_is_special(t, id))
        return tokenizer_put_ids(list, &(int32_t){id}, 1);
    SCOPED_MEM int32_t *ids = mem_array(len, sizeof *ids);
    size_t count = 0;
    if (fall_back(t, text, len, ids, &count))
        return tokenizer_put_ids(list, ids, (int)count);
    return t->unk < 0 ? no_token(text, len) : tokenizer_put_ids(list, &(int32_t){t->unk}, 1);
}

static err_t word_unigram(const struct tokenizer *t, struct id_list *list, const char *word,
                          size_t len)
{
    struct unigram_piece few[WORD_STACK];
    SCOPED_MEM struct unigram_piece *many = len > WORD_STACK ? mem_array(len, sizeof *many) : NULL;
    struct unigram_piece *piece = many ? many : few;
    const int count = unigram_word(t->unigram, word, len, piece);
    for (int i = 0; i < count; i++) {
        const struct unigram_piece *p = &piece[i];
        TRY(p->id >= 0 ? tokenizer_put_ids(list, &(int32_t){p->id}, 1)
                       : put_unknown(t, list, word + p->begin, p->end - p->begin));
    }
    return OK;
}

err_t tokenizer_word(const struct tokenizer *t, struct id_list *list, const char *word, size_t len)
{
    const int whole = t->ignore_merges ? bpe_find(t->bpe, word, len) : -1;
    if (whole >= 0 && !tokenizer_is_special(t, whole))
        return tokenizer_put_ids(list, &(int32_t){whole}, 1);
    if (t->unigram)
        return word_unigram(t, list, word, len);
    return t->byte_level ? word_bytes(t, list, word, len) : word_characters(t, list, word, len);
}
