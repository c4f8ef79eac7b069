/* Files of rows in a recipe: a path, a list, weights. */
#include "base/mem.h"
#include "svc/recipe/recipe.h"
#include "testing/testing.h"
#include <string.h>

static err_t parse(const char *text, struct recipe **ret)
{
    return recipe_parse(text, strlen(text), "ring.yaml", "/recipes", NULL, ret);
}

static err_t refuse(const char *text)
{
    SCOPED(recipe) recipe = NULL;
    return parse(text, &recipe);
}

static err_t override(const char *set)
{
    SCOPED(recipe) recipe = NULL;
    struct recipe_source source = {.sets = &set, .sets_count = 1};
    return recipe_parse("", 0, "ring.yaml", ".", &source, &recipe);
}

/* A path, a list of paths, and maps with weights; a recipe that was rendered has the same. */
static void files_of_rows_have_weights(void **state)
{
    (void)state;
    static const char text[] = "data:\n  train: [a.jsonl, {path: /b, weight: 0.25},\n"
                               "    {path: c}]\nsft: {data: {path: d, weight: 2}}";
    SCOPED(recipe) r = NULL, *again = NULL, *set = NULL;
    SCOPED_VALUE(bytes) rendered = {0};
    SCOPED_MEM char *value = NULL;
    assert_ok(parse(text, &r));
    recipe_render(r, &rendered);
    assert_ok(recipe_parse((char *)rendered.data, rendered.len, "again", "/x", NULL, &again));
    for (const struct recipe *each = r; each; each = each == r ? again : NULL) {
        assert_int_equal(each->data.train.count, 3);
        assert_string_equal(each->data.train.at[0].path, "/recipes/a.jsonl");
        assert_near(each->data.train.at[0].weight, 1, 0);
        assert_string_equal(each->data.train.at[1].path, "/b");
        assert_near(each->data.train.at[1].weight, 0.25, 0);
        assert_int_equal(each->sft.data.count, 1);
        assert_near(each->sft.data.at[0].weight, 2, 0);
        assert_ok(recipe_require(each, "data.train"));
    }
    const char *sets[] = {"data.train=[x,y]", "sft.data=[odd", "data.train={path: z, weight: 3}",
                          "sft.data=a: [b"};
    struct recipe_source source = {.sets = sets, .sets_count = 1};
    assert_ok(recipe_parse(text, strlen(text), "ring.yaml", "/at", &source, &set));
    assert_int_equal(set->data.train.count, 2);
    assert_ok(recipe_get(set, "sft.data", &value));
    assert_string_equal(value, "[{path: \"/at/d\", weight: 2}]");
    assert_err(ERR_INVALID, "not YAML", override(sets[1]));
    assert_ok(override(sets[2]));
    assert_ok(override(sets[3])); // a path as it stands
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"data: {train: []}", "ring.yaml:1: data.train: a list of 0; allowed: a list of 1 to 64"},
        {"data:\n  train: [a,\n   {weight: 2}]",
         "ring.yaml:3: data.train[1]: the entry has no path"},
        {"data: {train: [a, {path: b, weight: 0}]}", "data.train[1].weight: '0' is out of range"},
        {"data: {train: [{path: b, wait: 1}]}", "data.train[0].wait: no such key"},
        {"data: {train: [[a]]}", "data.train[0]: is a list; allowed: a path"},
        {"data: {train: }", "data.train: has no value; allowed: a path, or a list of up to 64"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_err(ERR_INVALID, bad[i].message, refuse(bad[i].text));
}

TESTS(cmocka_unit_test(files_of_rows_have_weights))
