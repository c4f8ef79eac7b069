#include "tiny.h"
#include <math.h>

static const int lengths[] = {5, 40, 33, 1, 85};
enum { SEQUENCES = 5, N = 164 };

/* Pages handed out as they are needed, in no order: sequence s gets its i-th where it comes. */
struct kept {
    struct kv_pages *kv;
    int32_t page[SEQUENCES][4];
    int pages[SEQUENCES], used;
};

static struct segment segment_of(struct kept *kept, int s, int first, int count, int start)
{
    while (kept->pages[s] * KV_PAGE < start + count)
        kept->page[s][kept->pages[s]++] = kept->used++ * 3 % 7;
    return (struct segment){
        .first = first, .count = count, .start = start, .kv = kept->kv, .page = kept->page[s]};
}

/* Decodes all sequences in steps: in each, every sequence that is not done adds a random number of
 * its next tokens, in a random order, some sequences nothing. hidden (N,C) is gathered back into
 * the full forward's rows. */
static void decode(struct forward *fw, struct model *model, const struct tiny_batch *all,
                   uint64_t seed, float *hidden)
{
    const size_t C = (size_t)model->config.C;
    const struct rng rng = rng_keyed(seed, RNG_TEST, 77, 0);
    struct kept kept = {0};
    int done[SEQUENCES] = {0};
    uint64_t draw = 0;
    assert_ok(
        model->be->ops->kv_new(model->be, model->config.L, &model->shape, model->kv, 7, &kept.kv));
    for (int left = N; left;) {
        int32_t token[N], position[N];
        int from[N], rows = 0, count = 0;
        struct segment segment[SEQUENCES];
        const int first = (int)rng_below(&rng, draw++, SEQUENCES);
        for (int i = 0; i < SEQUENCES; i++) {
            const int s = (first + i) % SEQUENCES, rest = lengths[s] - done[s];
            const int most = rng_below(&rng, draw++, 4) ? 1 : 37;
            int n = (int)rng_below(&rng, draw++, (uint64_t)most + 1);
            n = n < rest ? n : rest;
            if (!n)
                continue;
            segment[count++] = segment_of(&kept, s, rows, n, done[s]);
            for (int j = 0; j < n; j++, rows++) {
                from[rows] = all->segment[s].first + done[s]++;
                token[rows] = all->token[from[rows]];
                position[rows] = all->position[from[rows]];
            }
        }
        assert_ok(forward_run(fw, token, position, rows, segment, count));
        SCOPED_MEM float *got = rows_of(model->be, forward_hidden(fw), rows, C);
        for (int i = 0; i < rows; i++)
            memcpy(hidden + (size_t)from[i] * C, got + (size_t)i * C, C * sizeof(float));
        left -= rows;
    }
    model->be->ops->kv_free(model->be, kept.kv);
}

static void cached_decoding_has_the_full_forwards_bits(void **state)
{
    (void)state;
    static const int head_sizes[] = {16, 16, 16, 16, 8, 24, 40, 72, 80, 96, 120};
    for (int i = 0; i < 11; i++) {
        SCOPED(backend) be = tiny_backend(1 + i % 2);
        struct model_config config = tiny_config(true);
        config.D = head_sizes[i];
        SCOPED(model) model = NULL;
        SCOPED(forward) full = NULL;
        SCOPED(forward) steps = NULL;
        assert_ok(model_new(be, &config, 5, &model));
        model->kv = i % 4 < 2 ? KV_F32 : KV_BF16;
        assert_ok(forward_new(model, N, 16, true, &full));
        assert_ok(forward_new(model, N, 16, false, &steps));
        assert_true(forward_bytes(steps) < forward_bytes(full));
        SCOPED_VALUE(tiny_batch) all = tiny_batch_of(lengths, 0, SEQUENCES, config.V, 1);
        tiny_forward(full, &all);
        static float hidden[N * 64];
        for (uint64_t seed = 0; seed < 4; seed++) {
            memset(hidden, 0, sizeof hidden);
            decode(steps, model, &all, seed, hidden);
            SCOPED_MEM float *want = rows_of(be, forward_hidden(full), N, 64);
            assert_memory_equal(hidden, want, sizeof hidden);
        }
    }
}

static void logp_agrees_with_logits_whatever_the_chunk(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    struct model_config config = tiny_config(false);
    SCOPED(model) model = NULL;
    SCOPED(forward) a = NULL;
    SCOPED(forward) b = NULL;
    assert_ok(model_new(be, &config, 5, &model));
    assert_ok(forward_new(model, N, 7, false, &a));
    assert_ok(forward_new(model, N, 256, true, &b));
    SCOPED_VALUE(tiny_batch) all = tiny_batch_of(lengths, 0, SEQUENCES, config.V, 1);
    static float logp[2][N], entropy[2][N];
    tiny_forward(a, &all);
    tiny_forward(b, &all);
    SCOPED_MEM float *logits = logits_of(model, a, all.row, all.rows);
    assert_ok(forward_logp(a, all.row, all.target, all.rows, 0.5f, logp[0], entropy[0]));
    assert_ok(forward_logp(b, all.row, all.target, all.rows, 0.5f, logp[1], entropy[1]));
    assert_memory_equal(logp[0], logp[1], sizeof logp[0]);
    assert_memory_equal(entropy[0], entropy[1], sizeof entropy[0]);
    for (int i = 0; i < all.rows; i++) {
        const float *row = logits + i * config.V;
        double sum = 0, weighted = 0;
        for (int v = 0; v < config.V; v++)
            sum += exp(0.5 * row[v]), weighted += 0.5 * row[v] * exp(0.5 * row[v]);
        assert_near(logp[0][i], 0.5 * row[all.target[i]] - log(sum),
                    1e-6); // a few float32 roundings of ~3.6
        assert_near(entropy[0][i], log(sum) - weighted / sum, 2e-6);
    }
}

static void what_is_out_of_range_is_refused(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    struct model_config config = tiny_config(false);
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    assert_ok(model_new(be, &config, 5, &model));
    assert_err(ERR_INVALID, "at least 1", forward_new(model, 0, 1, true, &fw));
    assert_ok(forward_new(model, 4, 2, true, &fw));
    const int32_t token[] = {1, 2, 37, 3, 4}, position[] = {0, 1, 2, 96, 4};
    float out[40];
#define RUN(n, ...)                                                                                \
    forward_run(fw, token, position, n, (struct segment[]){__VA_ARGS__},                           \
                sizeof((struct segment[]){__VA_ARGS__}) / sizeof(struct segment))
    assert_err(ERR_INVALID, "5 rows; the workspace holds 4", RUN(5, {.count = 5}));
    assert_err(ERR_INVALID, "token 37 in row 2", RUN(3, {.count = 3}));
    assert_err(ERR_INVALID, "segments hold 1 of 2", RUN(2, {.count = 1}));
    assert_err(ERR_INVALID, "segment 1 is rows 0", RUN(2, {.count = 1}, {.count = 1}));
    assert_err(ERR_INVALID, "segment 0 is rows 0 to 3 of 2", RUN(2, {.count = 3}));
    assert_err(ERR_RANGE, "starts at 1 without pages", RUN(2, {.count = 2, .start = 1}));
    assert_err(ERR_INVALID, "position 96 in row 1",
               forward_run(fw, token, position + 2, 2, &(struct segment){.count = 2}, 1));
    assert_ok(RUN(2, {.count = 2}));
    assert_err(ERR_INVALID, "row 2 of a run of 2", forward_logits(fw, &(int32_t){2}, 1, out));
    assert_err(ERR_INVALID, "target -1",
               forward_logp(fw, &(int32_t){1}, &(int32_t){-1}, 1, 1, out, NULL));
    assert_ok(forward_run(fw, token, position, 0, NULL, 0));
    assert_err(ERR_INVALID, "row 0 of a run of 0", forward_logits(fw, &(int32_t){0}, 1, out));
#undef RUN
}

TESTS(cmocka_unit_test(cached_decoding_has_the_full_forwards_bits),
      cmocka_unit_test(logp_agrees_with_logits_whatever_the_chunk),
      cmocka_unit_test(what_is_out_of_range_is_refused))
