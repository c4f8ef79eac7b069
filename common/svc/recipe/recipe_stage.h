/* Stages of the rewarder as a recipe has them. Their own keys stay as they were written: the
 * rewarder reads, checks and documents them (rlhfd-rewarder --job check, --job document).
 *
 *     if (recipe_has_reference(recipe)) ...
 *     yaml_tree_member(recipe->rewarder.scorers.at[0].entry, "column")
 *
 * Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct yaml_tree;

/* Under rewarder.reference: a word, or a map with kind. */
struct recipe_stage {
    char *kind;
    struct yaml_tree *entry; // the map; NULL: the word alone
};

/* Under rewarder.scorers: a list of maps. */
struct recipe_scorer;
struct recipe_scorers {
    size_t count;
    struct recipe_scorer *at; // (count) recipe.h
};

struct recipe;
bool recipe_has_reference(const struct recipe *recipe); // its kind is not none
