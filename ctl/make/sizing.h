/* Memory and disk of a run's daemons, from its recipe and its models' shapes: the table of
 * ARCHITECTURE.md, "Memory", which ./dev bench memory holds against real daemons. For whoever has
 * to say beforehand how much a machine or a pod must have. Pure: no file, no clock.
 *
 *     struct sizing sizing;
 *     sizing_make(recipe, &policy, 0, NULL, NULL, &sizing); -- sizing.learner, in bytes
 *
 * Peaks of the CPU's backend: on a GPU most of it is the GPU's memory. */
#pragma once
#include "model/files/config.h"
#include "svc/recipe/recipe.h"

struct sizing {
    double parameters; // of the policy, with the gaps of the flat array
    /* A generator's, while a whole version comes; the learner's; a rewarder's with its reference
     * and the reward models that were added. */
    double generator, learner, rewarder;
    double checkpoint; // bytes of one on disk, all trainees
    /* The learner's disk: checkpoints that stay, one being written and one of a backup, the free
     * bytes that are wanted. Stored groups come on top: as many as lag.max lets wait. */
    double disk;
};

/* reference, critic: their shapes where they have directories of their own; NULL: as the policy's,
 * if the recipe has them. adapter: elements of the one that trains alone; 0: none. */
void sizing_make(const struct recipe *recipe, const struct model_config *policy, double adapter,
                 const struct model_config *reference, const struct model_config *critic,
                 struct sizing *ret);

/* One of a rewarder's reward models, which it holds once whatever scorers name it. shared: an
 * adapter beside a base that was added before. */
void sizing_add_reward_model(const struct recipe *recipe, const struct model_config *config,
                             bool shared, struct sizing *sizing);

/* A preference model, whose comparisons have so many tokens at most. */
void sizing_add_preference_model(const struct model_config *config, int64_t tokens,
                                 struct sizing *sizing);
