/* A recipe's values by their keys. */
#include "base/mem.h"
#include "rl/objective_table.h"
#include "svc/recipe/recipe.h"
#include "svc/recipe/recipe_options.h"
#include "svc/recipe/recipe_place.h"
#include <assert.h>
#include <string.h>

err_t recipe_require(const struct recipe *recipe, const char *key)
{
    const struct recipe_option *row = NULL;
    size_t base = 0;
    TRY(option_require(key, &row, &base));
    const void *field = (const char *)recipe + base + row->offset;
    assert(option_is_text(row) || row->kind == OPTION_files); // others always have a value
    if (row->kind == OPTION_files ? ((const struct recipe_files *)field)->count > 0
                                  : **(char *const *)field)
        return OK;
    return err_new(ERR_INVALID, "%s%s%s is not set: %s", recipe->file, *recipe->file ? ": " : "",
                   key, row->help);
}

err_t recipe_require_policy(const struct recipe *recipe)
{
    const char *objective = recipe->learner.objective;
    if (!objective_is_judge(objective_row(objective)))
        return OK;
    return recipe_wrong(recipe, "learner.objective",
                        "%s trains a reward model (rlhfctl reward train), and a ring a policy; "
                        "allowed: any other (rlhfctl objectives list)",
                        objective);
}

err_t recipe_get(const struct recipe *recipe, const char *key, char **ret)
{
    const struct recipe_option *row = NULL;
    size_t base = 0;
    TRY(err_wrap(option_require(key, &row, &base), "%s", key));
    if (row->kind == OPTION_group)
        return err_new(ERR_INVALID, "%s: a section, not a key", key);
    SCOPED_VALUE(bytes) text = {0};
    option_put(row, (const char *)recipe + base, &text);
    *ret = mem_string((const char *)text.data);
    return OK;
}

bool recipe_has(const struct recipe *recipe, const char *key, const char *value)
{
    SCOPED_MEM char *text = NULL;
    size_t base;
    const struct recipe_option *row = option_at(key, &base);
    if (row && row->kind == OPTION_stage) {
        const struct recipe_stage *stage =
            (const void *)((const char *)recipe + base + row->offset);
        return strcmp(stage->kind, value) == 0;
    }
    err_t unknown = recipe_get(recipe, key, &text);
    assert(!err_failed(unknown));
    err_free(unknown);
    const char *word = text + (*text == '"');
    const size_t len = strcspn(word, "\"");
    return strlen(value) == len && memcmp(word, value, len) == 0;
}

bool recipe_has_reference(const struct recipe *recipe)
{
    return strcmp(recipe->rewarder.reference.kind, "none") != 0;
}

err_t recipe_train_rows(const struct recipe *recipe, struct mixture **ret)
{
    const struct recipe_files *train = &recipe->data.train;
    return mixture_open(train->at, train->count, (uint64_t)recipe->run.seed, recipe->data.shuffle,
                        ret);
}

struct difference {
    const struct recipe *a, *b;
    recipe_look fn;
    void *arg;
};

static err_t compare_value(void *arg, const char *path, const struct recipe_option *row,
                           size_t base)
{
    const struct difference *difference = arg;
    SCOPED_VALUE(bytes) a = {0};
    SCOPED_VALUE(bytes) b = {0};
    option_put(row, (const char *)difference->a + base, &a);
    option_put(row, (const char *)difference->b + base, &b);
    if (strcmp((char *)a.data, (char *)b.data) != 0)
        difference->fn(difference->arg, path, (char *)a.data, (char *)b.data);
    return OK;
}

void recipe_differences(const struct recipe *a, const struct recipe *b, recipe_look fn, void *arg)
{
    err_free(option_each(compare_value, &(struct difference){a, b, fn, arg}));
}
