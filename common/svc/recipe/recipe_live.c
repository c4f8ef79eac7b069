#include "svc/recipe/recipe_live.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/recipe/recipe_check.h"
#include "svc/recipe/recipe_options.h"
#include "svc/recipe/recipe_place.h"
#include <stdlib.h>
#include <string.h>

static err_t copy(const struct recipe *recipe, struct recipe **ret)
{
    SCOPED_VALUE(bytes) text = {0};
    struct recipe_source source = {.run = *recipe->directory ? recipe->directory : NULL,
                                   .daemon = recipe->daemon};
    recipe_render(recipe, &text);
    return recipe_parse((const char *)text.data, text.len, "", ".", &source, ret);
}

/* A pair is a YAML list, as in a recipe. */
static err_t set_text(const struct recipe_option *row, void *group, const char *text)
{
    if (row->kind != OPTION_pair)
        return option_set_text(row, group, text, false);
    SCOPED(yaml_tree) value = NULL;
    TRY(yaml_tree_parse(text, strlen(text), "value", &value));
    return option_set_pair(row, group, value);
}

static err_t assign(struct recipe *recipe, const struct recipe_assignment *at)
{
    const struct recipe_option *row = NULL;
    size_t base = 0;
    err_t unknown = option_require(at->key, &row, &base);
    if (!err_failed(unknown) && row->kind == OPTION_group)
        unknown = err_new(ERR_INVALID, "a section, not a key");
    if (err_failed(unknown)) {
        err_t e = err_new(ERR_NOT_FOUND, "%.100s: %s", at->key, err_message(unknown));
        e = err_reason(err_field(e, at->key, err_message(unknown)), "UNKNOWN_KEY");
        err_free(unknown);
        return e;
    }
    if (!option_is_live(at->key, row))
        return err_reason(
            err_field(err_new(ERR_INVALID,
                              "%s: it is fixed while the run goes on; change the recipe and start "
                              "again",
                              at->key),
                      at->key, "nothing while the run goes on: it is fixed"),
            "FIXED_KEY");
    SCOPED_VALUE(bytes) allowed = {0};
    option_allowed(row, &allowed);
    err_t wrong = set_text(row, (char *)recipe + base, at->value);
    return err_reason(
        err_field(err_wrap(wrong, "%s", at->key), at->key, (const char *)allowed.data),
        "VALUE_NOT_ALLOWED");
}

err_t recipe_change(const struct recipe *recipe, const struct recipe_assignment *at, size_t count,
                    struct recipe **ret)
{
    SCOPED(recipe) changed = NULL;
    TRY(copy(recipe, &changed));
    recipe_places_free(STEAL(changed->places)); // of the copy's text, which nobody sees
    for (size_t i = 0; i < count; i++)
        TRY(assign(changed, &at[i]));
    TRY(err_reason(recipe_check(changed), "SETTINGS_CONFLICT"));
    free(changed->file);
    changed->file = mem_string(recipe->file);
    *ret = STEAL(changed);
    return OK;
}

struct describing {
    const struct recipe *recipe;
    void (*fn)(void *arg, const struct recipe_setting *setting);
    void *arg;
};

static err_t describe(void *arg, const char *path, const struct recipe_option *row, size_t base)
{
    const struct describing *describing = arg;
    SCOPED_VALUE(bytes) value = {0};
    SCOPED_VALUE(bytes) allowed = {0};
    option_put(row, (const char *)describing->recipe + base, &value);
    option_allowed(row, &allowed);
    describing->fn(describing->arg, &(struct recipe_setting){.key = path,
                                                             .value = (const char *)value.data,
                                                             .kind = option_kind_name(row),
                                                             .allowed = (const char *)allowed.data,
                                                             .help = row->help,
                                                             .live = option_is_live(path, row)});
    return OK;
}

void recipe_describe(const struct recipe *recipe,
                     void (*fn)(void *arg, const struct recipe_setting *setting), void *arg)
{
    err_free(option_each(describe, &(struct describing){recipe, fn, arg}));
}

bool recipe_key_exists(const char *key)
{
    size_t base;
    return option_at(key, &base) != NULL;
}
