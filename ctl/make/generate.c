/* generate: completions of prompts, as JSON lines or as text. */
#include "base/mem.h"
#include "base/printable.h"
#include "ctl/make/complete.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe_cli.h"

err_t command_generate(int argc, char **argv)
{
    const char *model = NULL, *prompt = NULL, *data = NULL;
    struct recipe_flag flags[] = {
        {"model", "DIR", "model directory; else the run's newest checkpoint, else model.path",
         .text = &model},
        {"prompt", "TEXT", "the prompt to complete", .text = &prompt},
        {"data", "FILE", "JSON lines with prompts; else data.eval", .text = &data},
    };
    struct recipe_cli cli = {.program = "rlhfctl generate",
                             .purpose = "Completes prompts with the settings of generator.*.",
                             .flags = flags,
                             .flags_count = 3,
                             .recipe_optional = true};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    SCOPED_MEM char *directory = NULL;
    SCOPED_VALUE(prompt_set) set = {0};
    TRY(complete_model(recipe, model, &directory));
    if (prompt)
        prompt_set_add(&set, json_pack("{s:s}", recipe->data.prompt_column, prompt));
    else
        TRY(prompt_set_read(data ? data : recipe->data.eval, UINT64_MAX, &set));
    SCOPED_VALUE(collected)
    collected = {.set = &set, .completions = prompt ? 1 : (int)recipe->generator.num_generations};
    const struct decoder_options options =
        complete_options(recipe, directory, recipe->generator.temperature, collected.completions);
    SCOPED(decoder) decoder = NULL;
    TRY(decoder_open(&options, &decoder));
    TRY(complete(decoder, &set, &collected));
    if (!prompt)
        return collected_write(stdout, &collected);
    const json_t *text = json_object_get(collected.line[0], "text");
    SCOPED_VALUE(bytes) shown = {0};
    if (isatty(STDOUT_FILENO))
        printable(&shown, json_string_value(text), json_string_length(text), "\n\t");
    else
        bytes_put(&shown, json_string_value(text), json_string_length(text));
    bytes_text(&shown, "\n");
    fwrite(shown.data, 1, shown.len, stdout);
    return OK;
}
