/* recipe: the tables of options and of the rewarder's stages, for people (docs/recipe.md); or a
 * preset. */
#include "ctl/make/scoring.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "svc/recipe/preset.h"
#include "svc/recipe/preset_table.h"
#include "svc/recipe/recipe_cli.h"
#include <stdio.h>

#define NAME(name, enumerator, help) " " #name

err_t command_recipe(int argc, char **argv)
{
    bool helped;
    const char *preset = NULL;
    const struct argument_flag flags[] = {
        {"preset", "NAME", "print this recipe instead:" PRESETS(NAME), .text = &preset}};
    const struct arguments arguments = {
        .usage = "recipe [--preset NAME]",
        .purpose = "Prints every key of a recipe with type, default, range and help, as Markdown;\n"
                   "or a recipe with the settings of another trainer's PPO, as YAML.",
        .examples = "  rlhfctl recipe --preset n_plus > recipe.yaml\n",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED_VALUE(bytes) text = {0}, stages = {0};
    if (preset) {
        TRY(preset_yaml(preset, &text));
    } else {
        TRY(stages_document(&stages));
        recipe_markdown((const char *)stages.data, &text);
    }
    fwrite(text.data, 1, text.len, stdout);
    return OK;
}
