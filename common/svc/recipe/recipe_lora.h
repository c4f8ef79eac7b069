/* Adapters in a recipe.
 *
 *     if (recipe_has_lora(recipe)) ...
 *
 * Any thread: pure. */
#pragma once
#include "svc/recipe/recipe.h"

/* Whether training moves an adapter and leaves model.path's weights as they are. */
static inline bool recipe_has_lora(const struct recipe *recipe)
{
    return recipe->lora.r > 0 || *recipe->lora.path;
}

/* Whether the reference is the learner's model without its adapter: nothing else was asked for. */
static inline bool recipe_refers_to_base(const struct recipe *recipe)
{
    return recipe_has_lora(recipe) && !recipe_has_reference(recipe);
}

/* Whether the learner computes the reference's log-probabilities itself. */
static inline bool recipe_refers_itself(const struct recipe *recipe)
{
    return recipe_refers_to_base(recipe) || recipe->learner.reference.kind != RECIPE_REFERENCE_NONE;
}

/* Whether the learner's reference moves. */
static inline bool recipe_reference_moves(const struct recipe *recipe)
{
    return recipe->learner.reference.kind > RECIPE_REFERENCE_FROZEN;
}
