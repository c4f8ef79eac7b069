/* Each preset is a recipe that can be read, and every value of it is in force. */
#include "base/mem.h"
#include "svc/recipe/preset.h"
#include "svc/recipe/recipe.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

/* Numbers may be written in several ways. */
static bool equal(const char *a, const char *b)
{
    char *end_a, *end_b;
    const double x = strtod(a, &end_a), y = strtod(b, &end_b);
    return *a && *b && !*end_a && !*end_b && x == y;
}

static void every_value_of_a_preset_is_in_force(void **)
{
    const struct preset *preset;
    size_t i = 0;
    for (; (preset = preset_at(i)); i++) {
        SCOPED_VALUE(bytes) text = {0};
        SCOPED(recipe) recipe = NULL;
        assert_ok(preset_yaml(preset->name, &text));
        assert_ok(
            recipe_parse((const char *)text.data, text.len, "preset.yaml", ".", NULL, &recipe));
        for (size_t v = 0; v < preset->values; v++) {
            SCOPED_MEM char *is = NULL;
            assert_ok(recipe_get(recipe, preset->value[v].key, &is));
            if (!recipe_has(recipe, preset->value[v].key, preset->value[v].value) &&
                !equal(is, preset->value[v].value))
                fail_msg("%s: %s is %s and not %s", preset->name, preset->value[v].key, is,
                         preset->value[v].value);
        }
    }
    assert_int_equal(i, 4);
}

static void a_preset_is_nested_yaml(void **)
{
    SCOPED_VALUE(bytes) text = {0};
    assert_ok(preset_yaml("openrlhf", &text));
    const char *at = strstr((const char *)text.data, "learner:\n  objective: ppo\n");
    assert_non_null(at);
    assert_non_null(strstr(at, "  optimizer:\n    lr: 1e-6\n    betas: [0.9, 0.95]\n"));
    assert_non_null(strstr(at, "    clip: 10\n  kl:\n    place: reward\n"));
    assert_non_null(strstr(at, "lag:\n  max: 0\n"));
}

static void a_preset_that_there_is_not_is_refused(void **)
{
    SCOPED_VALUE(bytes) text = {0};
    assert_err(ERR_INVALID, "--preset: 'trll' is not known; allowed: n_plus, trl, verl, openrlhf",
               preset_yaml("trll", &text));
    assert_int_equal(text.len, 0);
}

TESTS(cmocka_unit_test(every_value_of_a_preset_is_in_force),
      cmocka_unit_test(a_preset_is_nested_yaml),
      cmocka_unit_test(a_preset_that_there_is_not_is_refused))
