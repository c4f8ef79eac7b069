#include "ctl/make/reward_paths.h"
#include "base/mem.h"
#include "model/odds.h"
#include "svc/recipe/yaml_tree.h"
#include <stdlib.h>
#include <string.h>

struct paths {
    err_t (*fn)(void *arg, const struct reward_path *path);
    void *arg;
    size_t count;
    const char *seen[REWARD_PATHS_MAX];
};

static err_t take(struct paths *paths, const char *key, const struct yaml_tree *value)
{
    if (!value || value->kind != YAML_SCALAR || !*value->text || paths->count == REWARD_PATHS_MAX)
        return OK;
    for (size_t i = 0; i < paths->count; i++)
        if (strcmp(paths->seen[i], value->text) == 0)
            return OK;
    paths->seen[paths->count++] = value->text;
    return paths->fn(paths->arg, &(struct reward_path){key, value->text, 0});
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

/* Each scorer holds its own. */
static err_t take_preference(const struct paths *paths, size_t i, const struct yaml_tree *entry)
{
    SCOPED_MEM char *key = mem_printf("rewarder.scorers[%zu].path", i);
    const struct yaml_tree *path = yaml_tree_member(entry, "path"),
                           *most = yaml_tree_member(entry, "max_tokens");
    const long tokens = most && most->kind == YAML_SCALAR ? strtol(most->text, NULL, 10) : 0;
    if (!path || path->kind != YAML_SCALAR || !*path->text)
        return OK;
    return paths->fn(paths->arg,
                     &(struct reward_path){key, path->text, tokens > 0 ? tokens : ODDS_TOKENS});
}

static err_t take_entry(struct paths *paths, size_t i, const struct recipe_scorer *scorer)
{
    if (strcmp(scorer->kind, "reward_model") == 0 && scorer->entry)
        return take_scorer(paths, i, scorer->entry);
    if (strcmp(scorer->kind, "preference_model") == 0 && scorer->entry)
        return take_preference(paths, i, scorer->entry);
    return OK;
}

err_t reward_paths_each(const struct recipe *recipe,
                        err_t (*fn)(void *arg, const struct reward_path *path), void *arg)
{
    struct paths paths = {.fn = fn, .arg = arg};
    const struct recipe_scorers *scorers = &recipe->rewarder.scorers;
    for (size_t i = 0; i < scorers->count; i++)
        TRY(take_entry(&paths, i, &scorers->at[i]));
    return OK;
}
