/* The module's ops that go row by row or element by element. Whatever promises the CPU's bits has
 * them, in every size and wherever its memory begins. Norms are near to the CPU's, and a row's bits
 * do not depend on the others. */
#include "cuda/both.h"

/* Both backends' results of an op that changes y in place; `off` floats before are not its own. */
#define BOTH(what, count, op, ...)                                                                 \
    do {                                                                                           \
        float *there[2];                                                                           \
        for (int k_ = 0; k_ < 2; k_++) {                                                           \
            struct backend *be = k_ ? cuda : cpu;                                                  \
            there[k_] = copied(base, (count) + off);                                               \
            float *y = ON(be, there[k_] + off);                                                    \
            run_op(be->ops->op(be, y __VA_OPT__(, ) __VA_ARGS__));                                 \
        }                                                                                          \
        assert_same_numbers(there[1], there[0], (count) + off, what);                              \
    } while (0)

static void elements(size_t count, size_t off)
{
    const float *base = values(count + off, 1), *x = values(count + off, 2) + off;
    const float *up = floats(count + off, 3, 2) + off;
    BOTH("add", count, add, ON(be, x), count);
    BOTH("scale", count, scale, 0.3f, count);
    BOTH("round_bf16", count, round_bf16, count);
    BOTH("swiglu", count, swiglu, ON(be, x), ON(be, up), count);
    BOTH("swiglu in place", count, swiglu, y, ON(be, up), count);
    BOTH("gelu", count, gelu, ON(be, x), count, 0);
    BOTH("gelu by tanh", count, gelu, ON(be, x), count, 1);
    BOTH("gelu in place", count, gelu, y, count, 1);
    guarded_free_all();
}

static void elements_have_the_cpus_bits(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 4, 5, 63, 64, 1000, 1023, 4099};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t off = 0; off < 2; off++)
            elements(counts[i], off);
}

static void biases_have_the_cpus_bits(void **state)
{
    (void)state;
    static const int shapes[][2] = {{0, 8}, {1, 1}, {3, 7}, {2, 64}, {5, 1028}, {2, 3001}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t off = 0; off < 2; off++) {
            const int N = shapes[i][0], C = shapes[i][1];
            const size_t count = (size_t)N * (size_t)C;
            const float *base = values(count + off, 1);
            const bf16 *b = bf16s((size_t)C + off, 2, 3) + off;
            BOTH("bias", count, bias, ON(be, b), N, C);
            guarded_free_all();
        }
}

static void rows_are_copied(void **state)
{
    (void)state;
    static const int shapes[][2] = {{0, 8}, {1, 1}, {3, 7}, {40, 64}, {5, 4100}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t off = 0; off < 2; off++) {
            const int N = shapes[i][0], C = shapes[i][1];
            const size_t count = (size_t)N * (size_t)C;
            const float *base = values(count + off, 1), *x = values(11 * (size_t)C + off, 2) + off;
            const int32_t *row = tokens((size_t)N, 3, 11);
            BOTH("gather", count, gather, ON(be, x), row, N, C);
            guarded_free_all();
        }
}

/* From each form. The tokens are in the backend's memory. */
static void tables_are_looked_up(void **state)
{
    (void)state;
    static const int shapes[][3] = {{0, 1, 1}, {5, 70, 7}, {40, 129, 64}, {3, 200, 2056}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int N = shapes[i][0], V = shapes[i][1], C = shapes[i][2];
        const size_t bytes = (size_t)N * (size_t)C * sizeof(float);
        bf16 *table = bf16s((size_t)V * (size_t)C, 1, 1);
        const int32_t *token = tokens((size_t)N, 2, V);
        float *want = guarded(bytes), *got = guarded(bytes);
        for (int n = 0; n < N; n++)
            for (int c = 0; c < C; c++)
                want[n * C + c] = bf16_to_float(table[token[n] * C + c]);
        for (int packed = 0; packed < 2; packed++) {
            struct weight *weight = NULL;
            bf16 *rows = packed ? NULL : ON(cuda, table);
            const struct weight_form form = {.N = V, .K = C, .rows = rows, .packed = packed};
            assert_ok(cuda->ops->weights_new(cuda, &form, 1, &weight));
            assert_ok(cuda->ops->weight_put(cuda, weight, table, 0, V));
            run_op(cuda->ops->embed(cuda, ON(cuda, got), weight, ON(cuda, token), N));
            assert_same_bits(got, want, bytes, packed ? "packed" : "rows");
            cuda->ops->weight_free(cuda, weight);
        }
        guarded_free_all();
    }
}

static void digests_are_equal(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 7, 8, 9, 2047, 2049, 70001};
    const bf16 *w = bf16s(70020, 1, 1);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t off = 0; off < 11; off += 1 + i / 6 * 4) {
            struct digest a, b;
            const size_t first = off * 123456789012;
            assert_ok(cpu->ops->digest(cpu, w + off, first, counts[i], &a));
            run_op(cuda->ops->digest(cuda, ON(cuda, w) + off, first, counts[i], &b));
            assert_memory_equal(&a, &b, sizeof a);
        }
    guarded_free_all();
}

static void norms_are_near_the_cpus(void **state)
{
    (void)state;
    static const int shapes[][2] = {{0, 8},   {1, 1},    {3, 7},   {70, 64},
                                    {9, 128}, {5, 1028}, {3, 4099}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int N = shapes[i][0], C = shapes[i][1];
        const size_t count = (size_t)N * (size_t)C;
        const float *x = floats(count, 1, 3);
        const bf16 *weight = bf16s((size_t)C, 2, 2);
        float *y[2], *kept[2];
        for (int layer = 0; layer < 2; layer++) {
            for (int k = 0; k < 2; k++) {
                struct backend *be = k ? cuda : cpu;
                y[k] = guarded(count * sizeof **y);
                kept[k] = guarded(2 * (size_t)N * sizeof **kept);
                run_op((layer ? be->ops->layernorm : be->ops->rmsnorm)(
                    be, ON(be, y[k]), ON(be, kept[k]), ON(be, x), ON(be, weight), 1e-5f, N, C));
            }
            for (size_t j = 0; j < count; j++)
                assert_near(y[1][j], y[0][j], 4e-6); // roundings of values up to 6
            for (size_t j = 0; j < (size_t)N * (size_t)(1 + layer); j++)
                assert_near(kept[1][j], kept[0][j], fabsf(kept[0][j]) * 1e-6f + 1e-6f);
        }
        guarded_free_all();
    }
}

/* The last row of N. */
static void the_batch_does_not_show(void **state)
{
    (void)state;
    enum { MOST = 512, C = 100 };
    static const int sizes[] = {1, 2, 3, 7, 64, 129, MOST};
    const float *x = floats(MOST * C, 1, 3);
    const bf16 *weight = bf16s(C, 2, 2);
    float *all = guarded(MOST * C * sizeof *all), *some = guarded(MOST * C * sizeof *some);
    float *kept = guarded(2 * MOST * sizeof *kept);
    for (int layer = 0; layer < 2; layer++) {
        __typeof__(cuda->ops->rmsnorm) op = layer ? cuda->ops->layernorm : cuda->ops->rmsnorm;
        run_op(
            op(cuda, ON(cuda, all), ON(cuda, kept), ON(cuda, x), ON(cuda, weight), 1e-5f, MOST, C));
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const size_t N = (size_t)sizes[i], first = (MOST - N) * C;
            run_op(op(cuda, ON(cuda, some), ON(cuda, kept), ON(cuda, x) + first, ON(cuda, weight),
                      1e-5f, (int)N, C));
            assert_same_bits(some, all + first, N * C * sizeof *some, "rows of a batch");
        }
    }
    guarded_free_all();
}

TESTS_OF_BOTH(cmocka_unit_test(elements_have_the_cpus_bits),
              cmocka_unit_test(biases_have_the_cpus_bits), cmocka_unit_test(rows_are_copied),
              cmocka_unit_test(tables_are_looked_up), cmocka_unit_test(digests_are_equal),
              cmocka_unit_test(norms_are_near_the_cpus), cmocka_unit_test(the_batch_does_not_show))
