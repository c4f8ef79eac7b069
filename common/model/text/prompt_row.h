/* A row of a dataset as a request: the tokens of its prompt, and how long the completion may be.
 *
 *     SCOPED_VALUE(prompt_row) prompt = {0};
 *     TRY(prompt_row_read(&rules, row, "train.jsonl:7", &prompt));     -- RANGE: too long; INVALID: not what it must be
 *
 * The generator reads the rows that it is leased so, `rlhfctl check` the first ones of a dataset.
 * Any thread. */
#pragma once
#include "base/json.h"
#include "model/text/rows/row_encode.h"

struct prompt_rules {
    struct row_rules rows;
    int64_t most;       // tokens of a prompt (data.max_prompt_tokens)
    int64_t context;    // tokens of prompt and completion together
    int64_t max_tokens; // of a completion whose row names no number of its own
};

struct prompt_row {
    int32_t *token; // (tokens), owned
    int tokens;
    int max_tokens;  // of the completion, as far as there is room
    bool ignore_eos; // the model's end tokens do not end it
};

/* name is what errors call the row. max_tokens and ignore_eos are read from the row, under the
 * names that vLLM uses. */
err_t prompt_row_read(const struct prompt_rules *rules, const json_t *row, const char *name,
                      struct prompt_row *ret);
void prompt_row_done(struct prompt_row *prompt);
