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

/* Whether the learner computes the reference's log-probabilities itself, by its model without the
 * adapter: nothing else was asked for. */
static inline bool recipe_refers_to_base(const struct recipe *recipe)
{
    return recipe_has_lora(recipe) && !recipe_has_reference(recipe);
}
