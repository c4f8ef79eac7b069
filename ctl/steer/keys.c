/* recipe: the options table, for people (docs/recipe.md) . */
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe.h"
#include <stdio.h>

err_t command_recipe(int argc, char **argv)
{
    bool helped;
    const struct arguments arguments = {
        .usage = "recipe",
        .purpose = "Prints every key of a recipe with type, default, range and help, as Markdown."};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED_VALUE(bytes) text = {0};
    recipe_markdown(&text);
    fwrite(text.data, 1, text.len, stdout);
    return OK;
}
