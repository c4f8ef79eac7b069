/* A program's command, and the files that it must read for that.
 *
 *     TRY(program_words_read(&keys->command, &keys->read, &words));     -- NOT_FOUND: no such file
 *     words.argv[0], words.read[0]
 *
 * A program reads each file of its command with that file's directory, the tree of its interpreter,
 * and `read`. */
#pragma once
#include "base/err.h"
#include "svc/recipe/recipe_lists.h"
#include <stddef.h>

struct program_words {
    char **argv; // ends with NULL
    char **read; // (reads)
    size_t reads;
};

err_t program_words_read(const struct recipe_texts *command, const struct recipe_texts *read,
                         struct program_words *ret);
void program_words_done(struct program_words *words);
