/* lag.max as a number or auto, and what the keys around it have to do with each other. */
#include "base/mem.h"
#include "svc/recipe/recipe_cli.h"
#include "testing/testing.h"
#include <string.h>

static err_t parse(const char *text, struct recipe **ret)
{
    return recipe_parse(text, strlen(text), "ring.yaml", ".", NULL, ret);
}

static err_t refuse(const char *text)
{
    struct recipe *none = NULL;
    err_t failed = parse(text, &none);
    assert_null(none);
    return failed;
}

static void the_limit_is_a_number_or_auto(void **)
{
    SCOPED(recipe) plain = NULL, *steered = NULL, *again = NULL;
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM char *value = NULL;
    assert_ok(parse("lag: {max: 3}", &plain));
    assert_int_equal(recipe_lag_target(plain), 3);
    assert_int_equal(recipe_lag_most(plain), 3);
    assert_ok(parse("lag: {max: auto, auto_at: 2, auto_max: 5}", &steered));
    assert_int_equal(steered->lag.max, RECIPE_COUNT_AUTO);
    assert_int_equal(recipe_lag_target(steered), 2);
    assert_int_equal(recipe_lag_most(steered), 5);
    assert_ok(recipe_get(steered, "lag.max", &value));
    assert_string_equal(value, "auto");
    recipe_render(steered, &text);
    assert_ok(recipe_parse((char *)text.data, text.len, "rendered", ".", NULL, &again));
    assert_int_equal(again->lag.max, RECIPE_COUNT_AUTO);
    assert_int_equal(recipe_lag_target(again), 2);
}

static void where_auto_stands_is_kept_inside_its_range(void **)
{
    SCOPED(recipe) low = NULL, *high = NULL;
    assert_ok(parse("lag: {max: auto, auto_min: 3, auto_at: 1}", &low));
    assert_int_equal(recipe_lag_target(low), 3);
    assert_ok(parse("lag: {max: auto, auto_at: 9, auto_max: 4}", &high));
    assert_int_equal(recipe_lag_target(high), 4);
}

static void help_and_docs_say_so(void **)
{
    SCOPED_VALUE(bytes) docs = {0};
    recipe_markdown("", &docs);
    assert_non_null(
        strstr((char *)docs.data,
               "| `max` | `1` | count or auto | a whole number from 0 to 1000, or auto | live |"));
}

static void what_does_not_go_together_is_refused(void **)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"lag: {max: aut}",
         "lag.max: 'aut' is not a whole number; allowed: a whole number from 0 to 1000, or auto"},
        {"lag: {max: \"auto\"}", "lag.max: 'auto' is quoted, and so is text"},
        {"lag: {max: -1}", "lag.max: '-1' is out of range"},
        {"lag: {hard_max: auto}", "lag.hard_max: 'auto' is not a whole number"},
        {"lag:\n  auto_min: 4\n  auto_max: 3",
         "ring.yaml:2: lag.auto_min: 4 is too many; it must be at most lag.auto_max = 3"},
        {"lag: {max: auto, auto_max: 63}\nreplay: {max_groups: 4095}",
         "ring.yaml:2: replay.max_groups: 4095 is too few; it must be at least (lag.auto_max + 1) * learner.groups = (63 "
         "+ 1) * 64 = 4096"},
        {"lag: {max: auto, auto_at: 8}\npublish: {every: 2}",
         "publish.every: 2 is too seldom; it must be at most lag.auto_min + 1 = 1"},
        {"lag: {max: 17, on_stale: keep}",
         "lag.hard_max: 16 is too few; with on_stale: keep it must be at least lag.max = 17"},
        {"lag: {max: auto, auto_max: 20, on_stale: keep}",
         "lag.hard_max: 16 is too few; with on_stale: keep it must be "
         "at least lag.auto_max = 20"},
        {"lag: {on_stale: forget}", "lag.on_stale: 'forget' is not known; allowed: drop, keep"},
        {"lag: {auto_ess: [0.8, 0.5]}", "lag.auto_ess: [0.8, 0.5] is no band"},
        {"lag: {auto_kl: [1, 0]}", "lag.auto_kl: [1, 0] is no band"},
        {"lag: {auto_idle: [0.1, 1.5]}", "lag.auto_idle"},
        {"lag: {auto_rounds: 0}", "lag.auto_rounds: '0' is out of range"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_INVALID, cases[i].message, refuse(cases[i].text));
    SCOPED(recipe) r = NULL, *q = NULL;
    assert_ok(parse("lag: {max: 17}", &r)); // hard_max means nothing without keep
    assert_ok(parse("lag: {max: auto, auto_min: 1}\npublish: {every: 2}", &q));
}

TESTS(cmocka_unit_test(the_limit_is_a_number_or_auto),
      cmocka_unit_test(where_auto_stands_is_kept_inside_its_range),
      cmocka_unit_test(help_and_docs_say_so),
      cmocka_unit_test(what_does_not_go_together_is_refused))
