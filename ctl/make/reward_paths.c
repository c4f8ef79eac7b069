#include "ctl/make/reward_paths.h"
#include "base/mem.h"
#include "svc/recipe/recipe_lists.h"
#include "svc/recipe/yaml_tree.h"
#include <string.h>

enum { PATHS_MAX = RECIPE_SCORERS * (RECIPE_TEXTS + 1) };

struct paths {
    err_t (*fn)(void *arg, const char *key, const char *path);
    void *arg;
    size_t count;
    const char *seen[PATHS_MAX];
};

static err_t take(struct paths *paths, const char *key, const struct yaml_tree *value)
{
    if (!value || value->kind != YAML_SCALAR || !*value->text || paths->count == PATHS_MAX)
        return OK;
    for (size_t i = 0; i < paths->count; i++)
        if (strcmp(paths->seen[i], value->text) == 0)
            return OK;
    paths->seen[paths->count++] = value->text;
    return paths->fn(paths->arg, key, value->text);
}

static err_t take_scorer(struct paths *paths, size_t i, const struct yaml_tree *entry)
{
    SCOPED_MEM char *path = mem_printf("rewarder.scorers[%zu].path", i);
    const struct yaml_tree *list = yaml_tree_member(entry, "paths");
    TRY(take(paths, path, yaml_tree_member(entry, "path")));
    for (size_t k = 0; list && list->kind == YAML_LIST && k < list->count; k++) {
        SCOPED_MEM char *key = mem_printf("rewarder.scorers[%zu].paths[%zu]", i, k);
        TRY(take(paths, key, list->at[k]));
    }
    return OK;
}

err_t reward_paths_each(const struct recipe *recipe,
                        err_t (*fn)(void *arg, const char *key, const char *path), void *arg)
{
    struct paths paths = {.fn = fn, .arg = arg};
    const struct recipe_scorers *scorers = &recipe->rewarder.scorers;
    for (size_t i = 0; i < scorers->count; i++)
        if (strcmp(scorers->at[i].kind, "reward_model") == 0 && scorers->at[i].entry)
            TRY(take_scorer(&paths, i, scorers->at[i].entry));
    return OK;
}
