#include "svc/recipe/recipe_default.h"
#include "rl/objective_table.h"
#include <string.h>

double recipe_epsilon_high(const struct recipe *recipe)
{
    const struct recipe_learner *learner = &recipe->learner;
    const struct gate_config *row = &objective_row(learner->objective)->defaults.gate;
    if (learner->epsilon_high != RECIPE_NUMBER_DEFAULT)
        return learner->epsilon_high;
    return learner->epsilon != RECIPE_NUMBER_DEFAULT ? learner->epsilon : row->epsilon_high;
}

struct correction_config recipe_correction_kind(const struct recipe *recipe)
{
    const struct recipe_correction *written = &recipe->learner.correction;
    const struct correction_config *row =
        &objective_row(recipe->learner.objective)->defaults.correction;
    struct correction_config correction = {CORRECTION_TIS_TOKEN, 0, 2};
    if (!correction_find(written->kind, &correction.correction) &&
        row->correction != CORRECTION_NONE)
        correction = *row;
    if (written->low != RECIPE_NUMBER_DEFAULT)
        correction.low = written->low;
    if (written->high != RECIPE_NUMBER_DEFAULT)
        correction.high = written->high;
    return correction;
}

/* In the reward k1 alone pulls towards the reference: rl/word_table.h. */
const char *recipe_kl_estimator(const struct recipe *recipe)
{
    const struct recipe_kl *kl = &recipe->learner.kl;
    if (strcmp(kl->estimator, "default") != 0)
        return kl->estimator;
    return kl->place == RECIPE_KL_IN_REWARD
               ? kl_name(KL_K1)
               : kl_name(objective_row(recipe->learner.objective)->defaults.kl);
}
