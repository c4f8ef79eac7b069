/* tokenizer.json's post_processor: the tokens before and behind a text. */
#include "base/mem.h"
#include "model/text/tokenizer_state.h"
#include <string.h>

enum { AROUND_MAX = 64, NESTING_MAX = 4 };

/* Tokens that one step adds. */
struct around {
    int32_t before[AROUND_MAX], after[AROUND_MAX];
    int befores, afters;
};

static bool is_type(const json_t *step, const char *type)
{
    const char *found = json_string_value(json_object_get(step, "type"));
    return found && !strcmp(found, type);
}

static err_t put_id(const struct tokenizer *t, const json_t *id, const char *name, const char *path,
                    bool behind, struct around *ret)
{
    int *count = behind ? &ret->afters : &ret->befores;
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= t->vocab ||
        !tokenizer_has(t, (int)json_integer_value(id)) || *count == AROUND_MAX)
        return tokenizer_refuse(name, path, id, "the id of a token, of at most 64");
    (behind ? ret->after : ret->before)[(*count)++] = (int32_t)json_integer_value(id);
    return OK;
}

/* The ids of special_tokens[id] for each {"SpecialToken": {"id": id}} around {"Sequence": ...}. */
static err_t read_template(const struct tokenizer *t, const json_t *step, const char *name,
                           const char *path, struct around *ret)
{
    const json_t *single = json_object_get(step, "single"), *piece, *id;
    SCOPED_MEM char *where = mem_printf("%s.single", path);
    bool behind = false;
    size_t i, k;
    if (!json_is_array(single))
        return tokenizer_refuse(name, where, single, "an array of SpecialToken and Sequence");
    json_array_foreach (single, i, piece) {
        const json_t *special = json_object_get(piece, "SpecialToken");
        const char *token = json_string_value(json_object_get(special, "id"));
        if (json_object_get(piece, "Sequence") && !behind) {
            behind = true;
            continue;
        }
        const json_t *ids = json_object_get(
            token ? json_object_get(json_object_get(step, "special_tokens"), token) : NULL, "ids");
        if (!json_is_array(ids))
            return tokenizer_refuse(name, where, piece,
                                    "one Sequence, or a SpecialToken of special_tokens");
        json_array_foreach (ids, k, id)
            TRY(put_id(t, id, name, where, behind, ret));
    }
    return behind ? OK : tokenizer_refuse(name, where, single, "an array with a Sequence");
}

/* "cls": [token, id] before, "sep" behind. */
static err_t read_pair(const struct tokenizer *t, const json_t *step, const char *name,
                       const char *path, struct around *ret)
{
    TRY(put_id(t, json_array_get(json_object_get(step, "cls"), 1), name, path, false, ret));
    return put_id(t, json_array_get(json_object_get(step, "sep"), 1), name, path, true, ret);
}

/* Tokens of a later step lie outside. */
static void put_around(struct tokenizer *t, const struct around *around)
{
    int32_t *before = mem_array((size_t)(around->befores + t->befores) + 1, sizeof *before);
    memcpy(before, around->before, (size_t)around->befores * sizeof *before);
    if (t->befores)
        memcpy(before + around->befores, t->before, (size_t)t->befores * sizeof *before);
    mem_free(t->before);
    t->before = before;
    t->befores += around->befores;
    t->after = mem_grow(t->after, (size_t)(t->afters + around->afters) + 1, sizeof *t->after);
    memcpy(t->after + t->afters, around->after, (size_t)around->afters * sizeof *t->after);
    t->afters += around->afters;
}

static err_t read_step(struct tokenizer *t, const json_t *step, const char *name, const char *path,
                       int depth)
{
    struct around around = {.befores = 0};
    if (is_type(step, "Sequence") && depth < NESTING_MAX) {
        const json_t *steps = json_object_get(step, "processors");
        if (!json_is_array(steps) || json_array_size(steps) > 8)
            return tokenizer_refuse(name, path, step, "a Sequence of at most 8 processors");
        for (size_t i = 0; i < json_array_size(steps); i++) {
            SCOPED_MEM char *inner = mem_printf("%s.processors[%zu]", path, i);
            TRY(read_step(t, json_array_get(steps, i), name, inner, depth + 1));
        }
        return OK;
    }
    if (is_type(step, "TemplateProcessing"))
        TRY(read_template(t, step, name, path, &around));
    else if (is_type(step, "RobertaProcessing") || is_type(step, "BertProcessing"))
        TRY(read_pair(t, step, name, path, &around));
    else if (!is_type(step, "ByteLevel")) // which changes offsets only
        return tokenizer_refuse(name, path, step,
                                "null, ByteLevel, TemplateProcessing, RobertaProcessing, "
                                "BertProcessing or a Sequence");
    put_around(t, &around);
    return OK;
}

err_t tokenizer_read_post(struct tokenizer *t, const json_t *json, const char *name)
{
    const json_t *post = json_object_get(json, "post_processor");
    return post && !json_is_null(post) ? read_step(t, post, name, "post_processor", 0) : OK;
}
