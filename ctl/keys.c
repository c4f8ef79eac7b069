/* recipe: the options table, for people (docs/recipe.md) . */
#include "ctl/command.h"
#include "svc/recipe.h"
#include <stdio.h>

err_t command_recipe(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        puts(
            "Usage: rlhfctl recipe\nPrints every key of a recipe with type, default, range and help, as Markdown.");
        return OK;
    }
    SCOPED_VALUE(bytes) text = {0};
    recipe_markdown(&text);
    fwrite(text.data, 1, text.len, stdout);
    return OK;
}
