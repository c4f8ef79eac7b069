/* Our keys for the names that other trainers use: look-ups in recipe_words_table.h.
 *
 *     const struct recipe_word *word = recipe_word_find("actor_rollout_ref.rollout.n");
 *     word->ours                                                       -- "generator.num_generations"
 *
 * Owner: any thread; the table is constant. */
#pragma once
#include "base/err.h"
#include <stddef.h>

struct recipe_word {
    const char *name; // as the other trainer writes it
    const char *ours; // "" where there is no such thing
    const char *note; // "" where the meaning is the same
};

/* By the end of a dotted path, the longest name first; NULL: nobody calls anything so. */
const struct recipe_word *recipe_word_find(const char *path);

/* The i-th row; NULL past the end. */
const struct recipe_word *recipe_word_at(size_t i);

/* INVALID without a place: "no such key; did you mean 'learner.epochs'? passes over ..."; OK: no
 * word is known. */
err_t recipe_word_answer(const char *path);
