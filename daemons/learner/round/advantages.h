/* The stages between a round's rewards and its updates: advantages, and marks of completions that
 * follow from rewards. Each fills columns of run->batch. Owner: the compute thread.
 *
 *     TRY(advantages_fill(run));           -- advantage, from reward; normalised if the settings say so */
#pragma once
#include "learner/round/stages.h"

/* COLUMN_ADVANTAGE. INVALID: its estimator reads scores, and a group has others than the recipe. */
err_t advantages_fill(struct round_run *run);

/* COLUMN_TOKEN_ADVANTAGE, from the rewards of tokens. */
err_t advantages_fill_to_go(struct round_run *run);

/* COLUMN_IMITATED: the completions whose likelihood is a term of the loss. */
err_t advantages_mark_good(struct round_run *run);

/* COLUMN_GROUP_TOKENS. */
err_t advantages_fill_group_tokens(struct round_run *run);
