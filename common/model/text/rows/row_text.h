/* The texts of a row before they are tokens: the prompt, and the whole of each completion with the
 * prompt before it.
 *
 *     SCOPED_VALUE(row_texts) texts = {0};
 *     TRY(row_texts_of(rules, row, name, &kind, &texts));
 *
 * Any thread. */
#pragma once
#include "model/text/rows/row_encode.h"

struct row_texts {
    struct chat_text prompt, whole[ROW_SIDES];
    int wholes;
    bool has_prompt;
    size_t shared; // bytes that the prompt and each whole begin with
};

/* Of every format but steps. */
err_t row_texts_of(const struct row_rules *rules, const json_t *row, const char *name,
                   const struct row_kind *kind, struct row_texts *ret);
void row_texts_done(struct row_texts *texts);

/* The prompt's text alone, as it is decoded from. *ret_chat: it was messages. */
err_t row_prompt_text(const struct row_rules *rules, const json_t *row, const char *name,
                      struct chat_text *ret, bool *ret_chat);

/* A text from a dataset. */
void row_text_put(const char *data, size_t len, bool special, struct chat_text *ret);

/* Bytes [from, to) of a text, with what of its spans lies there. */
void row_text_slice(const struct chat_text *text, size_t from, size_t to, struct chat_text *ret);
