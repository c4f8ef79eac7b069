/* check: a recipe and every file that it names, before anything is started. */
#include "ctl/check.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "ctl/command.h"
#include "model/likelihood.h"
#include "model/tokenizer.h"
#include "svc/recipe_cli.h"
#include <stdio.h>

static err_t check_model(const char *directory)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    TRY(backend_cpu_new(&(struct cpu_config){.threads = 1}, &be));
    TRY(model_load(be, directory, &model));
    TRY(tokenizer_load(directory, &tokenizer));
    const struct model_config *config = &model->config;
    return err_wrap(tokenizer_check(tokenizer, config->V, config->eos_count ? config->eos[0] : -1),
                    "'%s'", directory);
}

/* The first row has the columns that the recipe reads. */
static err_t check_data(const struct recipe *recipe, const char *path)
{
    SCOPED(jsonl) rows = NULL;
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_JSON json_t *row = NULL;
    const char *value;
    TRY(jsonl_open(path, &rows));
    TRY(jsonl_row(rows, 0, &text));
    SCOPED_MEM char *name = mem_printf("%s:1", path);
    TRY(json_parse((const char *)text.data, text.len, name, &row));
    TRY(json_get_text(row, name, recipe->data.prompt_column, &value));
    for (size_t i = 0; i < recipe->rewarder.scorers.count; i++) {
        const char *column = recipe->rewarder.scorers.at[i].column;
        if (*column)
            TRY(err_wrap(json_get_text(row, name, column, &value), "rewarder.scorers[%zu].column",
                         i));
    }
    return OK;
}

static err_t check_reference(const struct recipe *recipe)
{
    const char *path = recipe->rewarder.reference_path;
    int64_t tokens = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    if (recipe->rewarder.reference == RECIPE_NO_REFERENCE || !*path)
        return OK;
    TRY(check_model(path));
    return err_wrap(likelihood_comparable(recipe->model.path, path, (int)tokens),
                    "%s: rewarder.reference", recipe->file);
}

err_t check_ring(const struct recipe *recipe)
{
    TRY(recipe_require(recipe, "model.path"));
    TRY(recipe_require(recipe, "data.train"));
    if (!recipe->rewarder.scorers.count)
        return err_new(ERR_INVALID,
                       "%s: rewarder.scorers is empty: without a scorer there is no reward",
                       recipe->file);
    TRY(check_model(recipe->model.path));
    TRY(check_reference(recipe));
    TRY(check_data(recipe, recipe->data.train));
    return *recipe->data.eval ? check_data(recipe, recipe->data.eval) : OK;
}

err_t command_check(int argc, char **argv)
{
    struct recipe_cli cli = {.program = "rlhfctl check",
                             .purpose =
                                 "Checks a recipe and every file that it names; starts nothing."};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    TRY(check_ring(recipe));
    printf("%s: in order\n", recipe->file);
    return OK;
}
