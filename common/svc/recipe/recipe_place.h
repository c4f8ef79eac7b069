/* Where a recipe's values were written, for errors about values that only make sense together or
 * with a file.
 *
 *     if (slots < group)
 *         return recipe_wrong(recipe, "generator.slots", "%d is too few", slots);     -- "ring.yaml:7: generator.slots: 4 is ..."
 *     TRY(recipe_place(recipe, "model.path", model_load(...)));
 *
 * Any thread. */
#pragma once
#include "svc/recipe/recipe.h"
#include "svc/recipe/yaml_tree.h"

/* Inside svc: takes root and copies the overrides. */
struct recipe_places *recipe_places_new(struct yaml_tree *root, const struct recipe_source *source);
void recipe_places_free(struct recipe_places *places);

/* Puts where key was written, and key, before an error's message: "ring.yaml:7: KEY: ", "--set:
 * KEY: ", or the file alone for a default. Entries of lists are keys too:
 * "rewarder.scorers[1].pattern". Takes e and returns it; OK stays OK. */
err_t recipe_place(const struct recipe *recipe, const char *key, err_t e);

/* INVALID at the place of key; err_field names it. */
err_t recipe_wrong(const struct recipe *recipe, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool recipe_is_set_on_line(const struct recipe *recipe, const char *key); // by --set
