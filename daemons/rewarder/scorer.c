#include "rewarder/scorer.h"
#include "base/bytes.h"
#include <string.h>

enum { KEYS_SHOWN = 200 }; // bytes of a message's list of columns

void scorer_each(struct stage_call *call,
                 err_t (*score)(const void *state, const struct scorer_sample *sample, double *ret),
                 const void *state)
{
    const struct group *group = call->group;
    double *to = group_add(call->added, COLUMN_SCORES, 1);
    err_t failed = OK;
    for (uint32_t i = 0; i < group->completions && !err_failed(failed); i++) {
        const struct completion *completion = &group->completion[i];
        const struct scorer_sample sample = {.row = call->row,
                                             .text = completion->text,
                                             .text_len = completion->text_len,
                                             .finish = completion->finish,
                                             .tokens = completion->tokens,
                                             .stop = call->stop};
        failed = err_wrap(score(state, &sample, &to[i]), "completion %u", i);
    }
    call->done(call, failed);
}

/* ---- the dataset's row */

static const char *json_type_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "a boolean",
        [JSON_FALSE] = "a boolean",  [JSON_NULL] = "null",
    };
    return names[json_typeof(value)];
}

/* "'prompt', 'completion'", cut where it gets long; control characters become '?', so a row cannot
 * break the log. */
static void list_columns(const json_t *row, struct bytes *ret)
{
    for (void *it = json_object_iter((json_t *)row); it;
         it = json_object_iter_next((json_t *)row, it)) {
        if (ret->len > KEYS_SHOWN) {
            bytes_text(ret, ", ...");
            break;
        }
        bytes_printf(ret, "%s'%.60s'", ret->len ? ", " : "", json_object_iter_key(it));
    }
    if (!ret->len)
        bytes_text(ret, "none");
    for (size_t i = 0; i < ret->len; i++)
        if (ret->data[i] < 0x20 || ret->data[i] == 0x7f)
            ret->data[i] = '?';
}

err_t scorer_column(const json_t *row, const char *column, struct text_slice *ret)
{
    const json_t *value = json_object_get(row, column);
    if (!value) {
        SCOPED_VALUE(bytes) columns = {0};
        list_columns(row, &columns);
        return err_new(ERR_INVALID, "the row has no column '%s'; it has %s", column,
                       (const char *)columns.data);
    }
    if (!json_is_string(value))
        return err_new(ERR_INVALID, "the row's column '%s' is %s; text is needed", column,
                       json_type_name(value));
    *ret = (struct text_slice){json_string_value(value), json_string_length(value)};
    return OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct text_slice scorer_strip(struct text_slice text)
{
    while (text.len && is_space(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len && is_space(text.data[text.len - 1]))
        text.len--;
    return text;
}

bool scorer_same(struct text_slice a, struct text_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
