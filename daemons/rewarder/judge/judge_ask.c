#include "rewarder/judge/judge_ask.h"
#include "base/mem.h"
#include "model/text/rows/comparison.h"
#include "rewarder/scorer.h"
#include <string.h>

enum { VARIABLES = 7 };

/* ---- what a template sees */

static err_t text_of(const struct group *group, const json_t *row, const struct judge *judge,
                     uint32_t which, json_t **ret)
{
    struct text_slice column;
    if (which != QUESTION_COLUMN)
        return exchange_text(&group->completion[which], which, ret);
    TRY(scorer_column(row, judge->keys->column, &column));
    *ret = json_stringn(column.data, column.len);
    return OK;
}

/* The same one for all completions of a group. */
static const char *principle_of(const struct judge *judge, const struct group *group)
{
    const struct recipe_texts *all = &judge->keys->principles;
    const uint64_t hash = hash64(group->id.byte, sizeof group->id.byte, 0);
    return all->count ? all->at[hash % all->count] : "";
}

static err_t variables_of(const struct judge *judge, const struct group *group, const json_t *row,
                          const struct question *question, json_t *ret)
{
    json_t *messages, *first, *second;
    TRY(exchange_prompt_messages(judge->exchange, row, &messages));
    json_object_set_new(ret, "messages", messages);
    json_object_set_new(ret, "prompt", comparison_told(messages));
    json_object_set(ret, "row", (json_t *)row);
    json_object_set_new(ret, "principle", json_string(principle_of(judge, group)));
    TRY(text_of(group, row, judge, question->first, &first));
    if (question->second == QUESTION_NONE) {
        json_object_set_new(ret, "completion", first);
        return OK;
    }
    json_object_set_new(ret, question->swapped ? "second" : "first", first);
    TRY(text_of(group, row, judge, question->second, &second));
    json_object_set_new(ret, question->swapped ? "first" : "second", second);
    return OK;
}

static err_t render(const struct template *template, json_t *variables, json_t **ret)
{
    struct template_variable variable[VARIABLES];
    SCOPED_VALUE(template_text) text = {0};
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach (variables, name, value) {
        variable[count++] = (struct template_variable){.name = name, .value = value, .data = true};
    }
    TRY(template_render(template, &(struct template_input){variable, count}, &text));
    *ret = json_stringn(text.data ? text.data : "", text.len);
    return *ret ? OK : err_new(ERR_INVALID, "template: its text is not UTF-8");
}

/* ---- the request */

static void put_sampling(const struct judge *judge, const char *content, int64_t vote, json_t *ret)
{
    const struct judge_keys *keys = judge->keys;
    const bool logprobs = keys->verdict == VERDICT_LOGPROBS;
    const int64_t most = keys->max_tokens ? keys->max_tokens : logprobs ? 1 : 512;
    const uint64_t seed = hash64(content, strlen(content), (uint64_t)vote) & INT32_MAX;
    json_object_set_new(ret, "temperature", json_real(keys->temperature));
    json_object_set_new(ret, "max_tokens", json_integer(most));
    json_object_set_new(ret, "seed", json_integer((json_int_t)seed));
    if (!logprobs)
        return;
    json_object_set_new(ret, "logprobs", json_true());
    json_object_set_new(ret, "top_logprobs", json_integer(keys->top_logprobs));
}

static void add_message(json_t *messages, const char *role, json_t *content)
{
    json_array_append_new(messages, json_pack("{s:s, s:O}", "role", role, "content", content));
}

err_t judge_ask(const struct judge *judge, const struct group *group, const json_t *row,
                const struct question *question, char **ret)
{
    SCOPED_JSON json_t *variables = json_object(), *preface = NULL, *user = NULL;
    SCOPED_JSON json_t *request = json_object();
    TRY(variables_of(judge, group, row, question, variables));
    TRY(render(judge->template, variables, &user));
    if (judge->system_prompt)
        TRY(render(judge->system_prompt, variables, &preface));
    json_t *messages = json_array();
    if (preface)
        add_message(messages, "system", preface);
    add_message(messages, "user", user);
    if (*judge->keys->model)
        json_object_set_new(request, "model", json_string(judge->keys->model));
    json_object_set_new(request, "messages", messages);
    put_sampling(judge, json_string_value(user), question->vote, request);
    if (judge->extra)
        json_object_update(request, judge->extra);
    *ret = json_to_text(request);
    return OK;
}
