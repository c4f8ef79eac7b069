/* Two answers of a prompt beside each other, as the tokens that a pairwise preference model reads.
 * Behind them it predicts the label of the better one (Dong 2024, RLHF Workflow).
 *
 *     SCOPED(comparison) comparison = NULL;
 *     TRY(comparison_open("pm", tokenizer, &config, &comparison));
 *     SCOPED_VALUE(compared) row = {0};
 *     TRY(comparison_row(comparison, json, name, &row));
 *     TRY(comparison_encode(comparison, row.messages, row.answer[0], row.answer[1], name, &ids, &count));
 *     comparison_label(comparison, 0)           -- the token that says: the one shown first
 *
 * The template sees `messages`, `prompt`, `first`, `second` and `labels`. A prompt of text is one
 * message of the user; `prompt` is the text of one message, or a conversation told line by line.
 * The template's text is
 * the user's message of the model's chat template, or stands alone. Nothing that data spell becomes
 * a special token. Any thread. */
#pragma once
#include "model/text/rows/row_encode.h"

/* As RLHFlow's models have it: the default. */
#define COMPARISON_TEMPLATE                                                                        \
    "[CONTEXT] \n{% for message in messages %}{{ '\\n<turn> ' ~ message.role ~ '\\n ' ~ "          \
    "message.content }}{% endfor %}{{ '\\n' }} [RESPONSE {{ labels[0] }}] {{ first }} [RESPONSE "  \
    "{{ labels[1] }}] {{ second }} {{ '\\n' }}"

/* In the order of COMPARISON_FORMATS' words. AUTO: the model's chat template where it has one. */
#define COMPARISON_FORMATS "auto|chat|text"
enum comparison_format { COMPARISON_AUTO, COMPARISON_CHAT, COMPARISON_TEXT };

struct recipe_texts;

/* Borrowed during comparison_open. */
struct comparison_config {
    const char *template; // Jinja; "": COMPARISON_TEMPLATE
    enum comparison_format format;
    const struct recipe_texts *labels; // of the answer shown first, of the other; none: A and B
    bool bos;                          // false: without the token that texts begin with
    struct row_names names;
    int64_t now_s; // the time that templates see
};

struct comparison;

/* directory: the model's, whose chat template is read; its tokenizer is borrowed. INVALID: the
 * template cannot be read, labels are not two different texts of one token each, or format chat
 * lacks a chat template. */
err_t comparison_open(const char *directory, const struct tokenizer *tokenizer,
                      const struct comparison_config *config, struct comparison **ret);
void comparison_free(struct comparison *comparison);
DEFINE_SCOPED(comparison)

int32_t comparison_label(const struct comparison *comparison, int shown); // 0: first, 1: second

/* A prompt and its answers, as texts. */
struct compared {
    json_t *messages;          // owned
    json_t *answer[ROW_SIDES]; // (answers) strings, owned
    double score[ROW_SIDES];   // of preferences 1 and 0, of ranked completions their own
    int answers;
};

/* Of a preference (chosen, rejected) or of ranked completions; of messages an answer is the text of
 * the last one. INVALID: another format, or a text that is none. */
err_t comparison_row(const struct comparison *comparison, const json_t *row, const char *name,
                     struct compared *ret);

void compared_done(struct compared *compared);

/* The prompt of any row, as messages; the caller's. */
err_t comparison_prompt(const struct comparison *comparison, const json_t *row, const char *name,
                        json_t **ret_messages);

/* Two answers, texts, shown in this order; the ids are the caller's. INVALID: the template fails,
 * or there is no token. */
err_t comparison_encode(const struct comparison *comparison, const json_t *messages,
                        const json_t *first, const json_t *second, const char *name,
                        int32_t **ret_ids, int *ret_count);

/* Messages as one text: of one its content, of more line by line, each with its role. New. */
json_t *comparison_told(const json_t *messages);
