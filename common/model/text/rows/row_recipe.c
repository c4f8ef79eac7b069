/* Rows as a recipe has them, and the chat template beside a model. */
#include "base/mem.h"
#include "model/text/rows/row_encode.h"
#include "svc/recipe/recipe.h"

struct row_rules row_rules_of(const struct recipe *recipe, const struct tokenizer *tokenizer,
                              const struct row_chat *chat, int end)
{
    const struct recipe_data *data = &recipe->data;
    return (struct row_rules){.tokenizer = tokenizer,
                              .chat = chat,
                              .names = {.prompt = data->prompt_column,
                                        .completion = data->completion_column,
                                        .text = data->text_column},
                              .special = data->special_tokens == RECIPE_SPECIAL_TOKENS,
                              .around = data->add_special_tokens,
                              .joined = data->boundary == RECIPE_BOUNDARY_TEXT,
                              .end = end,
                              .now_s = data->now};
}

struct row_chat row_chat_open(const char *directory)
{
    struct row_chat chat = {0};
    err_t failed = chat_load(directory, &chat.chat);
    if (err_failed(failed))
        chat.why = mem_string(err_message(failed));
    err_free(failed);
    return chat;
}

void row_chat_done(struct row_chat *chat)
{
    chat_free(chat->chat);
    mem_free(chat->why);
}
