/* The rows that sft learns: of all files of sft.data, tokenized, in a seeded order without end.
 *
 *     SCOPED_VALUE(demonstrations) rows = {0};
 *     TRY(demonstrations_read(recipe, &rules, longest, &rows));
 *     demonstrations_at(&rows, n)->token
 *
 * An epoch has the places of base/mixture.h, of the rows that fit. Owner: one thread. */
#pragma once
#include "base/mixture.h"
#include "model/text/rows/row_encode.h"
#include "svc/recipe/recipe.h"

/* A tokenized row: prompt and completion lie one after the other. */
struct demonstration {
    uint32_t *token;           // (tokens)
    uint8_t *loss;             // (tokens) 1: counts in the loss
    int tokens, prompt_tokens; // prompt_tokens: 0 of a text without one
    int first;                 // before this one, at least 1, no token counts
};

struct demonstrations {
    struct mixture_plan plan;
    struct demonstration *row; // (count)
    uint64_t count, skipped;   // rows that fit, and that do not
};

/* longest: tokens of a row, at most; longer ones are skipped, and so are those with nothing to
 * learn. INVALID: a row that is none, or of a format that only another objective takes; all are
 * skipped. */
err_t demonstrations_read(const struct recipe *recipe, const struct row_rules *rules, int longest,
                          struct demonstrations *ret);
const struct demonstration *demonstrations_at(const struct demonstrations *rows, uint64_t n);
void demonstrations_done(struct demonstrations *rows);
