/* recipe: the tables of options and of the rewarder's stages, for people (docs/recipe.md). */
#include "ctl/make/scoring.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe_cli.h"
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
    SCOPED_VALUE(bytes) text = {0}, stages = {0};
    TRY(stages_document(&stages));
    recipe_markdown((const char *)stages.data, &text);
    fwrite(text.data, 1, text.len, stdout);
    return OK;
}
