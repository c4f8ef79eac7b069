/* The reference's log-probabilities, by the learner itself: under the reference that it keeps. Of a
 * policy that is an adapter beside a model, the model with the adapter off is the reference.
 *
 *     if (referring_is_wanted(recipe, needs))
 *         TRY(referring_fill(step, model, recipe, batch));
 *
 * The bits are those that the rewarder's stage would send: the same forward over the same weights,
 * as float32. Owner: the compute thread. */
#pragma once
#include "learner/round/roundbatch.h"
#include "svc/recipe/recipe.h"

/* Whether these columns have the reference's, and no rewarder fills it (recipe_refers_itself). */
bool referring_is_wanted(const struct recipe *recipe, uint64_t columns);

/* Of all sequences; of pairs alone where others need none (recipe_refers_to_pairs), chosen by the
 * rewards as they are by now. The others have NaN. The model has its adapter again afterwards, on
 * failure too. Errors as step_logp. */
err_t referring_fill(struct step *step, struct model *model, const struct recipe *recipe,
                     struct round_batch *batch);
