#include "rewarder/scorer.h"
#include "base/bytes.h"
#include <string.h>

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
                                             .stop = call->stop,
                                             .deadline_s = call->deadline_s};
        failed = err_wrap(score(state, &sample, &to[i]), "completion %u", i);
    }
    call->done(call, failed);
}

/* ---- the dataset's row */

err_t scorer_column(const json_t *row, const char *column, struct text_slice *ret)
{
    const json_t *value = json_object_get(row, column);
    if (!value) {
        SCOPED_VALUE(bytes) columns = {0};
        json_put_keys(row, &columns);
        return err_new(ERR_INVALID, "the row has no column '%s'; it has %s", column,
                       (const char *)columns.data);
    }
    if (json_array_size(value) == 1) // the answer as a message
        value = json_object_get(json_array_get(value, 0), "content");
    if (!json_is_string(value))
        return err_new(ERR_INVALID,
                       "the row's column '%s' is %s; text, or a list of one message, is needed",
                       column, json_type_name(json_object_get(row, column)));
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
