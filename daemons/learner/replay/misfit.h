/* The checks that need this run's recipe: whether a group fits it and can be trained. The wire has
 * made the others.
 *
 *     const struct misfit_rules rules = misfit_rules(recipe, (struct misfit_vocabulary){V}, longest);
 *     if (misfit(&rules, group, why))
 *         ...                                    -- it cannot; why says why, for people
 *
 * Any thread: pure. */
#pragma once
#include "svc/recipe/recipe.h"
#include "tensor/tensor.h"
#include "wire/rollout.h"

enum { MISFIT_WHY = REASON_MAX_BYTES + 40 };

/* The ids of the model's rows. No group has one without a token. */
struct misfit_vocabulary {
    uint32_t size;
    const struct token_range *vacant; // (vacants) borrowed
    int vacants;
};

struct misfit_rules {
    const struct recipe *recipe;
    const char *run;
    uint32_t completions; // of every group
    struct misfit_vocabulary vocabulary;
    uint32_t longest;  // prompt + completion, in tokens
    uint32_t scores;   // of every completion
    float temperature; // the learner divides logits by it
    /* Sets of COLUMN_BIT. Every completion must have `needs`. A completion that is trained must
     * have `trained_needs`, too; of pairs these are the two that the rewards pick. */
    uint64_t needs, trained_needs;
};
struct misfit_rules misfit_rules(const struct recipe *recipe, struct misfit_vocabulary vocabulary,
                                 uint32_t longest);

/* The check of its columns' values alone: NULL: they can be counted with. */
const char *misfit_values(const struct group *group, char why[MISFIT_WHY]);

/* NULL: it fits; else why not, in `why`. */
const char *misfit(const struct misfit_rules *rules, const struct group *group,
                   char why[MISFIT_WHY]);
