/* Attention: one by one from a cache == in chunks == the whole sequence, bit for bit; and its
 * limits. */
#include "testing/tensors.h"

struct sequence {
    struct attention_shape shape;
    int T;
    float *q, *k, *v, *whole, *lse;
};

static struct sequence sequence_new(struct backend *be, int T, int H, int K, int D)
{
    struct sequence s = {.shape = {H, K, D}, .T = T};
    s.q = floats((size_t)T * H * D, 1, 2.0);
    s.k = floats((size_t)T * K * D, 2, 2.0);
    s.v = floats((size_t)T * K * D, 3, 1.0);
    s.whole = guarded((size_t)T * H * D * sizeof(float));
    s.lse = guarded((size_t)T * H * sizeof(float));
    const struct segment segment = {.count = T};
    assert_ok(be->ops->attention(be, s.whole, s.lse, s.q, s.k, s.v, &segment, 1, &s.shape, 0));
    return s;
}

/* Rows at..at+count-1 of the sequence, through the cache, compared with the whole. The call's
 * buffers hold those rows and no more. */
static void feed(struct backend *be, const struct sequence *s, struct kv_cache *cache, int at,
                 int count)
{
    const size_t C = (size_t)s->shape.H * s->shape.D, E = (size_t)s->shape.K * s->shape.D;
    float *q = guarded(count * C * 4), *k = guarded(count * E * 4), *v = guarded(count * E * 4);
    float *o = guarded(count * C * 4);
    memcpy(q, s->q + at * C, count * C * 4);
    memcpy(k, s->k + at * E, count * E * 4);
    memcpy(v, s->v + at * E, count * E * 4);
    const struct segment segment = {.count = count, .start = at, .cache = cache};
    assert_ok(be->ops->attention(be, o, NULL, q, k, v, &segment, 1, &s->shape, 1));
    assert_same_bits(o, s->whole + at * C, count * C * 4, "chunk against whole");
}

static void chunks_equal_whole(struct backend *be, int T, int H, int K, int D)
{
    const struct sequence s = sequence_new(be, T, H, K, D);
    const struct rng rng = rng_keyed(1, RNG_TEST, T, D);
    for (int round = 0; round < 3; round++) { // one by one; all at once; at random
        struct kv_cache *cache = NULL;
        assert_ok(be->ops->kv_new(be, 2, &s.shape, T, &cache));
        for (int at = 0; at < T;) {
            const int most = T - at;
            const int count = round == 0   ? 1
                              : round == 1 ? most
                                           : 1 + (int)rng_below(&rng, at, most);
            feed(be, &s, cache, at, count);
            at += count;
        }
        be->ops->kv_free(be, cache);
    }
    guarded_free_all();
}

static void decode_and_chunks_equal_the_whole_sequence(void **state)
{
    (void)state;
    static const int shapes[][4] = {{1, 1, 1, 2},    {33, 4, 4, 16}, {20, 4, 2, 16},
                                    {70, 2, 1, 6},   {45, 3, 3, 32}, {37, 8, 1, 64},
                                    {300, 2, 2, 10}, {271, 4, 2, 32}};
    for (int i = 0; i < all_backends(); i++)
        for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++)
            chunks_equal_whole(backends[i], shapes[n][0], shapes[n][1], shapes[n][2], shapes[n][3]);
    free_backends();
}

static double reference_score(const struct sequence *s, int i, int h, int j)
{
    const int D = s->shape.D, head = h / (s->shape.H / s->shape.K);
    double sum = 0;
    for (int d = 0; d < D; d++)
        sum += (double)s->q[((size_t)i * s->shape.H + h) * D + d] *
               s->k[((size_t)j * s->shape.K + head) * D + d];
    return sum / sqrt(D);
}

static void row_equals_the_definition(const struct sequence *s, int i, int h)
{
    const int D = s->shape.D, head = h / (s->shape.H / s->shape.K);
    double total = 0, o[256] = {0};
    for (int j = 0; j <= i; j++) {
        const double e = exp(reference_score(s, i, h, j));
        total += e;
        for (int d = 0; d < D; d++)
            o[d] += e * s->v[((size_t)j * s->shape.K + head) * D + d];
    }
    const size_t at = (size_t)i * s->shape.H + h;
    assert_near(s->lse[at], log(total), 1e-6);
    for (int d = 0; d < D; d++)
        assert_near(s->whole[at * D + d], o[d] / total, 2e-6);
}

static void whole_sequence_equals_the_definition(void **state)
{
    (void)state;
    all_backends();
    const struct sequence s = sequence_new(backends[backend_count - 1], 67, 4, 2, 24);
    for (int i = 0; i < s.T; i++)
        for (int h = 0; h < s.shape.H; h++)
            row_equals_the_definition(&s, i, h);
    guarded_free_all();
    free_backends();
}

/* Sequences computed together or alone; a NaN of one stays in it, and a NaN of a later position out
 * of earlier rows. */
static void rows_do_not_see_each_other(void **state)
{
    (void)state;
    enum { H = 4, K = 2, D = 16, N = 61 };
    const struct attention_shape shape = {H, K, D};
    const struct segment together[] = {
        {.first = 0, .count = 20}, {.first = 20, .count = 1}, {.first = 21, .count = 40}};
    for (int i = 0; i < all_backends(); i++) {
        struct backend *be = backends[i];
        float *q = floats(N * H * D, 1, 1), *k = floats(N * K * D, 2, 1),
              *v = floats(N * K * D, 3, 1);
        float *o = guarded(N * H * D * 4), *alone = guarded(N * H * D * 4);
        for (int d = 0; d < K * D; d++)
            v[59 * K * D + d] = k[19 * K * D + d] = NAN;
        assert_ok(be->ops->attention(be, o, NULL, q, k, v, together, 3, &shape, 0));
        for (int s = 0; s < 3; s++)
            assert_ok(be->ops->attention(be, alone, NULL, q, k, v, &together[s], 1, &shape, 0));
        assert_same_bits(o, alone, N * H * D * 4, "together against alone");
        for (int n = 0; n < N; n++)
            assert_int_equal(isnan(o[n * H * D]) != 0, n == 19 || n >= 59);
        guarded_free_all();
    }
    free_backends();
}

static void a_copied_prefix_continues_the_same(void **state)
{
    (void)state;
    all_backends();
    struct backend *be = backends[backend_count - 1];
    const struct sequence s = sequence_new(be, 50, 4, 2, 16);
    struct kv_cache *prompt = NULL, *copy = NULL;
    assert_ok(be->ops->kv_new(be, 2, &s.shape, 40, &prompt));
    assert_ok(be->ops->kv_new(be, 2, &s.shape, 64, &copy));
    feed(be, &s, copy, 0, 50); // what the copy replaces
    feed(be, &s, prompt, 0, 40);
    assert_err(ERR_RANGE, "0 are there",
               be->ops->kv_copy(be, copy, prompt, 37)); // layer 0 is empty
    const struct segment segment = {.count = 40, .cache = prompt};
    float *o = guarded(40 * 64 * 4);
    assert_ok(be->ops->attention(be, o, NULL, s.q, s.k, s.v, &segment, 1, &s.shape, 0));
    assert_ok(be->ops->kv_copy(be, copy, prompt, 37));
    feed(be, &s, copy, 37, 13);
    be->ops->kv_free(be, prompt);
    be->ops->kv_free(be, copy);
    guarded_free_all();
    free_backends();
}

static void limits_are_kept(void **state)
{
    (void)state;
    all_backends();
    struct backend *be = backends[0];
    const struct attention_shape shape = {2, 2, 8}, odd = {2, 2, 7}, uneven = {3, 2, 8};
    float *x = floats(8 * 16, 1, 1), *o = guarded(8 * 16 * 4);
    struct kv_cache *cache = NULL;
    assert_err(ERR_INVALID, "size 7", be->ops->kv_new(be, 1, &odd, 4, &cache));
    assert_err(ERR_INVALID, "3 heads", be->ops->kv_new(be, 1, &uneven, 4, &cache));
    assert_ok(be->ops->kv_new(be, 1, &shape, 5, &cache));
    struct segment segment = {.count = 6, .cache = cache};
    assert_err(ERR_RANGE, "holds 5",
               be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 0));
    segment = (struct segment){.count = 1, .start = 1, .cache = cache};
    assert_err(ERR_RANGE, "ends at 0",
               be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 0));
    segment = (struct segment){.count = 5, .cache = cache};
    assert_err(ERR_RANGE, "layer 1",
               be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 1));
    assert_ok(be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 0));
    segment = (struct segment){.count = 1, .start = 5, .cache = cache};
    assert_err(ERR_RANGE, "holds 5",
               be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 0));
    segment = (struct segment){.count = 1, .start = 1};
    assert_err(ERR_RANGE, "without a cache",
               be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 0));
    be->ops->kv_free(be, cache);
    be->ops->kv_free(be, NULL);
    guarded_free_all();
    free_backends();
}

TESTS(cmocka_unit_test(decode_and_chunks_equal_the_whole_sequence),
      cmocka_unit_test(whole_sequence_equals_the_definition),
      cmocka_unit_test(rows_do_not_see_each_other),
      cmocka_unit_test(a_copied_prefix_continues_the_same), cmocka_unit_test(limits_are_kept))
