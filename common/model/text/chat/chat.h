/* A model's chat template: messages in, the text that the model was trained on out.
 *
 *     SCOPED(chat) chat = NULL;
 *     TRY(chat_load("sft", &chat));                  -- NOT_FOUND: the directory has no template
 *     struct chat_request request = {.messages = messages, .add_generation_prompt = true};
 *     SCOPED_VALUE(chat_text) text = {0};
 *     TRY(chat_render(chat, &request, "train.jsonl:7", &text));
 *     TRY(chat_encode(tokenizer, &text, "train.jsonl:7", &ids, &mask, &count));
 *
 * Templates are read from where transformers 5 reads them, and render as there (docs/models.md).
 * The text knows of each byte whether the template wrote it: a user who writes "<|im_end|>" gets
 * text, no token. The same template, request and time give the same bytes on every machine.
 *
 * Any thread: a chat does not change once made. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/json.h"
#include "base/scoped.h"
#include "model/text/tokenizer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chat;

enum {
    CHAT_TEMPLATE_BYTES = 1 << 20, // of a template
    CHAT_TEXT_BYTES = 16 << 20,    // of a rendered text
    CHAT_TEMPLATES = 64,           // of a directory
};

/* chat_template.jinja and additional_chat_templates/NAME.jinja; without both chat_template of
 * tokenizer_config.json, then chat_template.json. bos_token and its like are those of
 * tokenizer_config.json, else of special_tokens_map.json. NOT_FOUND: none of them is there.
 * INVALID: "FILE:LINE: ...", a construct that we do not support. Every template of the directory is
 * parsed. */
err_t chat_load(const char *directory, struct chat **ret);

/* The same of one template in memory. tokens: an object of special tokens by name ("bos_token");
 * NULL: none. name: what errors call the template. */
err_t chat_parse(const char *template, size_t len, const json_t *tokens, const char *name,
                 struct chat **ret);

/* A conversation, and how it is written; all of it is borrowed. */
struct chat_request {
    const json_t *messages;  // an array of objects, at least one
    const json_t *tools;     // an array of JSON schemas; NULL or null: none
    const json_t *documents; // likewise
    const json_t *variables; // an object: what else the template sees, special tokens' names
                             // included; NULL: nothing
    const char *template;    // one of a directory's by its name; NULL: "tool_use" if it is there
                             // and there are tools, else "default"
    bool add_generation_prompt;
    const char *continue_field; // continue_final_message: the text ends where this field of the
                                // last message ends ("content"); NULL: it does not
    int64_t now_s;              // strftime_now: seconds since 1970, UTC
};

struct chat_text {
    struct bytes text;            // UTF-8
    struct text_span *special;    // (specials) what the template wrote, as tokenizer_text has it
    size_t specials;              // the rest is data's, and never becomes a special token
    struct text_span *generation; // (generations) inside {% generation %}: the assistant's
    size_t generations;
};

/* name is what errors call the request. INVALID: "NAME: TEMPLATE:LINE: ...", the template refuses
 * the messages, or fails. RANGE: a bound on steps, memory, depth or the text's length. Messages
 * lose their nulls, and their reasoning has all its names, as in transformers 5.
 *
 * Data are the strings of messages, tools, documents and variables, keys included, but for the
 * roles of messages that are well known ("user"): templates make tokens of them. */
err_t chat_render(const struct chat *chat, const struct chat_request *request, const char *name,
                  struct chat_text *ret);

/* A row of a dataset as a request, which borrows from the row. Its keys are those of transformers:
 * messages, tools, documents, add_generation_prompt and continue_final_message (true, or a field's
 * name). chat_template names one of the directory's templates, and chat_template_kwargs holds the
 * variables. Other keys are none of ours. INVALID: a value of the wrong kind. */
err_t chat_request_read(const json_t *row, const char *name, struct chat_request *ret);

/* The text's tokens, without those of the post_processor; they are the caller's. (*ret_mask)[i]:
 * token i has text of a generation span; ret_mask may be NULL. INVALID: as tokenizer_encode. */
err_t chat_encode(const struct tokenizer *tokenizer, const struct chat_text *text, const char *name,
                  int32_t **ret_ids, uint8_t **ret_mask, int *ret_count);

void chat_text_done(struct chat_text *text);
void chat_free(struct chat *chat);
DEFINE_SCOPED(chat)
