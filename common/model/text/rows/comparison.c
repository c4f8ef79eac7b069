#include "model/text/rows/comparison.h"
#include "base/mem.h"
#include "model/text/rows/row_text.h"
#include "model/text/template/template.h"
#include "svc/recipe/recipe.h"
#include <string.h>

enum { VARIABLES = 5 };

struct comparison {
    const struct tokenizer *tokenizer;
    struct template *template;
    struct row_chat chat;
    struct row_names names;
    bool chats, bos;
    char *text[2]; // of labels
    int32_t label[2];
    int64_t now_s;
};

void comparison_free(struct comparison *c)
{
    if (!c)
        return;
    template_free(c->template);
    row_chat_done(&c->chat);
    mem_free(c->text[0]);
    mem_free(c->text[1]);
    mem_free(c);
}

void compared_done(struct compared *compared)
{
    json_decref(compared->messages);
    for (int i = 0; i < compared->answers; i++)
        json_decref(compared->answer[i]);
}

int32_t comparison_label(const struct comparison *c, int shown)
{
    return c->label[shown];
}

/* ---- opening */

static err_t read_label(struct comparison *c, int which, const char *text)
{
    SCOPED_MEM int32_t *id = NULL;
    int count = 0;
    TRY(err_wrap(tokenizer_encode_row(c->tokenizer, text, strlen(text), false, &id, &count),
                 "labels[%d]", which));
    if (count != 1)
        return err_new(ERR_INVALID,
                       "labels[%d]: '%s' is %d tokens; allowed: a text that is one token", which,
                       text, count);
    c->label[which] = id[0];
    c->text[which] = mem_string(text);
    return OK;
}

static err_t read_labels(struct comparison *c, const struct recipe_texts *labels)
{
    if (labels->count && labels->count != 2)
        return err_new(ERR_INVALID, "labels: has %zu; allowed: two, or none: A and B",
                       labels->count);
    TRY(read_label(c, 0, labels->count ? labels->at[0] : "A"));
    TRY(read_label(c, 1, labels->count ? labels->at[1] : "B"));
    if (c->label[0] != c->label[1])
        return OK;
    return err_new(ERR_INVALID, "labels: '%s' and '%s' are the same token; allowed: two tokens",
                   c->text[0], c->text[1]);
}

err_t comparison_open(const char *directory, const struct tokenizer *tokenizer,
                      const struct comparison_config *config, struct comparison **ret)
{
    SCOPED(comparison) c = mem_new(sizeof *c);
    const char *source = *config->template ? config->template : COMPARISON_TEMPLATE;
    *c = (struct comparison){
        .tokenizer = tokenizer, .names = config->names, .bos = config->bos, .now_s = config->now_s};
    TRY(template_parse(source, strlen(source), "template", &c->template));
    TRY(read_labels(c, config->labels));
    c->chat = row_chat_open(directory);
    c->chats =
        config->format == COMPARISON_CHAT || (config->format == COMPARISON_AUTO && c->chat.chat);
    if (c->chats && !c->chat.chat)
        return err_new(ERR_INVALID, "format: chat needs the model's chat template: %s",
                       c->chat.why);
    *ret = STEAL(c);
    return OK;
}

/* ---- rows */

static json_t *user_message(json_t *content)
{
    return json_pack("[{s:s, s:o}]", "role", "user", "content", content);
}

json_t *comparison_told(const json_t *messages)
{
    SCOPED_VALUE(bytes) text = {0};
    const size_t count = json_array_size(messages);
    for (size_t i = 0; i < count; i++) {
        const json_t *message = json_array_get(messages, i);
        const json_t *content = json_object_get(message, "content");
        const char *role = json_string_value(json_object_get(message, "role"));
        if (count > 1)
            bytes_printf(&text, "%s%s: ", i ? "\n\n" : "", role ? role : "?");
        if (json_is_string(content))
            bytes_put(&text, json_string_value(content), json_string_length(content));
    }
    return json_stringn(text.len ? (const char *)text.data : "", text.len);
}

static json_t *some_messages(const json_t *messages, size_t from, size_t to)
{
    json_t *some = json_array();
    for (size_t i = from; i < to; i++)
        json_array_append(some, json_array_get(messages, i));
    return some;
}

/* The common beginning of chosen and rejected. */
static err_t common_prompt(const json_t *row, const char *name, json_t **ret, size_t *ret_count)
{
    const json_t *chosen = json_object_get(row, "chosen");
    TRY(row_extract_prompt(chosen, json_object_get(row, "rejected"), name, ret_count));
    *ret = json_is_array(chosen)
               ? some_messages(chosen, 0, *ret_count)
               : user_message(json_stringn(json_string_value(chosen), *ret_count));
    return *ret ? OK : err_new(ERR_INVALID, "%s: 'chosen' begins with half a character", name);
}

/* *ret_skipped: what of chosen and rejected is the prompt. */
static err_t prompt_of(const struct comparison *c, const json_t *row, const char *name,
                       json_t **ret, size_t *ret_skipped)
{
    json_t *prompt = json_object_get(row, c->names.prompt);
    *ret_skipped = 0;
    if (!prompt || json_is_null(prompt))
        return common_prompt(row, name, ret, ret_skipped);
    if (json_is_string(prompt)) {
        *ret = user_message(json_incref(prompt));
        return OK;
    }
    if (row_is_chat(prompt)) {
        *ret = json_incref(prompt);
        return OK;
    }
    return err_new(ERR_INVALID, "%s: '%s' is %s; it must be text, or a list of messages", name,
                   c->names.prompt, json_type_name(prompt));
}

/* Behind what is skipped. */
static err_t put_answer(const json_t *value, size_t skipped, const char *name, const char *column,
                        struct compared *ret)
{
    json_t *answer = NULL;
    const size_t count = json_array_size(value);
    if (json_is_string(value) && skipped <= json_string_length(value))
        answer =
            json_stringn(json_string_value(value) + skipped, json_string_length(value) - skipped);
    if (row_is_chat(value) && count > skipped)
        answer = json_incref(json_object_get(json_array_get(value, count - 1), "content"));
    if (!json_is_string(answer)) {
        json_decref(answer);
        return err_new(ERR_INVALID,
                       "%s: '%s' has no answer; it must be text, or messages whose last one has a "
                       "content of text",
                       name, column);
    }
    ret->answer[ret->answers++] = answer;
    return OK;
}

static err_t put_ranked(const json_t *row, const char *name, struct compared *ret)
{
    const json_t *answers = json_object_get(row, "completions"),
                 *scores = json_object_get(row, "scores");
    const size_t count = json_array_size(answers);
    if (count < 2 || count > ROW_SIDES || json_array_size(scores) != count)
        return err_new(ERR_INVALID,
                       "%s: %zu 'completions' and %zu 'scores'; allowed: 2 to %d, and a number for "
                       "each",
                       name, count, json_array_size(scores), ROW_SIDES);
    for (size_t i = 0; i < count; i++) {
        const json_t *score = json_array_get(scores, i);
        if (!json_is_number(score))
            return err_new(ERR_INVALID, "%s: scores[%zu] is %s; it must be a number", name, i,
                           json_type_name(score));
        ret->score[i] = json_number_value(score);
        TRY(put_answer(json_array_get(answers, i), 0, name, "completions", ret));
    }
    return OK;
}

static err_t read_row(const struct comparison *c, const json_t *row, const char *name,
                      struct compared *ret)
{
    struct row_kind kind;
    char text[ROW_KIND_TEXT];
    size_t skipped;
    TRY(row_kind_of(row, &c->names, name, &kind));
    if (kind.format != ROW_PREFERENCE && kind.format != ROW_RANKED)
        return err_new(ERR_INVALID,
                       "%s: a %s row; allowed: preference (chosen, rejected) and ranked "
                       "completions (completions, scores)",
                       name, row_kind_text(&kind, text));
    TRY(prompt_of(c, row, name, &ret->messages, &skipped));
    if (kind.format == ROW_RANKED)
        return put_ranked(row, name, ret);
    ret->score[0] = 1;
    TRY(put_answer(json_object_get(row, "chosen"), skipped, name, "chosen", ret));
    return put_answer(json_object_get(row, "rejected"), skipped, name, "rejected", ret);
}

err_t comparison_row(const struct comparison *c, const json_t *row, const char *name,
                     struct compared *ret)
{
    SCOPED_VALUE(compared) compared = {0};
    TRY(read_row(c, row, name, &compared));
    *ret = compared;
    compared = (struct compared){0};
    return OK;
}

err_t comparison_prompt(const struct comparison *c, const json_t *row, const char *name,
                        json_t **ret_messages)
{
    size_t skipped;
    return prompt_of(c, row, name, ret_messages, &skipped);
}

/* ---- tokens */

static err_t render(const struct comparison *c, const json_t *messages, const json_t *first,
                    const json_t *second, json_t **ret)
{
    SCOPED_JSON json_t *prompt = comparison_told(messages);
    SCOPED_JSON json_t *labels = json_pack("[s, s]", c->text[0], c->text[1]);
    const struct template_variable variable[VARIABLES] = {
        {.name = "messages", .value = messages, .data = true},
        {.name = "prompt", .value = prompt, .data = true},
        {.name = "first", .value = first, .data = true},
        {.name = "second", .value = second, .data = true},
        {.name = "labels", .value = labels, .data = true}};
    const struct template_input input = {variable, VARIABLES, .now_s = c->now_s};
    SCOPED_VALUE(template_text) text = {0};
    TRY(template_render(c->template, &input, &text));
    *ret = json_stringn(text.data ? text.data : "", text.len);
    return *ret ? OK : err_new(ERR_INVALID, "template: its text is not UTF-8");
}

static void drop_bos(const struct comparison *c, int32_t *id, int *count)
{
    if (c->bos || !*count || id[0] != tokenizer_bos(c->tokenizer))
        return;
    memmove(id, id + 1, (size_t)-- * count * sizeof *id);
}

err_t comparison_encode(const struct comparison *c, const json_t *messages, const json_t *first,
                        const json_t *second, const char *name, int32_t **ret_ids, int *ret_count)
{
    const struct row_rules rules = {.tokenizer = c->tokenizer,
                                    .chat = &c->chat,
                                    .names = {.prompt = "prompt"},
                                    .around = true,
                                    .end = -1,
                                    .now_s = c->now_s};
    json_t *text = NULL;
    TRY(err_wrap(render(c, messages, first, second, &text), "%s", name));
    SCOPED_JSON json_t *row = json_pack("{s:o}", "prompt", c->chats ? user_message(text) : text);
    SCOPED_MEM int32_t *id = NULL;
    int count;
    TRY(row_prompt(&rules, row, name, &id, &count));
    drop_bos(c, id, &count);
    if (!count)
        return err_new(ERR_INVALID, "%s: the template makes no token of it", name);
    *ret_ids = STEAL(id);
    *ret_count = count;
    return OK;
}
