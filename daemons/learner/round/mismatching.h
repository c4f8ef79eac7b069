/* Prompts with completions of other prompts: how far the policy is from the reference there is what
 * some objectives on labels compare with (COLUMN_MISMATCHED_REFERENCE, the anchor `mismatched`).
 *
 *     TRY(mismatching_check(recipe));              -- before the first round
 *     TRY(mismatching_fill(run));                  -- a stage of the round
 *
 * A sequence's prompt gets the completion of the nearest sequence before it that has another
 * prompt; before the first comes the last. TRL takes the sequence before it, whatever its prompt.
 * Owner: the compute thread. */
#pragma once
#include "base/err.h"
#include "model/pack.h"
#include <stdbool.h>

struct recipe;
struct round_run;

/* Log-probabilities under a reference that the learner has itself. */
struct referee {
    /* As likelihood_run. */
    err_t (*logp)(void *arg, const struct sequence *sequence, size_t count,
                  float inverse_temperature, float *ret);
    void *arg;
};

/* INVALID: the objective needs them, and the learner has no reference: neither the one that it
 * keeps or an adapter's base nor, if has_referee, one of its own. */
err_t mismatching_check(const struct recipe *recipe, bool has_referee);

/* The round's mismatched sequences, and their sums under the reference. */
err_t mismatching_fill(struct round_run *run);
