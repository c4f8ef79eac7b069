/* The CPU and the module side by side, under three schedules of the emulator.
 *
 *     float *x = values(count, 1);                       -- numbers of every size, and NaN
 *     run_op(cuda->ops->add(cuda, ON(cuda, y), ON(cuda, x), count));
 *     assert_same_numbers(y, want, count, "add");
 *     TESTS_OF_BOTH(cmocka_unit_test(sums), ...) */
#pragma once
#include "cuda/module.h"
#include "testing/tensors.h"

static struct backend *cpu, *cuda;

static inline int open_both(void **state)
{
    (void)state;
    cuda = cuda_module_open();
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &cpu));
    return 0;
}

static inline int close_both(void **state)
{
    (void)state;
    guarded_free_all();
    backend_free(cpu);
    backend_free(cuda);
    return 0;
}

/* Which NaN it is differs between processors. */
static inline void assert_same_numbers(const float *a, const float *b, size_t count,
                                       const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s: element %zu of %zu is %a, not %a", what, i, count, (double)a[i],
                     (double)b[i]);
}

/* Numbers of every size, and those at which the functions change their ways. */
static inline float *values(size_t count, uint64_t seed)
{
    static const float edges[] = {NAN,      INFINITY,  -INFINITY, 0.0f,    -0.0f,    1e-40f,
                                  -1e-45f,  87.0f,     -87.0f,    88.0f,   -88.0f,   87.5f,
                                  -87.5f,   1.0f,      -1.0f,     1.4142f, -1.4142f, 3.39e38f,
                                  -3.4e38f, 0x1.01p0f, 0x1.03p0f};
    enum { EDGES = sizeof edges / sizeof *edges };
    float *x = floats(count, seed, 8);
    for (size_t i = 0; i < count; i++)
        if (i % 3 == 1)
            x[i] = i / 3 < 2 * EDGES ? edges[i / 3 % EDGES] : x[i] * 12;
    return x;
}

static inline float *copied(const float *x, size_t count)
{
    float *y = guarded(count * sizeof *y);
    memcpy(y, x, count * sizeof *y);
    return y;
}

#define TESTS_OF_BOTH(...)                                                                         \
    int main(void)                                                                                 \
    {                                                                                              \
        static const char *const seeds[] = {"0", "1", "2"};                                        \
        int failed = 0;                                                                            \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        for (int i = 0; i < 3; i++) {                                                              \
            cuda_module_seed(seeds[i]);                                                            \
            failed += cmocka_run_group_tests(tests, open_both, close_both);                        \
        }                                                                                          \
        return failed;                                                                             \
    }
