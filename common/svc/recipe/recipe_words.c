#include "svc/recipe/recipe_words.h"
#include "svc/recipe/recipe_words_table.h"
#include <stdbool.h>
#include <string.h>

static const struct recipe_word words[] = {
#define WORD(name, ours, note) {name, ours, note},
    RECIPE_WORDS(WORD)
#undef WORD
};
enum { WORDS_COUNT = sizeof words / sizeof *words };

static char plain(char c)
{
    return c == '-' ? '_' : c;
}

/* Whether path is name, or ends with ".name". */
static bool ends_with(const char *path, const char *name)
{
    const size_t all = strlen(path), len = strlen(name);
    if (len > all || (len < all && path[all - len - 1] != '.'))
        return false;
    for (size_t i = 0; i < len; i++)
        if (plain(path[all - len + i]) != name[i])
            return false;
    return true;
}

const struct recipe_word *recipe_word_find(const char *path)
{
    const struct recipe_word *found = NULL;
    for (size_t i = 0; i < WORDS_COUNT; i++)
        if (ends_with(path, words[i].name) &&
            (!found || strlen(words[i].name) > strlen(found->name)))
            found = &words[i];
    return found;
}

const struct recipe_word *recipe_word_at(size_t i)
{
    return i < WORDS_COUNT ? &words[i] : NULL;
}

err_t recipe_word_answer(const char *path)
{
    const struct recipe_word *word = recipe_word_find(path);
    if (!word)
        return OK;
    if (!*word->ours)
        return err_new(ERR_INVALID, "no such key, and nothing like it: %s", word->note);
    return err_new(ERR_INVALID, "no such key; did you mean '%s'?%s%s", word->ours,
                   *word->note ? " " : "", word->note);
}
