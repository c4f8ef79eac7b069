/* The module's optimizer. AdamW has the CPU's bits, and counts, hashes and marks its changes. A sum
 * of squares is near to the CPU's, in an order of its own. */
#include "cuda/both.h"
#include "tensor/adamw.h"

enum { STEPS = 3 };

/* The optimizer's state of `count` elements, and a step's gradient. */
struct arrays {
    float *master, *m, *v, *grad;
    bf16 *w;
    uint32_t *marks;
    struct adamw_total *total;
};

/* Zeros of both signs, denormals, and what becomes infinite when it is squared or scaled. */
static const float masters[] = {0.0f,     -0.0f,    1e-40f,    -1e-45f,
                                3.39e38f, -3.4e38f, 0x1.01p0f, 1e-20f};
static const float slopes[] = {0.0f, -0.0f, 1e-44f, -3e-39f, 1e25f, -1e19f, 1e-30f, 1e-6f};

static struct arrays arrays_new(size_t count)
{
    const size_t words = (count + 31) / 32;
    struct arrays a = {floats(count, 1, 0.05),  floats(count, 2, 1e-3), floats(count, 3, 1e-6),
                       guarded(count * 4),      guarded(count * 2),     guarded(words * 4),
                       guarded(sizeof *a.total)};
    for (size_t i = 0; i < count; i++) {
        if (i % 5 == 1)
            a.master[i] = masters[i / 5 % 8];
        if (i % 7 == 2)
            a.m[i] = slopes[i / 7 % 8];
        a.v[i] = i % 11 == 3 ? fabsf(slopes[i / 11 % 8]) : fabsf(a.v[i]);
        a.w[i] = bf16_from_float(a.master[i]);
    }
    for (size_t i = 0; i < words; i += 3)
        a.marks[i] = 1;
    return a;
}

static void step_of(struct backend *be, const struct arrays *a, size_t from, size_t count,
                    size_t first, int step, bool marked)
{
    const struct adamw_step s = {3e-4f, 0.9f, 0.99f, 1e-8f, step % 2 ? 0.1f : 0, 0.7f, step};
    run_op(be->ops->adamw(be, ON(be, a->master) + from, ON(be, a->w) + from, ON(be, a->m) + from,
                          ON(be, a->v) + from, ON(be, a->grad) + from, first + from, count, &s,
                          marked ? ON(be, a->marks) + from / 32 : NULL, ON(be, a->total)));
}

static void assert_numbers(const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_false(isnan(x[i]));
}

/* Each step is two calls, of which the second begins at element `cut`. */
static void steps_agree(size_t count, size_t cut, size_t first, bool marked)
{
    const struct arrays a[2] = {arrays_new(count), arrays_new(count)};
    const size_t words = (count + 31) / 32;
    struct digest before = weights_digest(a[0].w, first, count);
    for (int step = 1; step <= STEPS; step++) {
        for (int k = 0; k < 2; k++) {
            fill(a[k].grad, count, (uint64_t)step + 10, 1e-2);
            for (size_t i = 4; i < count; i += 13)
                a[k].grad[i] = slopes[i / 13 % 8];
            *a[k].total = (struct adamw_total){0};
            step_of(k ? cuda : cpu, &a[k], 0, cut, first, step, marked);
            step_of(k ? cuda : cpu, &a[k], cut, count - cut, first, step, marked);
        }
        assert_same_bits(a[1].master, a[0].master, count * 4, "master");
        assert_same_bits(a[1].m, a[0].m, count * 4, "m");
        assert_same_bits(a[1].v, a[0].v, count * 4, "v");
        assert_same_bits(a[1].w, a[0].w, count * 2, "w");
        assert_same_bits(a[1].marks, a[0].marks, words * 4, "marks");
        assert_same_bits(a[1].total, a[0].total, sizeof *a[0].total, "total");
        const struct digest after = weights_digest(a[1].w, first, count),
                            sum = weights_digest_add(before, adamw_changes_of(a[1].total).digest);
        assert_same_bits(&sum, &after, sizeof after, "digest");
        assert_numbers(a[1].master, count);
        before = after;
    }
    guarded_free_all();
}

static void steps_have_the_cpus_bits(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 7, 31, 32, 33, 256, 1000, 2049, 6007};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        steps_agree(counts[i], counts[i] / 2 / 32 * 32, i * 32, true);
        steps_agree(counts[i], 0, ((size_t)1 << 47) + i, false);
    }
}

static void a_step_has_a_number(void **state)
{
    (void)state;
    const struct adamw_step s = {.step = 0};
    assert_err(ERR_INVALID, "optimizer step 0: the first is 1",
               cuda->ops->adamw(cuda, NULL, NULL, NULL, NULL, NULL, 0, 1, &s, NULL, NULL));
}

static double squares_of(struct backend *be, const float *x, size_t count)
{
    double ret = -1;
    run_op(be->ops->square_sum(be, ON(be, x), count, &ret));
    return ret;
}

static void squares_are_near_the_cpus(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 1000, 16384, 16385, 70001};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        float *x = floats(counts[i] + 1, 1, 3);
        const double want = squares_of(cpu, x + 1, counts[i]),
                     got = squares_of(cuda, x + 1, counts[i]);
        assert_near(got, want, want * 1e-15);
        memmove(x, x + 1, counts[i] * sizeof *x); // aligned to other bytes
        assert_true(squares_of(cuda, x, counts[i]) == got);
        guarded_free_all();
    }
    float *x = floats(20000, 1, 1);
    x[17000] = INFINITY;
    assert_true(isinf(squares_of(cuda, x, 20000)));
    x[3] = NAN;
    assert_true(isnan(squares_of(cuda, x, 20000)));
    guarded_free_all();
}

TESTS_OF_BOTH(cmocka_unit_test(steps_have_the_cpus_bits), cmocka_unit_test(a_step_has_a_number),
              cmocka_unit_test(squares_are_near_the_cpus))
