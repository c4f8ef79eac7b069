/* A row's bits do not depend on other rows: products of any M, forward and backward, and a model
 * token by token, in pieces and at once. Gradients of weights do not depend on how calls cut
 * sequences. A tensor core's own rounding does not matter to that, so a device runs
 * this test as the emulator does. */
#include "cuda/module.h"
#include "cuda/noise.h"
#include "cuda/settings.h"
#include "model/forward.h"
#include <string.h>

enum { MOST = 512 };

/* matmul, or backward matmul_dx of a weight (K,N) */
static void product_at(struct backend *be, int N, int K, bool backward)
{
    static const int rows[] = {1, 2, 7, 8, 9, 16, 17, 33, 64, 100, 128, 129, 257};
    SCOPED_MEM bf16 *w = noise(1, (size_t)N * (size_t)K, 0.1, 0);
    SCOPED_VALUE(buffer) x = noise_there(be, 2, (size_t)MOST * (size_t)K, 1, 0);
    SCOPED_VALUE(buffer) y = floats_there(be, NULL, (size_t)MOST * (size_t)N);
    SCOPED_MEM float *want = mem_array((size_t)MOST * (size_t)N, sizeof *want);
    SCOPED_MEM float *got = mem_array((size_t)MOST * (size_t)N, sizeof *got);
    struct weight *weight = NULL;
    const struct weight_form form = {.N = backward ? K : N, .K = backward ? N : K, .packed = true};
    const __typeof__(be->ops->matmul) run = backward ? be->ops->matmul_dx : be->ops->matmul;
    assert_ok(be->ops->weights_new(be, &form, 1, &weight));
    assert_ok(be->ops->weight_put(be, weight, w, 0, form.N));
    assert_ok(run(be, y.address, x.address, weight, MOST, 0));
    assert_ok(buffer_get(&y, 0, y.bytes, want));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i += backward ? 3 : 1) {
        const size_t first = (size_t)(MOST - rows[i]) / 2; // rows from the middle
        const size_t count = (size_t)rows[i] * (size_t)N;
        assert_ok(be->ops->zero(be, y.address, y.bytes));
        assert_ok(run(be, y.address, (float *)x.address + first * (size_t)K, weight, rows[i], 0));
        assert_ok(buffer_get(&y, 0, count * sizeof *got, got));
        if (memcmp(got, want + first * (size_t)N, count * sizeof *got))
            fail_msg("%s K %d, N %d: %d rows have other bits than among %d",
                     backward ? "backward," : "", K, N, rows[i], MOST);
    }
    be->ops->weight_free(be, weight);
}

static void products_whatever_m_is(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    for (int backward = 0; backward < 2; backward++) {
        product_at(be, 96, 64, backward);
        if (!backward)
            product_at(be, 160, 576, false);
        product_at(be, 64, 1600, backward); // chunks of K, and a part of one
    }
}

static void gradients_however_they_are_cut(void **state)
{
    (void)state;
    enum { N = 72, K = 130, SEQUENCES_OF_ROWS = 4 };
    static const int end[SEQUENCES_OF_ROWS] = {33, 34, 640, 700};
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) dy = noise_there(be, 3, (size_t)end[3] * N, 1, 0);
    SCOPED_VALUE(buffer) x = noise_there(be, 4, (size_t)end[3] * K, 1, 0);
    SCOPED_VALUE(buffer) dw = floats_there(be, NULL, (size_t)N * K);
    float want[N * K], got[N * K];
    const struct row_cuts cuts = {SEQUENCES_OF_ROWS, end};
    assert_ok(be->ops->matmul_dw(be, dw.address, dy.address, x.address, end[3], N, K, &cuts));
    assert_ok(buffer_get(&dw, 0, dw.bytes, want));
    assert_ok(be->ops->zero(be, dw.address, dw.bytes));
    for (int i = 0, first = 0; i < SEQUENCES_OF_ROWS; first = end[i++])
        assert_ok(be->ops->matmul_dw(be, dw.address, (float *)dy.address + first * N,
                                     (float *)x.address + first * K, end[i] - first, N, K, NULL));
    assert_ok(buffer_get(&dw, 0, dw.bytes, got));
    assert_memory_equal(got, want, sizeof got);
}

/* ---- a model */
enum { T_MOST = 600, SEQUENCES = 3, PAGES_MOST = (T_MOST + KV_PAGE - 1) / KV_PAGE };

/* Positions of a sequence; with RLHFD_EMU=full more than one chunk of keys. */
static int T, PAGES;

static void choose_sizes(void)
{
    const char *emu = getenv("RLHFD_EMU");
    T = emu && !strcmp(emu, "full") ? T_MOST : 70;
    PAGES = (T + KV_PAGE - 1) / KV_PAGE;
}

struct run {
    struct model *model;
    struct forward *fw;
    struct kv_pages *kv;
    int32_t page[SEQUENCES][PAGES_MOST];
};

static int32_t token_at(int sequence, int position, int V)
{
    return (int32_t)(noise_hash(20 + (uint64_t)sequence, (uint64_t)position) % (uint64_t)V);
}

/* Positions done[s].. of each sequence, count[s] of them, in one call; hidden (SEQUENCES,T,C). */
static err_t advance(struct run *r, int *done, const int *count, float *hidden)
{
    struct segment segment[SEQUENCES];
    int32_t token[SEQUENCES * T_MOST], position[SEQUENCES * T_MOST];
    const size_t C = (size_t)r->model->config.C;
    int rows = 0, segments = 0;
    for (int s = 0; s < SEQUENCES; s++) {
        if (count[s])
            segment[segments++] = (struct segment){.first = rows,
                                                   .count = count[s],
                                                   .start = done[s],
                                                   .kv = r->kv,
                                                   .page = r->page[s]};
        for (int i = 0; i < count[s]; i++, rows++) {
            position[rows] = done[s] + i;
            token[rows] = token_at(s, position[rows], r->model->config.V);
        }
    }
    TRY(forward_run(r->fw, token, position, rows, segment, segments));
    SCOPED_MEM float *got = mem_array((size_t)rows * C, sizeof *got);
    struct backend *be = r->model->be;
    TRY(be->ops->get(be, got, forward_hidden(r->fw), (size_t)rows * C * sizeof *got));
    for (int s = 0, row = 0; s < SEQUENCES; s++)
        for (int i = 0; i < count[s]; i++, row++, done[s]++)
            memcpy(hidden + ((size_t)s * (size_t)T + (size_t)done[s]) * C, got + (size_t)row * C,
                   C * sizeof *got);
    return OK;
}

/* All sequences to their end: `most` positions of each in a call, fewer where `ragged`. */
static err_t walk(struct run *r, int most, bool ragged, float *hidden)
{
    int done[SEQUENCES] = {0};
    for (int call = 0, left = SEQUENCES * T; left; call++) {
        int count[SEQUENCES];
        for (int s = 0; s < SEQUENCES; s++) {
            const int wish = ragged ? (call * 7 + s * 5) % (most + 1) : most;
            count[s] = wish < T - done[s] ? wish : T - done[s];
            left -= count[s];
        }
        TRY(advance(r, done, count, hidden));
    }
    return OK;
}

static err_t walk_of_new_pages(struct backend *be, struct model *model, int most, bool ragged,
                               float *hidden)
{
    struct run run = {.model = model};
    SCOPED(forward) fw = NULL;
    TRY(forward_new(model, SEQUENCES * T, 1, FORWARD_NOTHING, &fw));
    TRY(be->ops->kv_new(be, model->config.L, &model->shape, model->kv, SEQUENCES * PAGES, &run.kv));
    run.fw = fw;
    for (int i = 0; i < SEQUENCES * PAGES; i++)
        run.page[i % SEQUENCES][i / SEQUENCES] = (i * 7 + 2) % (SEQUENCES * PAGES); // each once
    err_t e = walk(&run, most, ragged, hidden);
    be->ops->kv_free(be, run.kv);
    return e;
}

static void model_in_pieces_and_at_once(void **state)
{
    (void)state;
    static const struct {
        int most;
        bool ragged;
    } ways[] = {{1, false}, {40, true}, {5, true}};
    choose_sizes();
    struct model_config config = config_default(97, 128, 320, 2, 4, 2, T, true);
    const size_t count = (size_t)SEQUENCES * (size_t)T * 128;
    SCOPED(backend) be = cuda_module_open();
    SCOPED(model) model = NULL;
    assert_ok(model_new(be, &config, 3, &model));
    model->kv = KV_BF16;
    SCOPED_MEM float *want = mem_array(count, sizeof *want), *got = mem_array(count, sizeof *got);
    assert_ok(walk_of_new_pages(be, model, T, false, want));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        memset(got, 0, count * sizeof *got);
        assert_ok(walk_of_new_pages(be, model, ways[i].most, ways[i].ragged, got));
        if (memcmp(got, want, count * sizeof *got))
            fail_msg("way %zu has other bits than all positions at once", i);
    }
}

TESTS_UNDER_EACH_SETTING(cmocka_unit_test(products_whatever_m_is),
                         cmocka_unit_test(gradients_however_they_are_cut),
                         cmocka_unit_test(model_in_pieces_and_at_once))
