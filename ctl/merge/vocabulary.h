/* Which row of a vocabulary has the token that another has in its own row: by the tokens' bytes.
 *
 *     SCOPED_VALUE(merge_vocabulary) rows = {0};
 *     merge_vocabulary_match(ours, V, theirs, their_V, &rows);
 *     rows.at[7]            -- their row of our token 7; -1: they have none
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include "model/text/tokenizer.h"

struct merge_vocabulary {
    int32_t *at; // (V) NULL: every row is its own
    bool *has;   // (V)
    int V, shared;
};

/* A row without a token has no partner. Of two tokens with the same bytes the first counts. */
void merge_vocabulary_match(const struct tokenizer *ours, int V, const struct tokenizer *theirs,
                            int their_V, struct merge_vocabulary *ret);

/* INVALID: a row that is one token here and another there. */
err_t merge_vocabulary_same(const struct tokenizer *ours, const char *our_name,
                            const struct tokenizer *theirs, const char *their_name);
void merge_vocabulary_done(struct merge_vocabulary *rows);
