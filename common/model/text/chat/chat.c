#include "model/text/chat/chat.h"
#include "base/mem.h"
#include "model/text/chat/chat_state.h"
#include "model/text/values/value_text.h"
#include <string.h>

/* ---- which template */

static const struct chat_template *find(const struct chat *chat, const char *name)
{
    for (int i = 0; i < chat->count; i++)
        if (strcmp(chat->at[i].name, name) == 0)
            return &chat->at[i];
    return NULL;
}

static bool some(const json_t *value)
{
    return value && !json_is_null(value);
}

static err_t choose(const struct chat *chat, const char *name, bool tools,
                    const struct chat_template **ret)
{
    *ret = name ? find(chat, name) : NULL;
    if (!name && tools)
        *ret = find(chat, "tool_use");
    if (!name && !*ret)
        *ret = find(chat, "default");
    if (*ret)
        return OK;
    SCOPED_VALUE(bytes) names = {0};
    for (int i = 0; i < chat->count; i++)
        bytes_printf(&names, "%s%s", i ? ", " : "", chat->at[i].name);
    return err_new(ERR_INVALID, "chat_template: %s has no template '%.80s'; allowed: %s",
                   chat->name, name ? name : "default", (char *)names.data);
}

/* ---- what the template sees */

enum { VARIABLES = 256 };
struct variables {
    struct template_variable at[VARIABLES];
    size_t count;
};

static err_t add(struct variables *v, const char *name, const json_t *value, bool data)
{
    if (v->count == VARIABLES)
        return err_new(ERR_INVALID, "more than %d variables", VARIABLES);
    v->at[v->count++] = (struct template_variable){.name = name, .value = value, .data = data};
    return OK;
}

static err_t add_objects(struct variables *v, const char *name, const json_t *value,
                         const json_t *none)
{
    if (!some(value))
        return add(v, name, none, true);
    if (!json_is_array(value))
        return err_new(ERR_INVALID, "'%s' must be an array of objects", name);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_is_object(json_array_get(value, i)))
            return err_new(ERR_INVALID, "'%s': entry %zu must be an object", name, i);
    return add(v, name, value, true);
}

static err_t add_all(struct variables *v, const json_t *object, bool data)
{
    static const char *const ours[] = {"messages", "tools", "documents", "add_generation_prompt"};
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)object, key, value) {
        for (size_t i = 0; data && i < sizeof ours / sizeof *ours; i++)
            if (strcmp(key, ours[i]) == 0)
                return err_new(ERR_INVALID, "chat_template_kwargs: '%s' belongs beside it", key);
        TRY(add(v, key, value, data));
    }
    return OK;
}

/* ---- spans */

/* Appends the runs of bytes whose bit is as wanted. */
static size_t spans(const struct template_text *text, uint8_t bit, bool set, struct text_span **ret)
{
    size_t count = 0, capacity = 0;
    for (size_t at = 0, end; at < text->len; at = end) {
        for (end = at; end < text->len && !(text->from[end] & bit) == !(text->from[at] & bit);)
            end++;
        if (((text->from[at] & bit) != 0) != set)
            continue;
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            *ret = mem_grow(*ret, capacity, sizeof **ret);
        }
        (*ret)[count++] = (struct text_span){at, end - at};
    }
    return count;
}

static void take(const struct template_text *text, struct chat_text *ret)
{
    bytes_put(&ret->text, text->data, text->len);
    ret->specials = spans(text, TEMPLATE_FROM_DATA, false, &ret->special);
    ret->generations = spans(text, TEMPLATE_GENERATION, true, &ret->generation);
}

/* ---- continue_final_message */

static const char *last_of(const struct template_text *text, const char *what, size_t len)
{
    for (size_t at = text->len >= len ? text->len - len + 1 : 0; at-- > 0;)
        if (memcmp(text->data + at, what, len) == 0)
            return text->data + at;
    return NULL;
}

/* Cuts the text where the last message ends. A template may have taken the spaces at its end. */
static err_t cut(struct template_text *text, const char *final)
{
    const size_t tag = sizeof CHAT_CONTINUE_TAG - 2; // without its space
    const size_t begin = text_space_ahead(final, strlen(final));
    const size_t len = text_space_behind(final + begin, strlen(final) - begin);
    const char *end = last_of(text, CHAT_CONTINUE_TAG, tag);
    if (!end || (len && !memmem(text->data, text->len, final + begin, len)))
        return err_new(ERR_INVALID,
                       "continue_final_message: the template changes the last message's text");
    const size_t at = (size_t)(end - text->data);
    const bool kept = at + tag < text->len && end[tag] == ' ';
    text->len = kept ? at : text_space_behind(text->data, at);
    return OK;
}

/* ---- render */

static err_t render(const struct chat *chat, const struct chat_request *request,
                    struct template_text *ret)
{
    const struct chat_template *template;
    SCOPED_JSON json_t *messages = NULL, *none = json_null();
    SCOPED_JSON json_t *prompt = json_boolean(request->add_generation_prompt);
    struct variables variables = {0};
    const char *final;
    if (request->continue_field && request->add_generation_prompt)
        return err_new(ERR_INVALID, "continue_final_message and add_generation_prompt exclude one "
                                    "another");
    TRY(choose(chat, request->template, some(request->tools), &template));
    TRY(chat_messages(request, template->source, &messages, &final));
    TRY(add_all(&variables, chat->tokens, false));
    TRY(add_all(&variables, request->variables, true));
    TRY(add(&variables, "messages", messages, true));
    variables.at[variables.count - 1].trusted = chat_known_role;
    TRY(add_objects(&variables, "tools", request->tools, none));
    TRY(add_objects(&variables, "documents", request->documents, none));
    TRY(add(&variables, "add_generation_prompt", prompt, false));
    const struct template_input input = {variables.at, variables.count, request->now_s};
    TRY(template_render(template->template, &input, ret));
    return final ? cut(ret, final) : OK;
}

err_t chat_render(const struct chat *chat, const struct chat_request *request, const char *name,
                  struct chat_text *ret)
{
    SCOPED_VALUE(template_text) text = {0};
    TRY(err_wrap(render(chat, request, &text), "%s", name));
    *ret = (struct chat_text){0};
    take(&text, ret);
    return OK;
}

/* ---- rows */

err_t chat_request_read(const json_t *row, const char *name, struct chat_request *ret)
{
    struct chat_request request = {.messages = json_object_get(row, "messages"),
                                   .tools = json_object_get(row, "tools"),
                                   .documents = json_object_get(row, "documents"),
                                   .variables = json_object_get(row, "chat_template_kwargs")};
    const json_t *go_on = json_object_get(row, "continue_final_message");
    const json_t *template = json_object_get(row, "chat_template");
    if (!json_is_array(request.messages) || !json_array_size(request.messages))
        return err_new(ERR_INVALID, "%s: 'messages' must be an array of at least one object", name);
    if (some(request.variables) && !json_is_object(request.variables))
        return err_new(ERR_INVALID, "%s: 'chat_template_kwargs' must be an object", name);
    TRY(json_get_bool_or(row, name, "add_generation_prompt", &request.add_generation_prompt));
    if (some(template) && !json_is_string(template))
        return err_new(ERR_INVALID, "%s: 'chat_template' must be a template's name", name);
    if (some(go_on) && !json_is_boolean(go_on) && !json_is_string(go_on))
        return err_new(ERR_INVALID,
                       "%s: 'continue_final_message' must be true, false or a field's name", name);
    if (json_is_string(template))
        request.template = json_string_value(template);
    if (json_is_true(go_on))
        request.continue_field = "content";
    else if (json_is_string(go_on) && json_string_length(go_on))
        request.continue_field = json_string_value(go_on);
    *ret = request;
    return OK;
}

void chat_text_done(struct chat_text *text)
{
    bytes_done(&text->text);
    mem_free(text->special);
    mem_free(text->generation);
    *text = (struct chat_text){0};
}

void chat_free(struct chat *chat)
{
    if (!chat)
        return;
    for (int i = 0; i < chat->count; i++) {
        mem_free(chat->at[i].name);
        mem_free(chat->at[i].source);
        if (chat->at[i].template)
            template_free(chat->at[i].template);
    }
    json_decref(chat->tokens);
    mem_free(chat->name);
    mem_free(chat);
}
