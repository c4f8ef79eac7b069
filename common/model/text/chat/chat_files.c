/* Where templates come from: the files that transformers 5 reads, in its order. */
#include "base/file.h"
#include "base/mem.h"
#include "model/text/chat/chat_state.h"
#include <string.h>

enum { CONFIG_MAX = 4 << 20 };

static err_t add(struct chat *chat, const char *name, const char *source, size_t len,
                 const char *place)
{
    for (int i = 0; i < chat->count; i++)
        if (strcmp(chat->at[i].name, name) == 0)
            return err_new(ERR_INVALID, "%s: a second template '%.80s'", place, name);
    if (chat->count == CHAT_TEMPLATES)
        return err_new(ERR_INVALID, "%s: more than %d templates", place, CHAT_TEMPLATES);
    struct chat_template *fresh = &chat->at[chat->count++];
    fresh->name = mem_string(name);
    fresh->source = mem_new(len + 1);
    memcpy(fresh->source, source, len);
    return template_parse(source, len, place, &fresh->template);
}

static err_t add_file(struct chat *chat, const char *name, const char *path)
{
    SCOPED_VALUE(bytes) text = {0};
    TRY(file_read(path, TEMPLATE_BYTES, &text));
    return add(chat, name, text.data ? (const char *)text.data : "", text.len, path);
}

/* chat_template.jinja, and one template a file of additional_chat_templates/. */
static err_t add_files(struct chat *chat, const char *directory)
{
    SCOPED_MEM char *main = file_join(directory, "chat_template.jinja");
    SCOPED_MEM char *more = file_join(directory, "additional_chat_templates");
    SCOPED_VALUE(file_names) names = {0};
    if (file_exists(main))
        TRY(add_file(chat, "default", main));
    if (!file_exists(more))
        return OK;
    TRY(file_names(more, &names));
    for (size_t i = 0; i < names.count; i++) {
        const size_t len = strlen(names.at[i]);
        if (len <= 6 || strcmp(names.at[i] + len - 6, ".jinja") != 0)
            continue;
        SCOPED_MEM char *path = file_join(more, names.at[i]);
        SCOPED_MEM char *name = mem_string(names.at[i]);
        name[len - 6] = 0;
        TRY(add_file(chat, name, path));
    }
    return OK;
}

static err_t add_text(struct chat *chat, const char *name, const json_t *text, const char *path)
{
    SCOPED_MEM char *place = strcmp(name, "default") == 0
                                 ? mem_printf("%s: chat_template", path)
                                 : mem_printf("%s: chat_template '%.80s'", path, name);
    if (!json_is_string(text))
        return err_new(ERR_INVALID, "%s: it must be a string, or objects of name and template",
                       place);
    return add(chat, name, json_string_value(text), json_string_length(text), place);
}

/* A template, or a list of {"name", "template"}. */
static err_t add_value(struct chat *chat, const json_t *value, const char *path)
{
    if (!value || json_is_null(value))
        return OK;
    if (!json_is_array(value))
        return add_text(chat, "default", value, path);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        const char *name;
        TRY(json_get_text(one, path, "name", &name));
        TRY(add_text(chat, name, json_object_get(one, "template"), path));
    }
    return OK;
}

static err_t read_object(const char *directory, const char *name, char **ret_path, json_t **ret)
{
    *ret_path = file_join(directory, name);
    if (!file_exists(*ret_path))
        return OK;
    TRY(json_read_file(*ret_path, CONFIG_MAX, ret));
    if (!json_is_object(*ret))
        return err_new(ERR_INVALID, "%s: it must hold an object", *ret_path);
    return OK;
}

/* The named special tokens of a configuration: a text, or {"content": text}. */
static void take_tokens(struct chat *chat, const json_t *config)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *value = json_object_get(config, names[i]);
        if (json_is_object(value))
            value = json_object_get(value, "content");
        if (json_is_string(value))
            json_object_set(chat->tokens, names[i], value);
    }
}

static struct chat *chat_new(const char *name)
{
    struct chat *chat = mem_new(sizeof *chat);
    chat->name = mem_string(name);
    chat->tokens = json_object();
    return chat;
}

err_t chat_load(const char *directory, struct chat **ret)
{
    SCOPED(chat) chat = chat_new(directory);
    SCOPED_MEM char *config_path = NULL, *map_path = NULL, *legacy_path = NULL;
    SCOPED_JSON json_t *config = NULL, *map = NULL, *legacy = NULL;
    TRY(read_object(directory, "tokenizer_config.json", &config_path, &config));
    TRY(read_object(directory, "special_tokens_map.json", &map_path, &map));
    take_tokens(chat, config);
    if (!json_object_get(config, "added_tokens_decoder"))
        take_tokens(chat, map);
    TRY(add_files(chat, directory));
    if (!chat->count)
        TRY(add_value(chat, json_object_get(config, "chat_template"), config_path));
    if (!chat->count) {
        TRY(read_object(directory, "chat_template.json", &legacy_path, &legacy));
        TRY(add_value(chat, json_object_get(legacy, "chat_template"), legacy_path));
    }
    if (!chat->count)
        return err_new(ERR_NOT_FOUND,
                       "%s: no chat template: neither chat_template.jinja nor "
                       "additional_chat_templates/*.jinja, nor chat_template in "
                       "tokenizer_config.json or chat_template.json",
                       directory);
    *ret = STEAL(chat);
    return OK;
}

err_t chat_parse(const char *template, size_t len, const json_t *tokens, const char *name,
                 struct chat **ret)
{
    SCOPED(chat) chat = chat_new(name);
    if (tokens)
        json_object_update(chat->tokens, (json_t *)tokens);
    TRY(add(chat, "default", template, len, name));
    *ret = STEAL(chat);
    return OK;
}
