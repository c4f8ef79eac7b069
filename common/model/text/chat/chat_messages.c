/* Conversations as transformers 5 hands them to templates. */
#include "model/text/chat/chat_state.h"
#include <string.h>

static const char *const reasoning_fields[] = {"reasoning_content", "thinking", "reasoning"};
enum { REASONINGS = sizeof reasoning_fields / sizeof *reasoning_fields };

/* Templates make tokens of roles, as in '<|' + message.role + '|>'. A role of data that is one of
 * these words can spell no more than such a token. */
bool chat_known_role(const char *key, const char *text)
{
    static const char *const roles[] = {
        "system",  "developer", "user",      "assistant",     "tool",        "function",
        "ipython", "model",     "context",   "human",         "observation", "environment",
        "critic",  "document",  "tool_call", "tool_response", "tool_calls",  "tool_output",
        "tools",   "documents", "gpt",
    };
    for (size_t i = 0; strcmp(key, "role") == 0 && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(text, roles[i]) == 0)
            return true;
    return false;
}

static const json_t *reasoning_of(const json_t *message)
{
    for (int i = 0; i < REASONINGS; i++) {
        const json_t *value = json_object_get(message, reasoning_fields[i]);
        if (value && !json_is_null(value))
            return value;
    }
    return NULL;
}

/* Without nulls, and its reasoning under the newest name and under gpt-oss's. */
static json_t *message_of(const json_t *message)
{
    const json_t *reasoning = reasoning_of(message);
    json_t *made = json_object(), *value;
    const char *key;
    if (reasoning)
        json_object_set(made, "thinking", (json_t *)reasoning);
    json_object_foreach ((json_t *)message, key, value) {
        if (!json_is_null(value))
            json_object_set(made, key, value);
    }
    if (reasoning)
        json_object_set(made, "reasoning_content", (json_t *)reasoning);
    return made;
}

/* ---- continue_final_message */

static json_t *tagged(const json_t *text)
{
    SCOPED_VALUE(bytes) all = {0};
    bytes_put(&all, json_string_value(text), json_string_length(text));
    bytes_text(&all, CHAT_CONTINUE_TAG);
    return json_stringn((const char *)all.data, all.len);
}

/* The last part of the content that has text, in a copy of the content. */
static json_t *tag_part(json_t *message, const char *field, const json_t *content)
{
    json_t *copy = json_array();
    const json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(content); i++)
        json_array_append(copy, json_array_get(content, i));
    for (size_t i = json_array_size(content); i-- > 0 && !found;) {
        const json_t *part = json_array_get(content, i);
        found = json_object_get(part, "text");
        if (!found)
            continue;
        json_t *other = json_copy((json_t *)part);
        if (json_is_string(found))
            json_object_set_new(other, "text", tagged(found));
        json_array_set_new(copy, i, other);
    }
    json_object_set_new(message, field, copy);
    return (json_t *)found;
}

static bool is_reasoning(const char *field)
{
    for (int i = 0; i < REASONINGS; i++)
        if (strcmp(field, reasoning_fields[i]) == 0)
            return true;
    return false;
}

/* Every field that holds the same reasoning; the template may read any of them. */
static bool tag_text(json_t *message, const char *field, const json_t *text, const char *source)
{
    SCOPED_JSON json_t *whole = tagged(text);
    bool read = false;
    for (int i = 0; i < REASONINGS && is_reasoning(field); i++) {
        if (!json_equal(json_object_get(message, reasoning_fields[i]), text))
            continue;
        read = read || strstr(source, reasoning_fields[i]);
        json_object_set(message, reasoning_fields[i], whole);
    }
    json_object_set(message, field, whole);
    return read;
}

static err_t tag_message(json_t *message, const char *field, const char *source,
                         const char **ret_final)
{
    SCOPED_JSON json_t *held = json_incref(json_object_get(message, field));
    const json_t *final = held;
    bool read = strstr(source, field);
    if (!held)
        return err_new(ERR_INVALID, "continue_final_message: the last message has no '%s'", field);
    if (json_is_array(held))
        final = tag_part(message, field, held);
    else if (json_is_string(held))
        read = tag_text(message, field, held, source) || read;
    if (!json_is_string(final))
        return err_new(ERR_INVALID, "continue_final_message: '%s' of the last message has no text",
                       field);
    if (!read)
        return err_new(ERR_INVALID, "continue_final_message: the template does not read '%s'",
                       field);
    *ret_final = json_string_value(final);
    return OK;
}

err_t chat_messages(const struct chat_request *request, const char *source, json_t **ret,
                    const char **ret_final)
{
    SCOPED_JSON json_t *made = json_array();
    *ret_final = NULL;
    if (!json_is_array(request->messages) || !json_array_size(request->messages))
        return err_new(ERR_INVALID, "'messages' must be an array of at least one object");
    for (size_t i = 0; i < json_array_size(request->messages); i++) {
        const json_t *message = json_array_get(request->messages, i);
        if (!json_is_object(message))
            return err_new(ERR_INVALID, "message %zu must be an object", i);
        json_array_append_new(made, message_of(message));
    }
    if (request->continue_field) {
        json_t *last = json_array_get(made, json_array_size(made) - 1);
        TRY(tag_message(last, request->continue_field, source, ret_final));
    }
    *ret = STEAL(made);
    return OK;
}
