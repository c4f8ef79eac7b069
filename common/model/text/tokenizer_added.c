/* The added tokens of tokenizer.json. */
#include "base/mem.h"
#include "model/text/tokenizer_state.h"
#include <stdlib.h>
#include <string.h>

enum { ADDED_MAX = 1 << 16 };

static err_t read_flags(const json_t *token, const char *place, struct added *ret)
{
    TRY(json_get_bool_or(token, place, "special", &ret->special));
    ret->normalized = !ret->special;
    TRY(json_get_bool_or(token, place, "normalized", &ret->normalized));
    TRY(json_get_bool_or(token, place, "single_word", &ret->single_word));
    TRY(json_get_bool_or(token, place, "lstrip", &ret->lstrip));
    return json_get_bool_or(token, place, "rstrip", &ret->rstrip);
}

static err_t read_added(struct tokenizer *t, const json_t *token, size_t i, const char *name,
                        struct added *ret)
{
    SCOPED_MEM char *place = mem_printf("%s: added_tokens[%zu]", name, i);
    const char *content;
    int64_t id;
    if (!json_is_object(token))
        return tokenizer_refuse(name, "an added token", token, "an object");
    TRY(json_get_text(token, place, "content", &content));
    TRY(json_get_int(token, place, "id", 0, TOKENIZER_VOCAB_MAX - 1, &id));
    TRY(read_flags(token, place, ret));
    if (!*content || strlen(content) > TOKENIZER_TOKEN_BYTES_MAX)
        return tokenizer_refuse(place, "content", json_object_get(token, "content"),
                                "of 1 to 4096 bytes");
    SCOPED_VALUE(bytes) text = {0};
    uint64_t steps = REGEX_STEPS(strlen(content));
    if (ret->normalized)
        TRY(normal_run(&t->normal, content, strlen(content), &steps, &text));
    else
        bytes_text(&text, content);
    bytes_u8(&text, 0);
    ret->content = mem_string(content);
    ret->match = (char *)STEAL(text.data);
    ret->id = (int)id;
    return OK;
}

/* An added token may repeat one of the model's, under the same id, but may not rename another. */
static err_t check_added(const struct tokenizer *t, const json_t *vocab, const struct added *token,
                         const char *content, const char *name)
{
    const json_t *known = json_object_get(vocab, content);
    const int id = t->unigram ? bpe_find(t->bpe, content, strlen(content))
                   : known    ? (int)json_integer_value(known)
                              : -1;
    if (id >= 0 ? id != token->id : bpe_has(t->bpe, token->id))
        return err_new(ERR_INVALID,
                       "%s: added token '%.40s' has id %d, which model.vocab contradicts", name,
                       content, token->id);
    return OK;
}

static int added_order(const void *a, const void *b)
{
    const struct added *x = a, *y = b;
    if (x->normalized != y->normalized)
        return x->normalized - y->normalized;
    return strcmp(x->match, y->match);
}

static void put_find(struct tokenizer *t, enum added_stage stage, const char *text, int index)
{
    if (!t->find[stage])
        t->find[stage] = trie_new();
    if (*text)
        trie_put(t->find[stage], text, strlen(text), index);
}

static err_t index_added(struct tokenizer *t, const char *name)
{
    if (t->addeds)
        qsort(t->added, (size_t)t->addeds, sizeof *t->added, added_order);
    t->vocab = bpe_vocab(t->bpe);
    for (int i = 0; i < t->addeds; i++) {
        const struct added *added = &t->added[i];
        t->vocab = added->id >= t->vocab ? added->id + 1 : t->vocab;
        if (i && !added_order(added - 1, added))
            return err_new(ERR_INVALID, "%s: added token '%.40s' is given twice", name,
                           added->content);
        put_find(t, added->normalized ? ADDED_NORMALIZED : ADDED_RAW, added->match, i);
        if (added->normalized && added->special)
            put_find(t, ADDED_TEMPLATE, added->content, i);
    }
    t->added_of = mem_array((size_t)t->vocab, sizeof *t->added_of);
    memset(t->added_of, -1, (size_t)t->vocab * sizeof *t->added_of);
    for (int i = 0; i < t->addeds; i++) {
        int id = t->added[i].id;
        if (t->added_of[id] >= 0)
            return err_new(ERR_INVALID, "%s: added_tokens: id %d is given twice, to '%.40s'", name,
                           id, t->added[i].content);
        t->added_of[id] = i;
    }
    return OK;
}

err_t tokenizer_read_added(struct tokenizer *t, const json_t *json, const char *name)
{
    const json_t *list = json_object_get(json, "added_tokens"), *token;
    const json_t *vocab = json_object_get(json_object_get(json, "model"), "vocab");
    if (list && !json_is_null(list) && (!json_is_array(list) || json_array_size(list) > ADDED_MAX))
        return err_new(ERR_INVALID, "%s: added_tokens must be an array of at most %d", name,
                       ADDED_MAX);
    t->added = mem_array(json_array_size(list), sizeof *t->added);
    size_t i;
    json_array_foreach (list, i, token) {
        TRY(read_added(t, token, i, name, &t->added[i]));
        t->addeds++;
        TRY(check_added(t, vocab, &t->added[i],
                        json_string_value(json_object_get(token, "content")), name));
    }
    return index_added(t, name);
}
