/* Conversations as text, as a directory's chat template writes them. */
#include "base/clock.h"
#include "base/mem.h"
#include "ctl/make/each_row.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "model/text/chat/chat.h"
#include <stdio.h>
#include <string.h>

struct rendering {
    const char *word[1], *file, *template;
    size_t words;
    bool spans, tokens, keeps_on;
    long now_s;
    struct chat *chat;
    struct tokenizer *tokenizer;
};

static json_t *pairs(const struct text_span *span, size_t spans)
{
    json_t *all = json_array();
    for (size_t i = 0; i < spans; i++)
        json_array_append_new(all,
                              json_pack("[I, I]", (json_int_t)span[i].at, (json_int_t)span[i].len));
    return all;
}

static err_t add_tokens(const struct rendering *o, const struct chat_text *text, const char *name,
                        json_t *line)
{
    SCOPED_MEM int32_t *ids = NULL;
    SCOPED_MEM uint8_t *mask = NULL;
    int count = 0;
    TRY(chat_encode(o->tokenizer, text, name, &ids, &mask, &count));
    json_t *all = json_array(), *masks = json_array();
    for (int i = 0; i < count; i++) {
        json_array_append_new(all, json_integer(ids[i]));
        json_array_append_new(masks, json_integer(mask[i]));
    }
    json_object_set_new(line, "ids", all);
    json_object_set_new(line, "mask", masks);
    return OK;
}

/* The keys of a row that are no part of a request are variables, beside chat_template_kwargs. */
static json_t *variables_of(const json_t *row)
{
    static const char *const known[] = {"messages",
                                        "tools",
                                        "documents",
                                        "add_generation_prompt",
                                        "continue_final_message",
                                        "chat_template",
                                        "chat_template_kwargs"};
    json_t *all = json_object(), *value;
    const char *key;
    json_object_foreach ((json_t *)row, key, value) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            is_known = is_known || strcmp(key, known[i]) == 0;
        if (!is_known)
            json_object_set(all, key, value);
    }
    json_object_update(all, json_object_get(row, "chat_template_kwargs"));
    return all;
}

static err_t render(const struct rendering *o, const json_t *row, const char *name)
{
    struct chat_request request;
    SCOPED_VALUE(chat_text) text = {0};
    SCOPED_JSON json_t *variables = variables_of(row), *line = NULL;
    TRY(chat_request_read(row, name, &request));
    request.variables = variables;
    request.now_s = o->now_s;
    if (o->template)
        request.template = o->template;
    TRY(chat_render(o->chat, &request, name, &text));
    line = json_stringn(text.text.data ? (const char *)text.text.data : "", text.text.len);
    if (o->spans || o->tokens) {
        line = json_pack("{s:o}", "text", line);
        json_object_set_new(line, "template", pairs(text.special, text.specials));
        json_object_set_new(line, "generation", pairs(text.generation, text.generations));
    }
    if (o->tokens)
        TRY(add_tokens(o, &text, name, line));
    SCOPED_MEM char *shown = json_to_text(line);
    printf("%s\n", shown);
    return OK;
}

static err_t render_line(void *arg, const json_t *row, const char *name)
{
    const struct rendering *o = arg;
    err_t e = json_is_object(row) ? render(o, row, name)
                                  : err_new(ERR_INVALID, "%s: it must be an object", name);
    if (!err_failed(e) || !o->keeps_on)
        return e;
    SCOPED_JSON json_t *line = json_pack("{s:s}", "error", err_message(e));
    SCOPED_MEM char *shown = line ? json_to_text(line) : mem_string("{\"error\":\"\"}");
    printf("%s\n", shown);
    err_free(e);
    return OK;
}

static err_t render_file(struct rendering *o)
{
    SCOPED(chat) chat = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    TRY(chat_load(o->word[0], &chat));
    if (o->tokens)
        TRY(tokenizer_load(o->word[0], &tokenizer));
    o->chat = chat;
    o->tokenizer = tokenizer;
    return each_row(o->file, render_line, o);
}

err_t command_chat_render(int argc, char **argv)
{
    struct rendering o = {.now_s = (long)(clock_wall_ms() / 1000)};
    const char *now = NULL;
    bool helped;
    const struct argument_flag flags[] = {
        {"jsonl", "FILE", "conversations: rows with messages", .text = &o.file},
        {"template", "NAME", "one of the directory's templates, in place of the rows' choice",
         .text = &o.template},
        {"spans", NULL,
         "objects in place of strings: the text, and the bytes that the template wrote, and those "
         "inside {% generation %}, as pairs of offset and length",
         .flag = &o.spans},
        {"tokens", NULL, "the same with the tokens, and 1 for each of {% generation %}",
         .flag = &o.tokens},
        {"keep-going", NULL, "a row that fails prints {\"error\": ...}, and the next one follows",
         .flag = &o.keeps_on},
        {"now", "SECONDS", "time of strftime_now, in seconds since 1970 (the clock's)",
         .text = &now},
    };
    const struct arguments arguments = {
        .usage = "chat render DIRECTORY --jsonl FILE",
        .purpose =
            "Shows each of FILE's rows as the directory's chat template writes it, a JSON string a line. A row has messages, and may "
            "have tools, documents, add_generation_prompt, continue_final_message and chat_template (a name). The template sees its "
            "other keys, and those of chat_template_kwargs, as variables.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .words = o.word,
        .words_min = 1,
        .words_max = 1,
        .words_count = &o.words};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (!o.file)
        return err_new(ERR_INVALID, "chat render: --jsonl FILE is missing");
    if (now)
        TRY(flag_int("--now", now, 0, 1L << 40, &o.now_s));
    return render_file(&o);
}
