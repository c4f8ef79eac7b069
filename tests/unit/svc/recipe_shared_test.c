/* What the daemons of a run must agree on: keys of the table, none of which may be changed while
 * the run goes on. */
#include "base/mem.h"
#include "svc/recipe/recipe_live.h"
#include "svc/recipe/recipe_shared.h"
#include "testing/testing.h"
#include <stdio.h>
#include <string.h>

struct wanted {
    const char *key;
    bool found, live;
};

static void look(void *arg, const struct recipe_setting *setting)
{
    struct wanted *wanted = arg;
    if (strcmp(setting->key, wanted->key) != 0)
        return;
    wanted->found = true;
    wanted->live = setting->live;
}

struct telling {
    const struct recipe *recipe;
    int count;
};

static void check(void *arg, const char *key, const char *value)
{
    struct telling *telling = arg;
    struct wanted wanted = {.key = key};
    recipe_describe(telling->recipe, look, &wanted);
    if (!wanted.found || wanted.live || !value)
        fail_msg("%s: found %d, live %d", key, wanted.found, wanted.live);
    telling->count++;
}

static void none_of_it_is_live(void **)
{
    SCOPED(recipe) recipe = NULL;
    assert_ok(recipe_read(&(struct recipe_source){0}, &recipe));
    struct telling samples = {recipe, 0}, scores = {recipe, 0}, referred = {recipe, 0};
    recipe_of_samples(recipe, check, &samples);
    recipe_of_scores(recipe, check, &scores);
    free(recipe->rewarder.reference.kind);
    recipe->rewarder.reference.kind = mem_string("frozen");
    recipe_of_scores(recipe, check, &referred);
    assert_true(samples.count >= 15);
    assert_int_equal(scores.count, 3);
    assert_true(referred.count > scores.count);
}

static void look_for_head(void *arg, const char *key, const char *value)
{
    if (strcmp(key, "model.head") == 0)
        snprintf(arg, 16, "%s", value);
}

/* Builds that do not know a key agree on its default. */
static void a_new_key_is_told_where_it_is_not_the_default(void **)
{
    char told[16] = "";
    SCOPED(recipe) recipe = NULL;
    assert_ok(recipe_read(&(struct recipe_source){0}, &recipe));
    recipe_of_samples(recipe, look_for_head, told);
    assert_string_equal(told, "");
    recipe->model.head = RECIPE_HEAD_BF16;
    recipe_of_samples(recipe, look_for_head, told);
    assert_string_equal(told, "bf16");
    *told = 0;
    recipe_of_scores(recipe, look_for_head, told);
    assert_string_equal(told, "");
    free(recipe->rewarder.reference.kind);
    recipe->rewarder.reference.kind = mem_string("frozen");
    recipe_of_scores(recipe, look_for_head, told);
    assert_string_equal(told, "bf16");
}

TESTS(cmocka_unit_test(none_of_it_is_live),
      cmocka_unit_test(a_new_key_is_told_where_it_is_not_the_default))
