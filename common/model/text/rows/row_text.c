#include "model/text/rows/row_text.h"
#include "base/mem.h"
#include <string.h>

void row_texts_done(struct row_texts *texts)
{
    chat_text_done(&texts->prompt);
    for (int i = 0; i < texts->wholes; i++)
        chat_text_done(&texts->whole[i]);
}

/* ---- plain text */

void row_text_put(const char *data, size_t len, bool special, struct chat_text *ret)
{
    const size_t at = ret->text.len;
    bytes_put(&ret->text, data, len);
    if (!special || !len)
        return;
    if (ret->specials &&
        ret->special[ret->specials - 1].at + ret->special[ret->specials - 1].len == at) {
        ret->special[ret->specials - 1].len += len; // a token may lie across two texts
        return;
    }
    ret->special = mem_grow(ret->special, ret->specials + 1, sizeof *ret->special);
    ret->special[ret->specials++] = (struct text_span){at, len};
}

static void put(const struct row_rules *rules, const json_t *text, struct chat_text *ret)
{
    row_text_put(json_string_value(text), json_string_length(text), rules->special, ret);
}

static struct text_span *slice_spans(const struct text_span *span, size_t spans, size_t from,
                                     size_t to, size_t *ret_count)
{
    struct text_span *out = mem_array(spans, sizeof *out);
    size_t count = 0;
    for (size_t i = 0; i < spans; i++) {
        const size_t end = span[i].at + span[i].len;
        const size_t first = span[i].at > from ? span[i].at : from, last = end < to ? end : to;
        if (first < last)
            out[count++] = (struct text_span){first - from, last - first};
    }
    *ret_count = count;
    return out;
}

void row_text_slice(const struct chat_text *text, size_t from, size_t to, struct chat_text *ret)
{
    *ret = (struct chat_text){0};
    bytes_put(&ret->text, text->text.data + from, to - from);
    ret->special = slice_spans(text->special, text->specials, from, to, &ret->specials);
    ret->generation = slice_spans(text->generation, text->generations, from, to, &ret->generations);
}

/* ---- messages */

/* TRL's rows may have their tools as the text of a list. */
static err_t read_tools(const json_t *row, const char *name, json_t **ret)
{
    json_t *tools = json_object_get(row, "tools");
    if (json_is_string(tools)) {
        SCOPED_MEM char *place = mem_printf("%s: tools", name);
        TRY(json_parse(json_string_value(tools), json_string_length(tools), place, &tools));
    } else {
        json_incref(tools);
    }
    if (!tools || json_is_null(tools) || json_is_array(tools)) {
        *ret = tools;
        return OK;
    }
    json_decref(tools);
    return err_new(ERR_INVALID, "%s: 'tools' must be a list of JSON schemas, or its text", name);
}

static err_t read_variables(const json_t *row, const char *name, const json_t **ret)
{
    const json_t *variables = json_object_get(row, "chat_template_kwargs");
    if (json_is_null(variables))
        variables = NULL;
    if (variables && !json_is_object(variables))
        return err_new(ERR_INVALID, "%s: 'chat_template_kwargs' is %s; it must be an object", name,
                       json_type_name(variables));
    *ret = variables;
    return OK;
}

enum open_end { ENDS, OPENS, GOES_ON }; // an answer; before an answer; within one

static err_t render(const struct row_rules *rules, const json_t *row, const char *name,
                    const json_t *messages, enum open_end end, struct chat_text *ret)
{
    SCOPED_JSON json_t *tools = NULL;
    struct chat_request request = {.messages = messages,
                                   .add_generation_prompt = end == OPENS,
                                   .continue_field = end == GOES_ON ? "content" : NULL,
                                   .now_s = rules->now_s};
    const struct row_chat *chat = rules->chat;
    if (!chat || !chat->chat)
        return err_new(ERR_INVALID, "%s: a row of messages needs the model's chat template: %s",
                       name, chat && chat->why ? chat->why : "there is none");
    TRY(read_tools(row, name, &tools));
    TRY(read_variables(row, name, &request.variables));
    request.tools = json_array_size(tools) ? tools : NULL; // an empty list is none
    return chat_render(chat->chat, &request, name, ret);
}

/* Whose turn comes after the messages. */
static err_t end_of(const json_t *messages, const char *name, enum open_end *ret)
{
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    *ret = strcmp(role, "assistant") == 0 ? GOES_ON : OPENS;
    if (*ret == GOES_ON || strcmp(role, "user") == 0 || strcmp(role, "tool") == 0)
        return OK;
    SCOPED_MEM char *shown = json_to_text(json_object_get(last, "role"));
    return err_new(ERR_INVALID,
                   "%s: the prompt's last message is of %.60s; allowed: user, tool, assistant",
                   name, shown);
}

static json_t *first_messages(const json_t *messages, size_t count)
{
    json_t *first = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append(first, json_array_get(messages, i));
    return first;
}

/* ---- prompts */

static err_t put_prompt(const struct row_rules *rules, const json_t *row, const char *name,
                        const json_t *prompt, bool chat, struct chat_text *ret)
{
    enum open_end end;
    if (!chat) {
        put(rules, prompt, ret);
        return OK;
    }
    TRY(end_of(prompt, name, &end));
    return render(rules, row, name, prompt, rules->joined ? OPENS : end, ret);
}

/* The common beginning of chosen and rejected is the prompt. */
static err_t put_implicit(const struct row_rules *rules, const json_t *row, const char *name,
                          bool chat, struct chat_text *ret)
{
    size_t count;
    const json_t *chosen = json_object_get(row, "chosen");
    TRY(row_extract_prompt(chosen, json_object_get(row, "rejected"), name, &count));
    if (!chat) {
        row_text_put(json_string_value(chosen), count, rules->special, ret);
        return OK;
    }
    if (!count)
        return err_new(ERR_INVALID, "%s: 'chosen' and 'rejected' begin with no message in common",
                       name);
    SCOPED_JSON json_t *prompt = first_messages(chosen, count);
    return put_prompt(rules, row, name, prompt, true, ret);
}

err_t row_prompt_text(const struct row_rules *rules, const json_t *row, const char *name,
                      struct chat_text *ret, bool *ret_chat)
{
    struct row_rules alone = *rules;
    const json_t *prompt = json_object_get(row, rules->names.prompt);
    const json_t *chosen = json_object_get(row, "chosen");
    const bool pair = json_is_string(chosen) || json_is_array(chosen), chat = row_is_chat(prompt);
    alone.joined = false;
    if (pair && (!prompt || json_is_null(prompt) || row_is_chat(chosen) != chat)) {
        *ret_chat = row_is_chat(chosen);
        return put_implicit(&alone, row, name, *ret_chat, ret);
    }
    *ret_chat = chat;
    if (chat || json_is_string(prompt))
        return put_prompt(&alone, row, name, prompt, chat, ret);
    SCOPED_MEM char *text = prompt && !json_is_null(prompt) ? json_to_text(prompt) : NULL;
    return err_new(ERR_INVALID,
                   "%s: '%s' is %.60s; it must be a string, or a list of messages, each {\"role\": "
                   "..., \"content\": ...}",
                   name, rules->names.prompt, text ? text : "missing");
}

/* ---- wholes */

static err_t put_answer(const struct row_rules *rules, const json_t *row, const char *name,
                        const json_t *prompt, const json_t *completion, struct row_texts *ret)
{
    struct chat_text *to = &ret->whole[ret->wholes++];
    if (!json_is_array(prompt)) {
        put(rules, prompt, to);
        put(rules, completion, to);
        return OK;
    }
    SCOPED_JSON json_t *all = first_messages(prompt, json_array_size(prompt));
    json_array_extend(all, (json_t *)completion);
    return render(rules, row, name, all, ENDS, to);
}

static err_t put_whole(const struct row_rules *rules, const json_t *row, const char *name,
                       const json_t *prompt, const char *column, struct row_texts *ret)
{
    const json_t *completion;
    TRY(row_column(row, name, column, json_is_array(prompt), &completion));
    return put_answer(rules, row, name, prompt, completion, ret);
}

static err_t put_ranked(const struct row_rules *rules, const json_t *row, const char *name,
                        const json_t *prompt, struct row_texts *ret)
{
    size_t i;
    json_t *answer;
    const json_t *answers = json_object_get(row, "completions");
    const size_t count = json_array_size(answers);
    const bool chat = json_is_array(prompt);
    if (count < 2 || count > ROW_SIDES)
        return err_new(ERR_INVALID, "%s: 'completions' has %zu of them; allowed: a list of 2 to %d",
                       name, count, ROW_SIDES);
    json_array_foreach ((json_t *)answers, i, answer) {
        if (chat ? !row_is_chat(answer) : !json_is_string(answer))
            return err_new(ERR_INVALID, "%s: completions[%zu] is %s; it must be %s", name, i,
                           json_type_name(answer), chat ? "a list of messages" : "a string");
        TRY(put_answer(rules, row, name, prompt, answer, ret));
    }
    return OK;
}

static err_t put_alone(const struct row_rules *rules, const json_t *row, const char *name,
                       const char *column, bool chat, struct row_texts *ret)
{
    const json_t *value;
    struct chat_text *to = &ret->whole[ret->wholes++];
    TRY(row_column(row, name, column, chat, &value));
    if (chat)
        return render(rules, row, name, value, ENDS, to);
    put(rules, value, to);
    return OK;
}

/* How many bytes both begin with; a character is not cut. */
static size_t common(const struct chat_text *a, const struct chat_text *b)
{
    size_t at = 0;
    while (at < a->text.len && at < b->text.len && a->text.data[at] == b->text.data[at])
        at++;
    while (at && at < b->text.len && (b->text.data[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static err_t put_all(const struct row_rules *rules, const json_t *row, const char *name,
                     const struct row_kind *kind, struct row_texts *ret)
{
    const json_t *prompt;
    ret->has_prompt = kind->format != ROW_LANGUAGE;
    if (kind->format == ROW_LANGUAGE)
        return put_alone(rules, row, name, kind->chat ? "messages" : rules->names.text, kind->chat,
                         ret);
    if (kind->implicit) {
        TRY(put_implicit(rules, row, name, kind->chat, &ret->prompt));
        TRY(put_alone(rules, row, name, "chosen", kind->chat, ret));
        return put_alone(rules, row, name, "rejected", kind->chat, ret);
    }
    TRY(row_column(row, name, rules->names.prompt, kind->chat, &prompt));
    struct row_rules way = *rules; // a prompt alone is shown as it is decoded from
    way.joined = rules->joined && kind->format != ROW_PROMPT;
    TRY(put_prompt(&way, row, name, prompt, kind->chat, &ret->prompt));
    if (kind->format == ROW_PROMPT)
        return OK;
    if (kind->format == ROW_PREFERENCE) {
        TRY(put_whole(rules, row, name, prompt, "chosen", ret));
        return put_whole(rules, row, name, prompt, "rejected", ret);
    }
    if (kind->format == ROW_RANKED)
        return put_ranked(rules, row, name, prompt, ret);
    return put_whole(rules, row, name, prompt, rules->names.completion, ret);
}

err_t row_texts_of(const struct row_rules *rules, const json_t *row, const char *name,
                   const struct row_kind *kind, struct row_texts *ret)
{
    SCOPED_VALUE(row_texts) texts = {0};
    TRY(put_all(rules, row, name, kind, &texts));
    texts.shared = texts.prompt.text.len;
    for (int i = 0; i < texts.wholes && texts.has_prompt; i++) {
        const size_t same = common(&texts.prompt, &texts.whole[i]);
        texts.shared = same < texts.shared ? same : texts.shared;
    }
    *ret = texts;
    texts = (struct row_texts){0};
    return OK;
}
