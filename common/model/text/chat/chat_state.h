/* Inside chat only. chat_files.c reads templates; chat.c renders, chat_messages.c makes of a
 * conversation what templates see; chat_encode.c is from there to tokens. */
#pragma once
#include "base/json.h"
#include "model/text/chat/chat.h"
#include "model/text/template/template.h"

struct chat_template {
    char *name; // "default"
    char *source;
    struct template *template;
};

struct chat {
    struct chat_template at[CHAT_TEMPLATES];
    int count;
    json_t *tokens; // an object: bos_token and its like
    char *name;     // of the directory
};

/* continue_final_message: what is put behind the last message to find its end again. */
#define CHAT_CONTINUE_TAG "CONTINUE_FINAL_MESSAGE_TAG "

/* The messages as transformers 5 hands them to a template. *ret_final: the text that is continued,
 * borrowed from the messages; NULL: none. */
err_t chat_messages(const struct chat_request *request, const char *source, json_t **ret,
                    const char **ret_final);
bool chat_known_role(const char *key, const char *text);
