/* Values of a recipe that are lists.
 *
 *     TRY(recipe_train_rows(recipe, &rows));
 *
 * Any thread. */
#pragma once
#include "base/mixture.h"

enum { RECIPE_TEXTS = 16, RECIPE_FILES = MIXTURE_FILES };

struct recipe_pair {
    double at[2];
};

struct recipe_texts {
    size_t count;
    char **at; // (count)
};

/* A path, or a list of paths and of maps {path, weight}. */
struct recipe_files {
    size_t count; // 0: not set
    struct mixture_file *at;
};

struct recipe;
/* Opens data.train, which is set: mixture_open with run.seed and data.shuffle. */
err_t recipe_train_rows(const struct recipe *recipe, struct mixture **ret);
