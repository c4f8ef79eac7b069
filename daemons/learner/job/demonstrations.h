/* The rows that sft learns: of all files of sft.data, tokenized, in a seeded order without end.
 *
 *     SCOPED_VALUE(demonstrations) rows = {0};
 *     TRY(demonstrations_read(recipe, tokenizer, end, longest, &rows));
 *     demonstrations_at(&rows, n)->token
 *
 * An epoch has the places of base/mixture.h, of the rows that fit. Owner: one thread. */
#pragma once
#include "base/mixture.h"
#include "model/text/tokenizer.h"
#include "svc/recipe/recipe.h"

/* A tokenized row: prompt and completion lie one after the other, the end token included. */
struct demonstration {
    uint32_t *token;
    int prompt_tokens, tokens; // tokens: of the completion
};

struct demonstrations {
    struct mixture_plan plan;
    size_t files;
    struct {
        struct demonstration *row; // (rows)
        uint64_t rows;
    } file[MIXTURE_FILES];
    uint64_t count, skipped; // rows that fit, and that do not
};

/* end: the token behind a completion. longest: tokens of a row, at most; longer ones are skipped.
 * INVALID: a row that is none; all are too long. */
err_t demonstrations_read(const struct recipe *recipe, const struct tokenizer *tokenizer, int end,
                          int longest, struct demonstrations *ret);
const struct demonstration *demonstrations_at(const struct demonstrations *rows, uint64_t n);
void demonstrations_done(struct demonstrations *rows);
