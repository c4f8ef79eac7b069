/* The frozen reference model: adds to each completion the log-probabilities of its tokens under it,
 * at the group's temperature (1 where that is 0, in a greedy evaluation, as they were stamped).
 * They have the bits that the learner's own forward gives at the same weights.
 *
 *     TRY(reference_open(recipe, &reference));         -- *ret NULL: the recipe has none
 *     TRY(reference_group(reference, group));          -- adds the column, of every completion that is trained
 *
 * Owner: one thread at a time; it has a backend of its own with rewarder.threads. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "svc/recipe/recipe.h"
#include "wire/rollout.h"

struct reference;

/* Loads rewarder.reference_path, or model.path where that is empty. NOT_FOUND, INVALID;
 * PRECONDITION: it does not fit the policy's vocabulary, tokenizer or length, and both directories
 * are named. */
err_t reference_open(const struct recipe *recipe, struct reference **ret);

/* All completions, or of training pairs the best and the worst (recipe_refers_to_pairs), in as few
 * forwards as learner.micro_tokens allows. RANGE, INVALID, DATA_LOSS: too long, a token outside the
 * vocabulary, or one of no probability; then the group is as it was. */
err_t reference_group(struct reference *reference, struct group *group);

/* The forward id of its numerics (model/numerics.h); the caller's. */
char *reference_forward_id(const struct reference *reference);

void reference_free(struct reference *reference);
DEFINE_SCOPED(reference)
