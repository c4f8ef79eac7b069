#include "svc/recipe/recipe_default.h"
#include "rl/objective_table.h"
#include <string.h>

double recipe_epsilon_high(const struct recipe *recipe)
{
    const struct recipe_learner *learner = &recipe->learner;
    return learner->epsilon_high == RECIPE_NUMBER_DEFAULT ? learner->epsilon
                                                          : learner->epsilon_high;
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
