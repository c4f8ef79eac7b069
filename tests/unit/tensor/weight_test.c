/* Packed matrices: packed in pieces, read back, and looked up as a table, on every instruction
 * set. */
#include "testing/tensors.h"

/* Every bit pattern comes back, NaNs too. */
static bf16 value_of(size_t i)
{
    return (bf16)(i * 40503 + i / 7);
}

static void what_was_packed_is_read(struct backend *be, int N, int K)
{
    const size_t count = (size_t)N * K;
    bf16 *w = guarded(count * 2), *all = guarded(count * 2);
    struct weight *one = NULL, *pair[2];
    const struct weight_form forms[] = {{.N = N, .K = K, .packed = true},
                                        {.N = 3, .K = 2, .packed = true}};
    for (size_t i = 0; i < count; i++)
        w[i] = value_of(i);
    assert_ok(packed_new(be, N, K, &one));
    assert_ok(be->ops->weights_new(be, forms, 2, pair));
    assert_ok(be->ops->weight_put(be, one, w, 0, N));
    for (int row = 0; row < N; row += WEIGHT_ROWS) {
        const int rows = N - row < WEIGHT_ROWS ? N - row : WEIGHT_ROWS;
        assert_ok(be->ops->weight_put(be, pair[0], w + (size_t)row * K, row, rows));
    }
    be->ops->weight_free(be, pair[1]); // the other keeps the memory
    for (int i = 0; i < 2; i++) {
        assert_ok(be->ops->weight_get(be, i ? pair[0] : one, 0, count, all));
        assert_memory_equal(all, w, count * 2);
    }
    for (size_t first = 0; first < count; first += count / 5 + 1)
        for (size_t some = 1; some <= count - first; some = some * 3 + 1) {
            bf16 *part = guarded(some * 2);
            assert_ok(be->ops->weight_get(be, one, first, some, part));
            assert_memory_equal(part, w + first, some * 2);
        }
    be->ops->weight_free(be, one);
    be->ops->weight_free(be, pair[0]);
    guarded_free_all();
}

static void a_table_is_looked_up(struct backend *be, int V, int C)
{
    enum { N = 23 };
    bf16 *table = guarded((size_t)V * C * 2);
    for (size_t i = 0; i < (size_t)V * C; i++)
        table[i] = bf16_from_float((float)i * 0.37f);
    float *want = guarded((size_t)N * C * 4), *got = guarded((size_t)N * C * 4);
    int32_t *token = tokens(N, 5, V);
    struct weight *rows = NULL, *packed = NULL;
    const struct weight_form form = {.N = V, .K = C, .rows = table};
    token[N - 1] = V - 1;
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++)
            want[n * C + c] = bf16_to_float(table[(size_t)token[n] * C + c]);
    assert_ok(be->ops->weights_new(be, &form, 1, &rows));
    assert_ok(packed_new(be, V, C, &packed));
    assert_ok(be->ops->weight_put(be, packed, table, 0, V));
    assert_ok(be->ops->embed(be, got, rows, token, N));
    assert_same_bits(got, want, (size_t)N * C * 4, "rows");
    assert_ok(be->ops->embed(be, got, packed, token, N));
    assert_same_bits(got, want, (size_t)N * C * 4, "panels");
    be->ops->weight_free(be, rows);
    be->ops->weight_free(be, packed);
    guarded_free_all();
}

/* What is put is there in both forms; what is written into the rows is in the panels once it is
 * packed again. */
static void both_forms_follow(struct backend *be, int N, int K)
{
    const size_t count = (size_t)N * K;
    bf16 *rows = guarded(count * 2), *w = bf16s(count, 7, 1);
    float *x = floats((size_t)K, 3, 1), *y = guarded((size_t)N * 4), *want = guarded((size_t)N * 4);
    struct weight *both = weight_of(be, rows, N, K), *panels = NULL;
    assert_ok(packed_new(be, N, K, &panels));
    for (int i = 0; i < 2; i++) {
        assert_ok(be->ops->weight_put(be, panels, w, 0, N));
        assert_ok(be->ops->matmul(be, want, x, panels, 1, 0));
        if (i) {
            memcpy(rows, w, count * 2);
            assert_ok(be->ops->weight_repack(be, both));
        } else
            assert_ok(be->ops->weight_put(be, both, w, 0, N));
        assert_memory_equal(rows, w, count * 2);
        assert_ok(be->ops->matmul(be, y, x, both, 1, 0));
        assert_same_bits(y, want, (size_t)N * 4, "packed");
        fill_bf16(w, count, 8, 1);
    }
    be->ops->weight_free(be, both);
    be->ops->weight_free(be, panels);
    guarded_free_all();
}

/* Lists of elements do to each form what putting all rows does. */
static void changes_follow(struct backend *be, int N, int K)
{
    const size_t count = (size_t)N * K, some = (count + 2) / 3;
    bf16 *rows = guarded(count * 2), *w = bf16s(count, 7, 1), *got = guarded(count * 2);
    uint32_t *index = guarded(some * sizeof *index);
    bf16 *value = guarded(some * 2);
    struct weight *both = weight_of(be, rows, N, K), *panels = NULL;
    struct weight_changes *changes = NULL;
    assert_ok(packed_new(be, N, K, &panels));
    assert_ok(be->ops->weight_put(be, panels, w, 0, N));
    assert_ok(be->ops->weight_put(be, both, w, 0, N));
    assert_ok(be->ops->changes_new(be, 2 * some, &changes));
    for (size_t i = 0; i < some; i++) {
        index[i] = (uint32_t)(3 * i);
        value[i] = w[3 * i] = value_of(i);
    }
    assert_ok(be->ops->changes_add(be, changes, panels, 0, index, value, some));
    assert_ok(be->ops->changes_add(be, changes, both, 0, index, value, some));
    assert_ok(be->ops->changes_apply(be, changes));
    assert_ok(be->ops->weight_get(be, panels, 0, count, got));
    assert_memory_equal(got, w, count * 2);
    assert_memory_equal(rows, w, count * 2);
    assert_ok(be->ops->weight_repack(be, both));    // of the rows, which the panels were already
    assert_ok(be->ops->changes_apply(be, changes)); // none is left
    assert_err(ERR_RANGE, "a change of element",
               be->ops->changes_add(be, changes, panels, count, index, value, 1));
    assert_err(ERR_EXHAUSTED, "there is room for",
               be->ops->changes_add(be, changes, panels, 0, index, value, 2 * some + 1));
    be->ops->changes_free(be, changes);
    be->ops->weight_free(be, both);
    be->ops->weight_free(be, panels);
    guarded_free_all();
}

static void every_shape(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 1}, {31, 17}, {32, 16}, {33, 48}, {64, 5}, {100, 130}};
    for (int b = 0; b < all_backends(); b++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            what_was_packed_is_read(backends[b], shapes[i][0], shapes[i][1]);
            a_table_is_looked_up(backends[b], shapes[i][0], shapes[i][1]);
            both_forms_follow(backends[b], shapes[i][0], shapes[i][1]);
            changes_follow(backends[b], shapes[i][0], shapes[i][1]);
        }
    free_backends();
}

static void half_a_panel_is_refused(void **state)
{
    (void)state;
    all_backends();
    struct backend *be = backends[0];
    bf16 w[40] = {0};
    struct weight *weight = NULL;
    assert_ok(packed_new(be, 40, 1, &weight));
    assert_err(ERR_RANGE, "31 rows from 0", be->ops->weight_put(be, weight, w, 0, 31));
    assert_err(ERR_RANGE, "8 rows from 16", be->ops->weight_put(be, weight, w, 16, 8));
    assert_err(ERR_RANGE, "9 rows from 32", be->ops->weight_put(be, weight, w, 32, 9));
    assert_err(ERR_RANGE, "-1 rows", be->ops->weight_put(be, weight, w, 32, -1));
    assert_ok(be->ops->weight_put(be, weight, w, 32, 8));
    be->ops->weight_free(be, weight);
    free_backends();
}

TESTS(cmocka_unit_test(every_shape), cmocka_unit_test(half_a_panel_is_refused))
