/* The format of a dataset's row, by its columns: those of TRL's datasets, as text or as messages
 * (docs/datasets.md).
 *
 *     struct row_kind kind;
 *     TRY(row_kind_of(row, &names, "train.jsonl:7", &kind));    -- INVALID: none of them; says what is allowed
 *     log_info("rows", "kind=\"%s\"", row_kind_text(&kind, text));
 *
 * Any thread: pure. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>

enum row_format {
    ROW_LANGUAGE,   // text | messages
    ROW_PROMPT,     // prompt
    ROW_COMPLETION, // prompt, completion
    ROW_PREFERENCE, // [prompt,] chosen, rejected; else what both begin with is the prompt
    ROW_UNPAIRED,   // prompt, completion, label: true or false
    ROW_STEPWISE,   // prompt, completions, labels: a text and a truth a step
    ROW_RANKED,     // prompt, completions, scores: several answers, and a number each
    ROW_FORMATS
};

/* Names of three columns; the others are TRL's. */
struct row_names {
    const char *prompt, *completion, *text;
};

enum { ROW_SIDES = 64 }; // answers of one row, at most
struct row_kind {
    enum row_format format;
    bool chat;     // messages instead of text
    bool implicit; // of a preference: the prompt is what both begin with
};

err_t row_kind_of(const json_t *row, const struct row_names *names, const char *name,
                  struct row_kind *ret);

/* "conversational preference, implicit prompt"; returns ret. */
enum { ROW_KIND_TEXT = 64 };
const char *row_kind_text(const struct row_kind *kind, char ret[ROW_KIND_TEXT]);

/* The kind of a file's first row. */
struct jsonl;
err_t row_kind_of_file(const struct jsonl *file, const struct row_names *names,
                       struct row_kind *ret);

/* A list of objects with a role, at least one. */
bool row_is_chat(const json_t *value);

/* A column that must be text, or if chat messages. INVALID names column, value and what is
 * allowed. */
err_t row_column(const json_t *row, const char *name, const char *column, bool chat,
                 const json_t **ret);

/* The text or messages that chosen and rejected both begin with, and how many bytes or messages of
 * them it has, as TRL's extract_prompt. INVALID: one of them is empty, or they are of two kinds. */
err_t row_extract_prompt(const json_t *chosen, const json_t *rejected, const char *name,
                         size_t *ret_count);
