/* Weights of the module: filled in pieces and whole, packed again, read back exactly from either
 * form, by any thread. Every bit pattern comes back, NaNs too. And lists of changes: around the
 * sizes of a word, of a round of threads and of a block, with no mark, all marks and some. */
#include "base/mem.h"
#include "cuda/both.h"
#include "tensor/buffer.h"
#include <pthread.h>
#include <string.h>

static bf16 value_of(size_t i)
{
    return (bf16)(i * 40503 + i / 7);
}

static bf16 *weights_of(size_t count, size_t from)
{
    bf16 *w = mem_array(count, sizeof *w);
    for (size_t i = 0; i < count; i++)
        w[i] = value_of(from + i);
    return w;
}

static void assert_reads(struct backend *be, const struct weight *weight, const bf16 *want,
                         size_t first, size_t count)
{
    SCOPED_MEM bf16 *got = mem_array(count + 2, sizeof *got);
    got[count] = got[count + 1] = 0x5555;
    assert_ok(be->ops->weight_get(be, weight, first, count, got));
    for (size_t i = 0; i < count; i++)
        if (got[i] != want[first + i])
            fail_msg("element %zu is %04x, not %04x", first + i, got[i], want[first + i]);
    assert_true(got[count] == 0x5555 && got[count + 1] == 0x5555);
}

/* Of three in one block, the middle one. The others go before it. */
static void packed_alone(struct backend *be, int N, int K)
{
    const size_t count = (size_t)N * (size_t)K;
    const struct weight_form other = {.N = 3, .K = 5, .packed = true};
    const struct weight_form forms[] = {other, {.N = N, .K = K, .packed = true}, other};
    struct weight *w[3];
    SCOPED_MEM bf16 *want = weights_of(count, 0), *zeros = mem_array(count, sizeof *zeros);
    assert_ok(be->ops->weights_new(be, forms, 3, w));
    assert_reads(be, w[1], zeros, 0, count);
    for (int row = 0; row < N; row += WEIGHT_ROWS) {
        const int rows = N - row < WEIGHT_ROWS ? N - row : WEIGHT_ROWS;
        assert_ok(be->ops->weight_put(be, w[1], want + (size_t)row * (size_t)K, row, rows));
    }
    be->ops->weight_free(be, w[0]);
    be->ops->weight_free(be, w[2]);
    assert_reads(be, w[1], want, 0, count);
    for (size_t first = 0; first < count; first += count / 3 + 1)
        for (size_t some = 1; some <= count - first; some = some * 5 + 1)
            assert_reads(be, w[1], want, first, some);
    be->ops->weight_free(be, w[1]);
}

static void both_forms(struct backend *be, int N, int K)
{
    const size_t count = (size_t)N * (size_t)K;
    SCOPED_VALUE(buffer) rows = {0};
    SCOPED_MEM bf16 *want = weights_of(count, 3), *later = weights_of(count, 11);
    SCOPED_MEM bf16 *got = mem_array(count, sizeof *got);
    struct weight *both = NULL, *packed = NULL;
    assert_ok(buffer_alloc(be, count * sizeof *want, &rows));
    const struct weight_form form = {.N = N, .K = K, .rows = rows.address, .packed = true};
    assert_ok(be->ops->weights_new(be, &form, 1, &both));
    assert_ok(be->ops->weight_put(be, both, want, 0, N));
    assert_reads(be, both, want, 0, count);
    assert_ok(buffer_get(&rows, 0, count * sizeof *got, got));
    assert_memory_equal(got, want, count * sizeof *got);
    assert_ok(buffer_put(&rows, 0, later, count * sizeof *later)); // as an optimizer does
    assert_ok(be->ops->weight_repack(be, both));
    assert_reads(be, both, later, 0, count);
    const struct weight_form alone = {.N = N, .K = K, .packed = true};
    assert_ok(be->ops->weights_new(be, &alone, 1, &packed));
    assert_err(ERR_INVALID, "held in both forms", be->ops->weight_repack(be, packed));
    be->ops->weight_free(be, packed);
    be->ops->weight_free(be, both);
}

static void every_shape(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 1},    {8, 16},    {31, 17},   {32, 64},
                                    {33, 48},  {64, 128},  {65, 65},   {100, 130},
                                    {200, 72}, {129, 192}, {40, 1000}, {2, 4111}};
    cuda_module_seed("2");
    SCOPED(backend) be = cuda_module_open();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        packed_alone(be, shapes[i][0], shapes[i][1]);
        both_forms(be, shapes[i][0], shapes[i][1]);
    }
}

/* More than waits at once for its packing, and more than is unpacked at a time. */
static void many_pieces(void **state)
{
    (void)state;
    enum { N = 1100, K = 4096 };
    SCOPED(backend) be = cuda_module_open();
    SCOPED_MEM bf16 *want = weights_of((size_t)N * K, 0);
    struct weight *w = NULL;
    const struct weight_form form = {.N = N, .K = K, .packed = true};
    assert_ok(be->ops->weights_new(be, &form, 1, &w));
    assert_ok(be->ops->weight_put(be, w, want, 0, N));
    assert_reads(be, w, want, 0, (size_t)N * K);
    be->ops->weight_free(be, w);
}

struct reading {
    struct backend *be;
    const struct weight *weight;
    const bf16 *want;
    size_t first, count;
    bool same;
};

static void *read_it(void *data)
{
    struct reading *r = data;
    SCOPED_MEM bf16 *got = mem_array(r->count, sizeof *got);
    err_t e = OK;
    r->same = true;
    for (int i = 0; i < 3 && !err_failed(e); i++) {
        e = r->be->ops->weight_get(r->be, r->weight, r->first, r->count, got);
        r->same &= memcmp(got, r->want + r->first, r->count * sizeof *got) == 0;
    }
    r->same &= !err_failed(e);
    err_free(e);
    return NULL;
}

static void any_thread_reads(void **state)
{
    (void)state;
    enum { N = 96, K = 70, READERS = 3 };
    cuda_module_seed("1"); // a stream that does not wait for another runs before it
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) x = {0};
    SCOPED_MEM bf16 *want = weights_of((size_t)N * K, 0);
    struct weight *w = NULL;
    pthread_t thread[READERS];
    struct reading reading[READERS];
    const struct weight_form form = {.N = N, .K = K, .packed = true};
    assert_ok(be->ops->weights_new(be, &form, 1, &w));
    assert_ok(be->ops->weight_put(be, w, want, 0, N));
    for (int i = 0; i < READERS; i++) {
        reading[i] = (struct reading){be, w, want, (size_t)i * 1000 + 1, 1777, false};
        assert_int_equal(pthread_create(&thread[i], NULL, read_it, &reading[i]), 0);
    }
    for (int i = 0; i < 10; i++) { // the owner goes on
        assert_ok(buffer_alloc(be, 1000, &x));
        buffer_done(&x);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(thread[i], NULL);
        assert_true(reading[i].same);
    }
    be->ops->weight_free(be, w);
}

static void what_cannot_be(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    bf16 w[40 * 3] = {0};
    struct weight *one = NULL;
    struct weight_form form = {.N = 40, .K = 3, .packed = true};
    assert_err(ERR_INVALID, "weight of 0 x 3: both must be positive",
               be->ops->weights_new(be, &(struct weight_form){.K = 3, .packed = true}, 1, &one));
    assert_err(ERR_INVALID, "neither row-major nor packed",
               be->ops->weights_new(be, &(struct weight_form){.N = 2, .K = 3}, 1, &one));
    form.N = form.K = 1 << 30;
    assert_err(ERR_EXHAUSTED, "no memory for", be->ops->weights_new(be, &form, 1, &one));
    form.N = 40, form.K = 3;
    assert_ok(be->ops->weights_new(be, &form, 1, &one));
    assert_err(ERR_RANGE, "8 rows from 0 on", be->ops->weight_put(be, one, w, 0, 8));
    assert_err(ERR_RANGE, "8 rows from 8 on", be->ops->weight_put(be, one, w, 8, 8));
    assert_err(ERR_RANGE, "16 rows from 32 on", be->ops->weight_put(be, one, w, 32, 16));
    assert_err(ERR_RANGE, "-1 rows from 0 on", be->ops->weight_put(be, one, w, 0, -1));
    assert_ok(be->ops->weight_put(be, one, w, 32, 8));
    assert_ok(be->ops->weights_new(be, NULL, 0, NULL));
    be->ops->weight_free(be, one);
    be->ops->weight_free(be, NULL);
}

/* ---- lists of changes: those of marked elements are the CPU's, bit for bit */

enum { GAP = 64, MARKS_NONE = 0, MARKS_ALL = 1 };

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
        cmocka_unit_test(every_shape),
        cmocka_unit_test(many_pieces),
        cmocka_unit_test(any_thread_reads),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(every_size_is_listed),
        cmocka_unit_test(extents_follow_each_other),
        cmocka_unit_test(lists_come_into_the_weights),
    };
    return cmocka_run_group_tests(tests, open_both, close_both);
}
