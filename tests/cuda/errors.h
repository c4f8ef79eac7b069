/* Errors against double, held against those of PyTorch's bfloat16 on the same inputs
 * (tests/golden/cuda_errors.py).
 *
 *     assert_result(be, "rmsnorm_576", e, &y, want, count);      -- prints shares of PyTorch's, too
 *     return errors_under_each_setting(run_group);               -- in main */
#pragma once
#include "base/json.h"
#include "base/mem.h"
#include "cuda/module.h"
#include "cuda/noise.h"
#include "cuda/settings.h"
#include <math.h>
#include <string.h>

/* Sums of our length differ from PyTorch's in order alone; double's roundings stay far below. */
static const double AT_MOST = 1.5, REFERENCE_LIMIT = 1e-6;

static json_t *golden;

static inline const json_t *case_of(const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach (golden, i, one) {
        if (!strcmp(json_string_value(json_object_get(one, "name")), name))
            return one;
    }
    fail_msg("cuda_errors.json has no '%s'", name);
    return NULL;
}

static inline double number(const json_t *of, const char *key)
{
    const json_t *value = json_object_get(of, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static inline void assert_close(const char *name, const float *got, const double *want,
                                size_t count)
{
    const json_t *one = case_of(name);
    double mean = 0, max = 0, sum = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        const double off = fabs((double)got[i] - want[i]);
        assert_true(isfinite(got[i]));
        mean += off / (double)count;
        max = off > max ? off : max;
        sum += want[i];
        size += fabs(want[i]) / (double)count;
    }
    assert_near(size, number(one, "size"), REFERENCE_LIMIT);
    assert_near(sum, number(one, "sum"), REFERENCE_LIMIT * (double)count);
    printf("%-16s mean %.3g, %.3g of PyTorch's; max %.3g, %.3g of PyTorch's\n", name, mean,
           mean / number(one, "mean"), max, max / number(one, "max"));
    if (!(mean <= AT_MOST * number(one, "mean")) || !(max <= AT_MOST * number(one, "max")))
        fail_msg("%s: errors are more than %g times those of PyTorch", name, AT_MOST);
}

static inline void assert_result(struct backend *be, const char *name, err_t e,
                                 const struct buffer *y, const double *want, size_t count)
{
    SCOPED_MEM float *got = mem_array(count, sizeof *got);
    assert_ok(e);
    assert_ok(be->ops->sync(be));
    assert_ok(buffer_get(y, 0, count * sizeof *got, got));
    assert_close(name, got, want, count);
}

static inline double *widely(const bf16 *x, size_t count)
{
    double *ret = mem_array(count, sizeof *ret);
    for (size_t i = 0; i < count; i++)
        ret[i] = (double)bf16_to_float(x[i]);
    return ret;
}

static inline int errors_under_each_setting(int (*run)(void))
{
    assert_ok(json_read_file(TEST_GOLDEN "/cuda_errors.json", 1 << 20, &golden));
    const int failed = under_each_setting(run);
    json_decref(golden);
    return failed;
}
