/* Attention: one by one through pages == in chunks == the whole sequence, bit for bit; and its
 * limits. */
#include "testing/tensors.h"

struct sequence {
    struct attention_shape shape;
    int T;
    float *q, *k, *v, *whole, *lse;
};

static struct sequence sequence_with(struct backend *be, int T, int H, int K, int D,
                                     enum kv_format format, int window)
{
    struct sequence s = {.shape = {H, K, D, window}, .T = T};
    s.q = floats((size_t)T * H * D, 1, 2.0);
    s.k = floats((size_t)T * K * D, 2, 2.0);
    s.v = floats((size_t)T * K * D, 3, 1.0);
    if (format == KV_BF16) {
        assert_ok(be->ops->round_bf16(be, s.k, (size_t)T * K * D));
        assert_ok(be->ops->round_bf16(be, s.v, (size_t)T * K * D));
    }
    s.whole = guarded((size_t)T * H * D * sizeof(float));
    s.lse = guarded((size_t)T * H * sizeof(float));
    const struct segment segment = {.count = T};
    assert_ok(be->ops->attention(be, s.whole, s.lse, s.q, s.k, s.v, &segment, 1, &s.shape, 0));
    return s;
}

static struct sequence sequence_new(struct backend *be, int T, int H, int K, int D,
                                    enum kv_format format)
{
    return sequence_with(be, T, H, K, D, format, 0);
}

/* Rows at..at+count-1 of the sequence, through the pages, compared with the whole. The call's
 * buffers hold those rows and no more. */
static void feed(struct backend *be, const struct sequence *s, struct kv_pages *kv,
                 const int32_t *page, int at, int count)
{
    const size_t C = (size_t)s->shape.H * s->shape.D, E = (size_t)s->shape.K * s->shape.D;
    float *q = guarded(count * C * 4), *k = guarded(count * E * 4), *v = guarded(count * E * 4);
    float *o = guarded(count * C * 4);
    memcpy(q, s->q + at * C, count * C * 4);
    memcpy(k, s->k + at * E, count * E * 4);
    memcpy(v, s->v + at * E, count * E * 4);
    const struct segment segment = {.count = count, .start = at, .kv = kv, .page = page};
    assert_ok(be->ops->attention(be, o, NULL, q, k, v, &segment, 1, &s->shape, 1));
    assert_same_bits(o, s->whole + at * C, count * C * 4, "chunk against whole");
}

enum { PAGES = 6 };

static void chunks_equal_whole(struct backend *be, int T, int H, int K, int D,
                               enum kv_format format, int window)
{
    static const int32_t page[] = {3, 5, 0, 4, 1}; // in no order; the second is the last in memory
    const struct sequence s = sequence_with(be, T, H, K, D, format, window);
    const struct rng rng = rng_keyed(1, RNG_TEST, T, D);
    for (int round = 0; round < 3; round++) { // one by one; all at once; at random
        struct kv_pages *kv = NULL;
        assert_ok(be->ops->kv_new(be, 2, &s.shape, format, PAGES, &kv));
        for (int at = 0; at < T;) {
            const int most = T - at;
            const int count = round == 0   ? 1
                              : round == 1 ? most
                                           : 1 + (int)rng_below(&rng, at, most);
            feed(be, &s, kv, page, at, count);
            at += count;
        }
        be->ops->kv_free(be, kv);
    }
    guarded_free_all();
}

static void decode_and_chunks_equal_the_whole_sequence(void **state)
{
    (void)state;
    static const int shapes[][4] = {
        {1, 1, 1, 2},    {33, 4, 4, 16},  {20, 4, 2, 16},   {70, 2, 1, 6},  {45, 3, 3, 32},
        {37, 8, 1, 64},  {300, 2, 2, 10}, {271, 4, 2, 32},  {64, 2, 2, 16}, {65, 6, 1, 20},
        {66, 2, 1, 288}, {70, 32, 2, 8},  {131, 16, 8, 12}, {69, 4, 2, 8},  {69, 4, 4, 24},
        {69, 4, 2, 40},  {69, 4, 4, 72},  {69, 2, 1, 80},   {69, 2, 2, 96}, {69, 2, 2, 120}};
    for (int i = 0; i < all_backends(); i++)
        for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++)
            for (enum kv_format format = KV_F32; format <= KV_BF16; format++)
                chunks_equal_whole(backends[i], shapes[n][0], shapes[n][1], shapes[n][2],
                                   shapes[n][3], format, 0);
    free_backends();
}

/* Windows that end within a page and within a block of scores, and pages that fell out whole. */
static void windows_equal_the_whole_sequence(void **state)
{
    (void)state;
    static const int shapes[][5] = {{70, 4, 2, 16, 1},    {150, 4, 4, 8, 7},   {300, 2, 2, 16, 64},
                                    {300, 8, 2, 24, 65},  {300, 6, 1, 16, 30}, {290, 3, 3, 32, 257},
                                    {310, 32, 2, 8, 100}, {90, 2, 2, 40, 200}};
    for (int i = 0; i < all_backends(); i++)
        for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++)
            for (enum kv_format format = KV_F32; format <= KV_BF16; format++)
                chunks_equal_whole(backends[i], shapes[n][0], shapes[n][1], shapes[n][2],
                                   shapes[n][3], format, shapes[n][4]);
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
    const int window = s->shape.window;
    double total = 0, o[256] = {0};
    for (int j = window && i >= window ? i - window + 1 : 0; j <= i; j++) {
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
    static const int sizes[] = {8, 24, 40, 64, 72, 80, 96, 120};
    for (size_t n = 0; n < 2 * sizeof sizes / sizeof *sizes; n++) {
        const struct sequence s = sequence_with(backends[backend_count - 1], n % 2 ? 330 : 67, 4, 2,
                                                sizes[n / 2], KV_F32, n % 2 ? (int)n * 9 : 0);
        for (int i = 0; i < s.T; i++)
            for (int h = 0; h < s.shape.H; h++)
                row_equals_the_definition(&s, i, h);
        guarded_free_all();
    }
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

/* Two sequences with the same first page, and a copy of the second page before they part. */
static void shared_and_copied_pages_continue_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < all_backends() * 2; i++) {
        struct backend *be = backends[i / 2];
        const enum kv_format format = i % 2 ? KV_BF16 : KV_F32;
        const struct sequence s = sequence_new(be, 110, 4, 2, 16, format);
        static const int32_t first[] = {2, 0}, other[] = {2, 5}, stale[] = {5, 5};
        struct kv_pages *kv = NULL;
        assert_ok(be->ops->kv_new(be, 2, &s.shape, format, PAGES, &kv));
        feed(be, &s, kv, stale, 0, 60); // what the copy replaces
        feed(be, &s, kv, first, 0, 100);
        assert_err(ERR_RANGE, "kv page 0 copied to 6", be->ops->kv_copy(be, kv, 6, 0));
        assert_err(ERR_RANGE, "kv page -1 copied to 5", be->ops->kv_copy(be, kv, 5, -1));
        assert_ok(be->ops->kv_copy(be, kv, 5, 0));
        feed(be, &s, kv, first, 100, 10); // its copy does not see these
        feed(be, &s, kv, other, 90, 20);
        const size_t C = 4 * 16, E = 2 * 16; // both in one call: the shared page is only read
        float *q = guarded(2 * C * 4), *k = guarded(2 * E * 4), *v = guarded(2 * E * 4),
              *o = guarded(2 * C * 4);
        for (int n = 0; n < 2; n++) {
            memcpy(q + n * C, s.q + 109 * C, C * 4);
            memcpy(k + n * E, s.k + 109 * E, E * 4);
            memcpy(v + n * E, s.v + 109 * E, E * 4);
        }
        const struct segment both[] = {
            {.first = 0, .count = 1, .start = 109, .kv = kv, .page = first},
            {.first = 1, .count = 1, .start = 109, .kv = kv, .page = other}};
        assert_ok(be->ops->attention(be, o, NULL, q, k, v, both, 2, &s.shape, 1));
        for (int n = 0; n < 2; n++)
            assert_same_bits(o + n * C, s.whole + 109 * C, C * 4, "shared against whole");
        be->ops->kv_free(be, kv);
        guarded_free_all();
    }
    free_backends();
}

static void rounding_is_to_the_nearest_even(void **state)
{
    (void)state;
    for (int i = 0; i < all_backends(); i++) {
        float x[100003];
        fill(x, 100003, 5, 3);
        x[0] = 1.00390625f, x[1] = 1.01171875f, x[2] = -INFINITY, x[3] = NAN, x[4] = 1e-40f; // ties
        assert_ok(backends[i]->ops->round_bf16(backends[i], x, 100003));
        assert_true(x[0] == 1.0f && x[1] == 1.015625f && isinf(x[2]) && isnan(x[3]));
        assert_true(x[4] > 9e-41f && x[4] < 1e-40f); // denormals stay
        for (int n = 5; n < 100003; n++)
            assert_true(bf16_to_float(bf16_from_float(x[n])) == x[n]);
    }
    free_backends();
}

static void limits_are_kept(void **state)
{
    (void)state;
    all_backends();
    struct backend *be = backends[0];
    const struct attention_shape shape = {2, 2, 8}, odd = {2, 2, 7}, uneven = {3, 2, 8};
    static const int32_t page[] = {1, 0, 2}, negative[] = {-1};
    float *x = floats(130 * 16, 1, 1), *o = guarded(130 * 16 * 4);
    struct kv_pages *kv = NULL;
    assert_err(ERR_INVALID, "size 7", be->ops->kv_new(be, 1, &odd, KV_F32, 4, &kv));
    assert_err(ERR_INVALID, "3 heads", be->ops->kv_new(be, 1, &uneven, KV_F32, 4, &kv));
    assert_err(ERR_INVALID, "0 kv pages", be->ops->kv_new(be, 1, &shape, KV_F32, 0, &kv));
    assert_ok(be->ops->kv_new(be, 1, &shape, KV_F32, 2, &kv));
    struct segment segment = {.count = 129, .kv = kv, .page = page};
    assert_err(ERR_RANGE, "page 2 of it is 2, there are 2",
               be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 0));
    segment = (struct segment){.count = 1, .kv = kv, .page = negative};
    assert_err(ERR_RANGE, "page 0 of it is -1",
               be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 0));
    segment = (struct segment){.count = 5, .kv = kv, .page = page};
    assert_err(ERR_RANGE, "layer 1",
               be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 1));
    segment.count = 128;
    assert_ok(be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 0));
    segment = (struct segment){.count = 1, .start = 1};
    assert_err(ERR_RANGE, "without pages",
               be->ops->attention(be, o, NULL, x, x, x, &segment, 1, &shape, 0));
    be->ops->kv_free(be, kv);
    be->ops->kv_free(be, NULL);
    guarded_free_all();
    free_backends();
}

TESTS(cmocka_unit_test(decode_and_chunks_equal_the_whole_sequence),
      cmocka_unit_test(windows_equal_the_whole_sequence),
      cmocka_unit_test(whole_sequence_equals_the_definition),
      cmocka_unit_test(rows_do_not_see_each_other),
      cmocka_unit_test(shared_and_copied_pages_continue_the_same),
      cmocka_unit_test(rounding_is_to_the_nearest_even), cmocka_unit_test(limits_are_kept))
