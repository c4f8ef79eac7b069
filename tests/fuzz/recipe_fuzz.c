/* A recipe, and behind a NUL one --set: refused as INVALID in one line, or read; and then what is
 * rendered reads back as the same. */
#include "svc/recipe/recipe.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_error(err_t e)
{
    must(err_code(e) == ERR_INVALID);
    must(!strchr(err_message(e), '\n'));
    err_free(e);
}

static void check_same_again(const struct recipe *recipe)
{
    SCOPED(recipe) again = NULL;
    SCOPED_VALUE(bytes) first = {0}, second = {0};
    recipe_render(recipe, &first);
    err_t e = recipe_parse((const char *)first.data, first.len, "again", "/", NULL, &again);
    must(!err_failed(e));
    recipe_render(again, &second);
    must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *nul = len ? memchr(data, 0, len) : NULL;
    size_t text_len = nul ? (size_t)(nul - data) : len;
    SCOPED_VALUE(bytes) after = {0}; // strndup would read on under strict checks
    if (nul)
        bytes_put(&after, nul + 1, len - text_len - 1);
    const char *set = nul ? (const char *)after.data : NULL;
    const char *sets[] = {set};
    struct recipe_source source = {.sets = sets, .sets_count = set != NULL};
    SCOPED(recipe) recipe = NULL;
    err_t e = recipe_parse((const char *)data, text_len, "fuzz", "/", &source, &recipe);
    if (err_failed(e))
        check_error(e);
    else
        check_same_again(recipe);
    return 0;
}
