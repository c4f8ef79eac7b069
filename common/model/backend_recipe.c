#include "model/backend_recipe.h"
#include "base/cpus.h"
#include "base/gpus.h"

static enum backend_wanted wanted_of(enum recipe_backend backend)
{
    static const enum backend_wanted all[] = {[RECIPE_BACKEND_AUTO] = BACKEND_AUTO,
                                              [RECIPE_BACKEND_CPU] = BACKEND_CPU,
                                              [RECIPE_BACKEND_CUDA] = BACKEND_CUDA};
    return all[backend];
}

#define BACKEND_OF(recipe, section)                                                                \
    (struct backend_config)                                                                        \
    {                                                                                              \
        .threads = cpus_threads((recipe)->section.threads), .cpus = (recipe)->section.cpus,        \
        .wanted = wanted_of((recipe)->section.backend),                                            \
        .round_head = (recipe)->model.head == RECIPE_HEAD_BF16                                     \
    }

/* Of a list the first: `rlhfctl up` gives each process a number of its own. The recipe has been
 * checked. */
struct backend_config backend_of_generator(const struct recipe *recipe)
{
    struct backend_config config = BACKEND_OF(recipe, generator);
    err_free(gpus_nth(recipe->generator.device, 0, &config.device));
    return config;
}

struct backend_config backend_of_rewarder(const struct recipe *recipe)
{
    struct backend_config config = BACKEND_OF(recipe, rewarder);
    config.device = (int)recipe->rewarder.device;
    return config;
}

struct backend_config backend_of_learner(const struct recipe *recipe)
{
    struct backend_config config = BACKEND_OF(recipe, learner);
    config.device = (int)recipe->learner.device;
    config.trains = true;
    return config;
}
