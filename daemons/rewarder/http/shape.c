#include "rewarder/http/shape.h"
#include "base/mem.h"
#include "model/text/rows/row_text.h"
#include "rewarder/answer_fault.h"
#include <string.h>

/* ---- what several have */

static err_t string_of(const struct bytes *text, const char *name, json_t **ret)
{
    json_t *string = json_stringn(text->data ? (const char *)text->data : "", text->len);
    if (!string)
        return err_new(ERR_INVALID, "%s: not UTF-8", name);
    *ret = string;
    return OK;
}

static err_t prompt_of(const struct shape_context *context, const json_t *row, json_t **ret)
{
    SCOPED_VALUE(bytes) text = {0};
    TRY(exchange_prompt_text(context->exchange, row, &text));
    return string_of(&text, "the prompt", ret);
}

/* The label as the row has it; "" where it has none. */
static json_t *label_of(const struct shape_context *context, const json_t *row)
{
    json_t *label = json_object_get(row, context->keys->label_column);
    return label ? json_incref(label) : json_string("");
}

/* By the reward model's own template, as verl does. */
static err_t by_template(const struct shape_context *context, const json_t *row, json_t *text,
                         json_t **ret)
{
    static const struct row_kind kind = {.format = ROW_COMPLETION, .chat = true};
    struct row_rules rules = *context->rules;
    SCOPED_VALUE(row_texts) texts = {0};
    json_t *messages;
    TRY(exchange_prompt_messages(context->exchange, row, &messages));
    rules.chat = context->chat;
    rules.names = (struct row_names){.prompt = "prompt", .completion = "completion"};
    SCOPED_JSON json_t *whole = json_pack("{s:o, s:[{s:s, s:O}]}", "prompt", messages, "completion",
                                          "role", "assistant", "content", text);
    TRY(row_texts_of(&rules, whole, "row", &kind, &texts));
    return string_of(&texts.whole[0].text, "template", ret);
}

/* Prompt and completion as one text. */
static err_t whole_of(const struct shape_context *context, const struct group *group,
                      const json_t *row, uint32_t i, json_t **ret)
{
    SCOPED_JSON json_t *text = NULL;
    SCOPED_VALUE(bytes) whole = {0};
    TRY(exchange_text(&group->completion[i], i, &text));
    if (context->chat)
        return by_template(context, row, text, ret);
    TRY(exchange_prompt_text(context->exchange, row, &whole));
    bytes_put(&whole, group->completion[i].text, group->completion[i].text_len);
    return string_of(&whole, "prompt and completion", ret);
}

static err_t member(const json_t *answer, const char *key, const json_t **ret)
{
    *ret = json_object_get(answer, key);
    if (*ret)
        return OK;
    if (!json_is_object(answer))
        return answer_fault(ANSWER_NO_SCORES, "the answer is %s; an object with '%s' is needed",
                            json_type_name(answer), key);
    SCOPED_VALUE(bytes) keys = {0};
    json_put_keys(answer, &keys);
    return answer_fault(ANSWER_NO_SCORES, "no '%s'; the answer has %s", key,
                        keys.len ? (const char *)keys.data : "nothing");
}

/* ---- rlhfd */

static err_t rlhfd_ask(const struct shape_context *context, const struct group *group,
                       const json_t *row, const struct exchange_part *part, json_t **ret)
{
    return exchange_group(context->exchange, group, row, part, ret);
}

static err_t rlhfd_read(const struct shape_context *context, const json_t *request,
                        const json_t *answer, size_t count, double *ret)
{
    (void)context;
    const json_t *id, *scores;
    TRY(member(answer, "id", &id));
    if (!json_equal(id, json_object_get(request, "id"))) {
        SCOPED_MEM char *got = json_to_text(id);
        return answer_fault(ANSWER_WRONG_ID, "id is %.60s; '%s' was asked", got ? got : "?",
                            json_string_value(json_object_get(request, "id")));
    }
    TRY(member(answer, "scores", &scores));
    return exchange_scores(scores, "scores", count, ret, NULL);
}

/* ---- OpenRLHF: --reward.remote_url */

static err_t openrlhf_ask(const struct shape_context *context, const struct group *group,
                          const json_t *row, const struct exchange_part *part, json_t **ret)
{
    SCOPED_JSON json_t *prompt = NULL, *label = label_of(context, row);
    SCOPED_JSON json_t *query = json_array(), *prompts = json_array(), *labels = json_array();
    TRY(prompt_of(context, row, &prompt));
    for (uint32_t i = part->first; i < part->first + part->count; i++) {
        json_t *whole;
        TRY(whole_of(context, group, row, i, &whole));
        json_array_append_new(query, whole);
        json_array_append(prompts, prompt);
        json_array_append(labels, label);
    }
    *ret = json_pack("{s:O, s:O, s:O}", "query", query, "prompts", prompts, "labels", labels);
    return OK;
}

static err_t openrlhf_read(const struct shape_context *context, const json_t *request,
                           const json_t *answer, size_t count, double *ret)
{
    (void)context;
    (void)request;
    const json_t *rewards;
    TRY(member(answer, "rewards", &rewards));
    return exchange_scores(rewards, "rewards", count, ret, NULL);
}

/* ---- slime: --rm-url */

static err_t slime_ask(const struct shape_context *context, const struct group *group,
                       const json_t *row, const struct exchange_part *part, json_t **ret)
{
    SCOPED_JSON json_t *prompt = NULL, *response = NULL;
    TRY(prompt_of(context, row, &prompt));
    TRY(exchange_text(&group->completion[part->first], part->first, &response));
    *ret = json_pack("{s:O, s:O, s:o}", "prompt", prompt, "response", response, "label",
                     label_of(context, row));
    return OK;
}

/* The answer is the score; with score_key that member of it. */
static err_t slime_read(const struct shape_context *context, const json_t *request,
                        const json_t *answer, size_t count, double *ret)
{
    const char *key = context->keys->score_key;
    (void)request;
    (void)count;
    if (*key)
        TRY(member(answer, key, &answer));
    return exchange_score(answer, *key ? key : "the answer", ret);
}

/* ---- verl's reward models: vLLM's /classify, SGLang's /v1/embeddings */

static err_t inputs_of(const struct shape_context *context, const struct group *group,
                       const json_t *row, const struct exchange_part *part, json_t **ret)
{
    SCOPED_JSON json_t *list = json_array();
    for (uint32_t i = part->first; i < part->first + part->count; i++) {
        json_t *whole;
        TRY(whole_of(context, group, row, i, &whole));
        json_array_append_new(list, whole);
    }
    *ret = json_incref(part->count == 1 ? json_array_get(list, 0) : list);
    return OK;
}

static err_t classify_ask(const struct shape_context *context, const struct group *group,
                          const json_t *row, const struct exchange_part *part, json_t **ret)
{
    json_t *input;
    TRY(inputs_of(context, group, row, part, &input));
    *ret = json_pack("{s:s, s:o, s:b}", "model", context->keys->model, "input", input,
                     "use_activation", 0);
    return OK;
}

static err_t embeddings_ask(const struct shape_context *context, const struct group *group,
                            const json_t *row, const struct exchange_part *part, json_t **ret)
{
    json_t *input;
    TRY(inputs_of(context, group, row, part, &input));
    *ret = json_pack("{s:s, s:o}", "model", context->keys->model, "input", input);
    return OK;
}

/* The entry of input i: by its index where it has one. */
static const json_t *entry_of(const json_t *data, size_t i)
{
    for (size_t k = 0; k < json_array_size(data); k++) {
        const json_t *entry = json_array_get(data, k);
        const json_t *index = json_object_get(entry, "index");
        if (json_is_integer(index) ? json_integer_value(index) == (json_int_t)i : k == i)
            return entry;
    }
    return NULL;
}

/* The last number of each entry's list. */
static err_t last_of_each(const json_t *answer, const char *key, size_t count, double *ret)
{
    const json_t *data, *list;
    SCOPED_MEM double *score = mem_array(count, sizeof *score);
    TRY(member(answer, "data", &data));
    const size_t got = json_array_size(data);
    if (got != count)
        return answer_fault(got < count ? ANSWER_SHORT_LIST : ANSWER_LONG_LIST,
                            "data has %zu entries for %zu completions", got, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = entry_of(data, i);
        if (!entry)
            return answer_fault(ANSWER_NO_SCORES, "data has no entry of index %zu", i);
        TRY(member(entry, key, &list));
        if (!json_array_size(list))
            return answer_fault(ANSWER_NO_SCORES, "data[%zu].%s is no list with a number", i, key);
        TRY(exchange_score(json_array_get(list, json_array_size(list) - 1), key, &score[i]));
    }
    memcpy(ret, score, count * sizeof *score);
    return OK;
}

static err_t classify_read(const struct shape_context *context, const json_t *request,
                           const json_t *answer, size_t count, double *ret)
{
    (void)context;
    (void)request;
    return last_of_each(answer, "probs", count, ret);
}

static err_t embeddings_read(const struct shape_context *context, const json_t *request,
                             const json_t *answer, size_t count, double *ret)
{
    (void)context;
    (void)request;
    return last_of_each(answer, "embedding", count, ret);
}

/* ---- NeMo-Gym: /verify of a resources server */

/* A response as OpenAI's Responses API has it. */
static json_t *response_of(const struct shape_context *context, const struct group *group,
                           json_t *text, uint32_t i)
{
    char hex[DIGEST_TEXT], id[DIGEST_TEXT + 20], message[DIGEST_TEXT + 20];
    snprintf(id, sizeof id, "resp_%s_%u", digest_text(&group->id, hex), i);
    snprintf(message, sizeof message, "msg_%s_%u", hex, i);
    return json_pack("{s:s, s:i, s:s, s:s, s:[{s:s, s:s, s:s, s:s, s:[{s:s, s:O, s:[]}]}], s:b, "
                     "s:s, s:[]}",
                     "id", id, "created_at", 0, "model", context->keys->model, "object", "response",
                     "output", "id", message, "type", "message", "role", "assistant", "status",
                     "completed", "content", "type", "output_text", "text", text, "annotations",
                     "parallel_tool_calls", 0, "tool_choice", "auto", "tools");
}

/* The row's columns but for the prompt are the request's members, as in its data sets. */
static err_t nemo_gym_ask(const struct shape_context *context, const struct group *group,
                          const json_t *row, const struct exchange_part *part, json_t **ret)
{
    static const char params[] = "responses_create_params";
    SCOPED_JSON json_t *text = NULL;
    SCOPED_JSON json_t *request = json_copy((json_t *)row);
    TRY(exchange_text(&group->completion[part->first], part->first, &text));
    if (!json_object_get(request, params)) {
        json_t *messages;
        TRY(exchange_prompt_messages(context->exchange, row, &messages));
        json_object_set_new(request, params, json_pack("{s:o}", "input", messages));
    }
    json_object_del(request, context->rules->names.prompt);
    json_object_set_new(request, "response", response_of(context, group, text, part->first));
    *ret = STEAL(request);
    return OK;
}

static err_t nemo_gym_read(const struct shape_context *context, const json_t *request,
                           const json_t *answer, size_t count, double *ret)
{
    const json_t *reward;
    (void)context;
    (void)request;
    (void)count;
    TRY(member(answer, "reward", &reward));
    if (json_is_true(json_object_get(answer, "mask_sample")))
        return answer_fault(ANSWER_NO_SCORES, "mask_sample: by the server's word its reward "
                                              "measures nothing");
    return exchange_score(reward, "reward", ret);
}

/* ---- the table */

const struct shape *shape_at(int word)
{
    static const struct shape shapes[] = {
        {"rlhfd", 0, 0, rlhfd_ask, rlhfd_read},
        {"openrlhf", 0, 0, openrlhf_ask, openrlhf_read},
        {"slime", 1, 1, slime_ask, slime_read},
        {"classify", 0, 1, classify_ask, classify_read},
        {"embeddings", 0, 1, embeddings_ask, embeddings_read},
        {"nemo_gym", 1, 1, nemo_gym_ask, nemo_gym_read},
    };
    return &shapes[word];
}
