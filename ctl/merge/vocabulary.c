#include "ctl/merge/vocabulary.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/printable.h"
#include <stdlib.h>
#include <string.h>

struct token {
    const void *bytes; // borrowed from its tokenizer
    size_t len;
    int32_t id;
};

static int by_bytes(const void *a, const void *b)
{
    const struct token *x = a, *y = b;
    const int order = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);
    return order ? order : x->len < y->len ? -1 : x->len > y->len;
}

static int by_bytes_and_id(const void *a, const void *b)
{
    const struct token *x = a, *y = b;
    const int order = by_bytes(a, b);
    return order ? order : x->id < y->id ? -1 : x->id > y->id;
}

/* Those below V, sorted, each once: the lowest id of equal bytes. Returns how many. */
static size_t list_tokens(const struct tokenizer *tokenizer, int V, struct token *ret)
{
    size_t count = 0, kept = 0;
    for (int id = 0; id < V; id++) {
        struct token token = {.id = id};
        token.bytes = tokenizer_token(tokenizer, id, &token.len);
        if (token.bytes)
            ret[count++] = token;
    }
    if (count)
        qsort(ret, count, sizeof *ret, by_bytes_and_id);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || by_bytes(&ret[kept - 1], &ret[i]))
            ret[kept++] = ret[i];
    return kept;
}

void merge_vocabulary_match(const struct tokenizer *ours, int V, const struct tokenizer *theirs,
                            int their_V, struct merge_vocabulary *ret)
{
    struct merge_vocabulary rows = {.V = V};
    SCOPED_MEM struct token *list = mem_array((size_t)their_V, sizeof *list);
    const size_t count = list_tokens(theirs, their_V, list);
    rows.at = mem_array((size_t)V, sizeof *rows.at);
    rows.has = mem_array((size_t)V, sizeof *rows.has);
    for (int id = 0; id < V; id++) {
        struct token key = {0};
        key.bytes = tokenizer_token(ours, id, &key.len);
        const struct token *found =
            key.bytes && count ? bsearch(&key, list, count, sizeof *list, by_bytes) : NULL;
        rows.at[id] = found ? found->id : -1;
        rows.has[id] = found;
        rows.shared += found != NULL;
    }
    *ret = rows;
}

/* As much of a token as a message has room for. */
static void put_token(const void *bytes, size_t len, struct bytes *ret)
{
    enum { SOME = 40 };
    printable(ret, bytes, len < SOME ? len : SOME, "");
    bytes_u8(ret, 0);
}

err_t merge_vocabulary_same(const struct tokenizer *ours, const char *our_name,
                            const struct tokenizer *theirs, const char *their_name)
{
    const int a = tokenizer_vocab(ours), b = tokenizer_vocab(theirs);
    for (int id = 0; id < a && id < b; id++) {
        size_t x_len = 0, y_len = 0;
        const void *x = tokenizer_token(ours, id, &x_len), *y = tokenizer_token(theirs, id, &y_len);
        if (!x || !y || (x_len == y_len && memcmp(x, y, x_len) == 0))
            continue;
        SCOPED_VALUE(bytes) here = {0}, there = {0};
        put_token(x, x_len, &here);
        put_token(y, y_len, &there);
        return err_new(ERR_INVALID,
                       "%s: token %d is '%s', in '%s' it is '%s': only doge_rm merges by token",
                       their_name, id, (const char *)there.data, our_name, (const char *)here.data);
    }
    return OK;
}

void merge_vocabulary_done(struct merge_vocabulary *rows)
{
    mem_free(rows->at);
    mem_free(rows->has);
}
