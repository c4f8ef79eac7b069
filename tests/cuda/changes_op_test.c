/* The module's lists of marked elements are the CPU's, bit for bit: around the sizes of a word, of
 * a round of threads and of a block, with no mark, all marks and some. And lists that lie on the
 * device come into the weights. */
#include "cuda/module.h"
#include "testing/tensors.h"

enum { GAP = 64, MARKS_NONE = 0, MARKS_ALL = 1 };

static struct backend *cpu, *cuda;

static int open_both(void **state)
{
    (void)state;
    cuda = cuda_module_open();
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &cpu));
    return 0;
}

static int close_both(void **state)
{
    (void)state;
    backend_free(cpu);
    backend_free(cuda);
    return 0;
}

/* One mark in `every`; also of elements that no extent has, which count nothing. */
static uint32_t *marks_of(size_t words, uint64_t every)
{
    const struct rng rng = rng_keyed(every, RNG_TEST, 0, 0);
    uint32_t *marks = guarded(words * sizeof *marks);
    for (size_t i = 0; every && i < words * 32; i++)
        if (rng_below(&rng, i, every) == 0)
            marks[i / 32] |= (uint32_t)1 << i % 32;
    return marks;
}

static size_t sum_of(const uint32_t *count, int extents)
{
    size_t all = 0;
    for (int e = 0; e < extents; e++)
        all += count[e];
    return all;
}

/* The specification: element by element. */
static void assert_listed(const bf16 *w, const uint32_t *marks, const struct extent *extent,
                          int extents, const uint32_t *count, const void *list)
{
    const size_t all = sum_of(count, extents);
    const uint32_t *index = list;
    const bf16 *value = (const bf16 *)(index + all);
    size_t n = 0;
    for (int e = 0; e < extents; e++) {
        const size_t begun = n;
        for (size_t i = 0; i < extent[e].count; i++) {
            const size_t at = extent[e].first + i;
            if (!(marks[at / 32] >> at % 32 & 1))
                continue;
            assert_true(n < all);
            assert_int_equal(index[n], i);
            assert_int_equal(value[n], w[at]);
            n++;
        }
        assert_int_equal(n - begun, count[e]);
    }
    assert_int_equal(n, all);
}

static void lists(const size_t *counts, int extents, uint64_t every)
{
    struct extent extent[8];
    uint32_t want[8], got[8];
    size_t elements = GAP;
    for (int e = 0; e < extents; e++) {
        extent[e] = (struct extent){elements, counts[e]};
        elements += (counts[e] + 31) / 32 * 32 + GAP;
    }
    const bf16 *w = bf16s(elements, 3, 1);
    const uint32_t *marks = marks_of(elements / 32, every);
    const size_t bytes = elements * CHANGE_BYTES;
    void *here = guarded(bytes), *there = guarded(bytes);
    run_op(cpu->ops->changes_list(cpu, w, marks, extent, extents, elements, here, want));
    run_op(cuda->ops->changes_list(cuda, ON(cuda, w), ON(cuda, marks), extent, extents, elements,
                                   ON(cuda, there), got));
    assert_memory_equal(got, want, (size_t)extents * sizeof *got);
    assert_memory_equal(there, here, bytes);
    assert_listed(w, marks, extent, extents, want, here);
    const size_t all = sum_of(want, extents);
    void *none = guarded(bytes);
    if (all)
        assert_err(ERR_EXHAUSTED, "there is room for",
                   cuda->ops->changes_list(cuda, ON(cuda, w), ON(cuda, marks), extent, extents,
                                           all - 1, ON(cuda, none), got));
    mirrors_back();
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(((const uint8_t *)none)[i], 0);
    assert_memory_equal(got, want, (size_t)extents * sizeof *got);
    guarded_free_all();
}

static void every_size_is_listed(void **state)
{
    static const size_t around[] = {32, 1024, 8192, 65536};
    (void)state;
    for (size_t a = 0; a < sizeof around / sizeof *around; a++)
        for (size_t count = around[a] - 1; count <= around[a] + 1; count++)
            for (uint64_t every = 0; every < 41; every += every < 2 ? 1 : 38)
                lists(&count, 1, every);
    lists((const size_t[]){1}, 1, MARKS_ALL);
}

static void extents_follow_each_other(void **state)
{
    (void)state;
    static const size_t counts[] = {3, 0, 65537, 32, 0, 1000, 140001, 0};
    for (int extents = 0; extents <= 8; extents++) {
        lists(counts, extents, MARKS_NONE);
        lists(counts, extents, MARKS_ALL);
        lists(counts, extents, 30);
    }
}

/* Each form of a weight takes a list that lies in the backend's memory; what is outside is left. */
static void change(struct backend *be, int N, int K, bf16 *ret)
{
    const size_t elements = (size_t)N * (size_t)K, count = (elements + 1) / 2;
    bf16 *rows = bf16s(elements, 1, 1), *value = bf16s(count + 1, 2, 1);
    uint32_t *index = guarded((count + 1) * sizeof *index);
    for (size_t i = 0; i <= count; i++)
        index[i] = (uint32_t)(i < count ? 2 * i : elements + 5);
    const struct weight_form form[2] = {{.N = N, .K = K, .rows = ON(be, rows), .packed = true},
                                        {.N = N, .K = K, .packed = true}};
    struct weight *weight[2];
    assert_ok(be->ops->weights_new(be, form, 2, weight));
    for (int i = 0; i < 2; i++) {
        assert_ok(be->ops->weight_put(be, weight[i], rows, 0, N));
        assert_ok(be->ops->weight_change(be, weight[i], ON(be, index), ON(be, value), count + 1));
        assert_ok(be->ops->weight_get(be, weight[i], 0, elements, ret + (size_t)i * elements));
        be->ops->weight_free(be, weight[i]);
    }
    for (size_t i = 0; i < count; i++)
        rows[index[i]] = value[i];
    for (int i = 0; i < 2; i++)
        assert_memory_equal(ret + (size_t)i * elements, rows, elements * sizeof *rows);
    guarded_free_all();
}

static void lists_come_into_the_weights(void **state)
{
    (void)state;
    enum { N = 40, K = 70 };
    static bf16 of_cpu[2 * N * K], of_cuda[2 * N * K];
    change(cpu, N, K, of_cpu);
    change(cuda, N, K, of_cuda);
    assert_memory_equal(of_cuda, of_cpu, sizeof of_cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_listed),
        cmocka_unit_test(extents_follow_each_other),
        cmocka_unit_test(lists_come_into_the_weights),
    };
    return cmocka_run_group_tests(tests, open_both, close_both);
}
