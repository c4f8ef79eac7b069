/* Arithmetic of merging against NumPy's (tests/golden/merge.py, which PEFT's functions confirm). */
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/merge/combine.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { MODELS = 4, MOST = 1024 };

static size_t floats_of(const json_t *list, float *ret)
{
    const size_t count = json_array_size(list);
    assert_true(count > 0 && count <= MOST);
    for (size_t i = 0; i < count; i++)
        ret[i] = (float)json_number_value(json_array_get(list, i));
    return count;
}

static double number_at(const json_t *object, const char *key, size_t i)
{
    const json_t *list = json_object_get(object, key);
    assert_true(i < json_array_size(list));
    return json_number_value(json_array_get(list, i));
}

static enum merge_method method_of(const json_t *one)
{
    static const char *const names[] = {"linear", "task_arithmetic", "ties"};
    const char *name = json_string_value(json_object_get(one, "method"));
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], name) == 0)
            return (enum merge_method)i;
    fail_msg("no method '%s'", name);
    return MERGE_LINEAR;
}

/* Sums in double come in another order there: one rounding to float32 may differ. */
static void check(const json_t *one)
{
    static float base[MOST], value[MODELS][MOST], want[MOST], got[MOST];
    struct merge_part part[MODELS] = {0};
    const json_t *values = json_object_get(one, "values");
    const int count = (int)json_array_size(values);
    const struct merge_rule rule = {method_of(one),
                                    json_number_value(json_object_get(one, "lambda")),
                                    json_is_true(json_object_get(one, "normalize"))};
    const size_t n = floats_of(json_object_get(one, "base"), base);
    assert_true(count > 0 && count <= MODELS);
    assert_int_equal(floats_of(json_object_get(one, "merged"), want), n);
    for (int i = 0; i < count; i++) {
        assert_int_equal(floats_of(json_array_get(values, (size_t)i), value[i]), n);
        part[i] = (struct merge_part){.value = value[i],
                                      .weight = number_at(one, "weights", (size_t)i),
                                      .density = number_at(one, "density", (size_t)i)};
    }
    combine(&rule, base, part, count, 1, n, got);
    for (size_t j = 0; j < n; j++)
        if (fabs((double)got[j] - (double)want[j]) > 1.2e-7 * fmax(fabs((double)want[j]), 1e-3))
            fail_msg("value %zu is %.9g, NumPy has %.9g", j, (double)got[j], (double)want[j]);
}

static void merged_tensors_are_those_of_numpy(void **state)
{
    (void)state;
    SCOPED_JSON json_t *all = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/merge.json", 1 << 20, &all));
    assert_true(json_array_size(all) >= 13);
    for (size_t i = 0; i < json_array_size(all); i++)
        check(json_array_get(all, i));
}

/* By hand: of six values a third is kept; 3 and -2 meet, and the larger sum wins. */
static void ties_by_hand(void **state)
{
    (void)state;
    const float base[6] = {1, 1, 1, 1, 1, 1};
    const float a[6] = {4, 1.5f, 1, 2.5f, 1, 1}, b[6] = {-1, 1, 2, 1, 1, 5};
    const struct merge_rule rule = {MERGE_TIES, 1, true};
    struct merge_part part[2] = {{.value = a, .weight = 1, .density = 0.34},
                                 {.value = b, .weight = 1, .density = 0.34}};
    float got[6];
    combine(&rule, base, part, 2, 2, 3, got);
    const float want[6] = {4, 1, 1, 2.5f, 1, 5};
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(part[0].kept, 2);
    assert_int_equal(part[1].kept, 2);
    assert_int_equal(part[0].outvoted, 0);
    assert_int_equal(part[1].outvoted, 1);
    assert_near(part[0].moved, 9 + 0.25 + 2.25, 1e-12);
}

/* Of equal sizes the first are kept, however many there are. */
static void equal_sizes_are_kept_from_the_first(void **state)
{
    (void)state;
    const float base[8] = {0}, a[8] = {1, -1, 1, -1, 1, -1, 1, 2};
    const struct merge_rule rule = {MERGE_TIES, 1, true};
    float got[8];
    for (int k = 1; k <= 8; k++) {
        struct merge_part part = {.value = a, .weight = 1, .density = k / 8.0};
        combine(&rule, base, &part, 1, 1, 8, got);
        assert_int_equal(part.kept, k);
        assert_true(got[7] == 2);
        for (int j = 0; j < 7; j++)
            assert_true(got[j] == (j < k - 1 ? a[j] : 0));
    }
}

/* A row that one of two lacks is the other's; one that none has is zeros. */
static void rows_are_averaged_among_those_that_have_them(void **state)
{
    (void)state;
    const float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {3, 6, 100, 100, 9, 8};
    const bool a_has[3] = {true, true, false}, b_has[3] = {true, false, false};
    const struct merge_rule rule = {MERGE_LINEAR, 1, true};
    struct merge_part part[2] = {{.value = a, .has = a_has, .weight = 3},
                                 {.value = b, .has = b_has, .weight = 1}};
    float got[6];
    combine(&rule, NULL, part, 2, 3, 2, got);
    const float want[6] = {1.5f, 3, 3, 4, 0, 0};
    assert_memory_equal(got, want, sizeof want);
    assert_near(part[1].moved, 2.25 + 9, 1e-12);
}

TESTS(cmocka_unit_test(merged_tensors_are_those_of_numpy), cmocka_unit_test(ties_by_hand),
      cmocka_unit_test(equal_sizes_are_kept_from_the_first),
      cmocka_unit_test(rows_are_averaged_among_those_that_have_them))
