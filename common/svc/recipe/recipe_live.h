/* The recipe as something that is read out and changed while the run goes on.
 *
 *     const struct recipe_assignment to[] = {{"lag.max", "2"}, {"learner.optimizer.lr", "1e-4"}};
 *     TRY(recipe_change(recipe, to, 2, &changed));      -- INVALID: "lag.max: '-1' is out of range; allowed: ..."
 *     recipe_describe(changed, show, arg);
 *
 * Any thread. */
#pragma once
#include "svc/recipe/recipe.h"

struct recipe_assignment {
    const char *key, *value; // "lag.max", as the recipe would have it
};

/* A copy with other values of options that are LIVE, checked as a whole. NOT_FOUND: no such key;
 * INVALID: an option that is not LIVE, a value, values that do not go together. err_field has the
 * key and the values allowed. */
err_t recipe_change(const struct recipe *recipe, const struct recipe_assignment *at, size_t count,
                    struct recipe **ret);

/* One option of the table and its value; borrowed during the call. */
struct recipe_setting {
    const char *key, *value; // as the recipe would have it
    const char *kind;        // "count"
    const char *allowed;     // "a whole number from 0 to 1000"
    const char *help;
    bool live;
};
void recipe_describe(const struct recipe *recipe,
                     void (*fn)(void *arg, const struct recipe_setting *setting), void *arg);

bool recipe_key_exists(const char *key); // of an option or a section
