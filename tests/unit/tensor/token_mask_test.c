/* Tokens without a probability: masked rows against rows that never had these tokens, bit for bit,
 * and against the definition in double. */
#include "testing/tensors.h"

enum { N = 6, DRAWS = 40 };

/* Rows of V logits, and the same with `more` behind them that would win every softmax. */
static float *widened(const float *narrow, int V, int more)
{
    static const float large[] = {1e4f, INFINITY, -1e30f, NAN, 3e38f};
    float *wide = guarded((size_t)N * (size_t)(V + more) * sizeof *wide);
    for (int n = 0; n < N; n++) {
        memcpy(wide + n * (V + more), narrow + n * V, (size_t)V * sizeof *wide);
        for (int v = 0; v < more; v++)
            wide[n * (V + more) + V + v] = large[(n + v) % 5];
    }
    return wide;
}

static struct token_request request_of(int i, const int32_t *token)
{
    return (struct token_request){.row = i % N,
                                  .greedy = i % 7 == 0,
                                  .inverse_temperature = i % 3 ? 1 : 0.7f,
                                  .repetition_penalty = i % 4 ? 0 : 1.3f,
                                  .token = token,
                                  .tokens = 5,
                                  .top_p = i % 5 ? 0 : 0.8f,
                                  .min_p = i % 6 ? 0 : 0.1f,
                                  .counter = (uint64_t)i};
}

static void draws_agree(struct backend *be, const float *narrow, const float *wide, int V, int more)
{
    struct token_request request[DRAWS];
    struct token_draw a[DRAWS], b[DRAWS];
    int32_t *token = tokens(5, 9, V);
    for (int i = 0; i < DRAWS; i++)
        request[i] = request_of(i, token);
    run_op(be->ops->token_draw(be, ON(be, narrow), N, V, request, DRAWS, a));
    run_op(be->ops->token_draw(be, ON(be, wide), N, V + more, request, DRAWS, b));
    for (int i = 0; i < DRAWS; i++) {
        assert_true(a[i].finite && b[i].finite);
        assert_int_equal(a[i].token, b[i].token);
        assert_same_bits(&a[i].logp, &b[i].logp, sizeof a[i].logp, "logp");
        assert_same_bits(&a[i].mass, &b[i].mass, sizeof a[i].mass, "mass");
        assert_same_bits(&a[i].share, &b[i].share, sizeof a[i].share, "share");
    }
}

static void slopes_agree(struct backend *be, float *narrow, float *wide, const int32_t *token,
                         int V, int more)
{
    const int W = V + more;
    float *dlogp = floats(N, 2, 1);
    dlogp[1] = 0;
    run_op(be->ops->token_logp_backward(be, ON(be, narrow), dlogp, token, 0.7f, N, V));
    run_op(be->ops->token_logp_backward(be, ON(be, wide), dlogp, token, 0.7f, N, W));
    for (int n = 0; n < N; n++) {
        assert_same_bits(wide + n * W, narrow + n * V, (size_t)V * sizeof *wide, "slopes");
        for (int v = V; v < W; v++)
            assert_true(wide[n * W + v] == 0);
    }
}

static void as_if_there_were_no_padding(struct backend *be, int V, int more)
{
    const struct token_range padding = {V, more};
    float *narrow = floats((size_t)N * V, 1, 9), *wide = widened(narrow, V, more);
    float *logp[2] = {guarded(N * 4), guarded(N * 4)};
    float *entropy[2] = {guarded(N * 4), guarded(N * 4)};
    int32_t *token = tokens(N, 3, V);
    run_op(be->ops->token_mask(be, ON(be, wide), &padding, 1, N, V + more));
    draws_agree(be, narrow, wide, V, more);
    run_op(be->ops->token_logp(be, logp[0], entropy[0], ON(be, narrow), token, 0.7f, N, V));
    run_op(be->ops->token_logp(be, logp[1], entropy[1], ON(be, wide), token, 0.7f, N, V + more));
    assert_same_bits(logp[0], logp[1], N * 4, "logp");
    assert_same_bits(entropy[0], entropy[1], N * 4, "entropy");
    slopes_agree(be, narrow, wide, token, V, more);
    guarded_free_all();
}

static void masked_padding_leaves_no_trace(void **state)
{
    static const int sizes[][2] = {{1, 1}, {15, 1}, {16, 16}, {29, 3}, {37, 40}, {300, 271}};
    (void)state;
    all_backends();
    add_opaque_backend();
    for (int i = 0; i < backend_count; i++)
        for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
            as_if_there_were_no_padding(backends[i], sizes[n][0], sizes[n][1]);
    free_backends();
}

/* Two holes and an end, in double. */
static void holes_are_left_out_of_the_softmax(void **state)
{
    enum { V = 50 };
    const struct token_range range[] = {{0, 2}, {20, 5}, {48, 2}};
    (void)state;
    all_backends();
    for (int i = 0; i < backend_count; i++) {
        struct backend *be = backends[i];
        float *logits = floats(N * V, 1, 9), *x = floats(N * V, 1, 9), dlogp[N], logp[N],
              entropy[N];
        int32_t token[N];
        for (int n = 0; n < N; n++) {
            token[n] = 3 + n * 7 + (n == 3);
            dlogp[n] = 1 - 0.4f * (float)n;
        }
        assert_ok(be->ops->token_mask(be, logits, range, 3, N, V));
        assert_ok(be->ops->token_logp(be, logp, entropy, logits, token, 0.7f, N, V));
        assert_ok(be->ops->token_logp_backward(be, logits, dlogp, token, 0.7f, N, V));
        for (int n = 0; n < N; n++) {
            double sum = 0, mean = 0;
            for (int v = 0; v < V; v++)
                if (!token_ranges_have(range, 3, v))
                    sum += exp(0.7f * x[n * V + v]);
            for (int v = 0; v < V; v++) {
                const bool masked = token_ranges_have(range, 3, v);
                const double p = masked ? 0 : exp(0.7f * x[n * V + v]) / sum;
                const double slope = (double)dlogp[n] * ((v == token[n]) - p) * 0.7;
                mean += masked ? 0 : p * log(p);
                assert_near(logits[n * V + v], slope, masked ? 0 : 1e-6); // float32 of below 2
            }
            assert_near(logp[n], 0.7f * x[n * V + token[n]] - log(sum), 2e-6); // of some 10
            assert_near(entropy[n], -mean, 2e-6);
        }
        guarded_free_all();
    }
    free_backends();
}

static void a_mask_beyond_the_vocabulary_is_refused(void **state)
{
    static const struct token_range bad[] = {{-1, 1}, {5, 1},  {4, 2},
                                             {0, 6},  {2, -1}, {INT32_MAX, INT32_MAX}};
    (void)state;
    SCOPED(backend) be = NULL;
    float logits[5] = {1, 2, 3, 4, 5};
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &be));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct token_range range[] = {{0, 1}, bad[i]};
        assert_err(ERR_RANGE, "of a vocabulary of 5",
                   be->ops->token_mask(be, logits, range, 2, 1, 5));
        assert_true(logits[0] == 1);
    }
    assert_ok(be->ops->token_mask(be, logits, NULL, 0, 1, 5));
}

TESTS(cmocka_unit_test(masked_padding_leaves_no_trace),
      cmocka_unit_test(holes_are_left_out_of_the_softmax),
      cmocka_unit_test(a_mask_beyond_the_vocabulary_is_refused))
