/* attention_backward as an op of the module: the forward's slopes, with the bits of a sequence
 * alone however a call is made up, and the CPU's errors. */
#include "cuda/both.h"
#include <limits.h>

/* N rows of a call, all of them values of bf16: rounding them again changes none. */
struct rows {
    struct attention_shape shape;
    int N;
    size_t wide, narrow; // floats of a row: of its heads, of its kv heads
    float *q, *k, *v, *d_o, *o, *lse, *dq, *dk, *dv;
};

static float *bf16_values(size_t count, uint64_t seed, double scale)
{
    float *x = floats(count, seed, scale);
    assert_ok(cpu->ops->round_bf16(cpu, x, count));
    return x;
}

static struct rows rows_of(struct attention_shape shape, int N, uint64_t seed)
{
    const size_t wide = (size_t)shape.H * (size_t)shape.D,
                 narrow = (size_t)shape.K * (size_t)shape.D, n = (size_t)N;
    return (struct rows){.shape = shape,
                         .N = N,
                         .wide = wide,
                         .narrow = narrow,
                         .q = bf16_values(n * wide, seed, 2),
                         .k = bf16_values(n * narrow, seed + 1, 2),
                         .v = bf16_values(n * narrow, seed + 2, 1),
                         .d_o = bf16_values(n * wide, seed + 3, 1),
                         .o = floats(n * wide, 7, 1),
                         .lse = floats(n * (size_t)shape.H, 7, 1),
                         .dq = floats(n * wide, 8, 1),
                         .dk = floats(n * narrow, 8, 1),
                         .dv = floats(n * narrow, 8, 1)};
}

static void backward(struct backend *be, const struct rows *r, const struct segment *segments,
                     int count)
{
    run_op(be->ops->attention_backward(be, ON(be, r->dq), ON(be, r->dk), ON(be, r->dv),
                                       ON(be, r->d_o), ON(be, r->q), ON(be, r->k), ON(be, r->v),
                                       ON(be, r->o), ON(be, r->lse), segments, count, &r->shape));
}

static void both_ways(struct backend *be, const struct rows *r, const struct segment *segments,
                      int count)
{
    run_op(be->ops->attention(be, ON(be, r->o), ON(be, r->lse), ON(be, r->q), ON(be, r->k),
                              ON(be, r->v), segments, count, &r->shape, 0));
    backward(be, r, segments, count);
}

/* The errors' size relative to that of what is wanted. */
static double share_of(const float *got, const double *want, size_t count)
{
    double off = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        size += want[i] * want[i];
    }
    return sqrt(off / size);
}

/* Softmax weights and their slopes are rounded to bf16, by at most 2^-8 of each, 0.4 of that on
 * average (root mean square). The forward's weights are, too, and its o is in each slope. */
static const double ROUNDED = 0x1p-8;

/* ---- slopes of the forward in double */

/* A sequence, then a prompt and two completions that share its first rows. */
enum { T = 40, H = 4, K = 2, D = 6, FIRST = 6, PROMPT = 18, SHARED = 17, SECOND = 27 };
static const struct segment family[] = {
    {.count = FIRST},
    {.first = FIRST, .count = PROMPT - FIRST},
    {.first = PROMPT, .count = SECOND - PROMPT, .start = SHARED - FIRST, .prefix = FIRST},
    {.first = SECOND, .count = T - SECOND, .start = SHARED - FIRST, .prefix = FIRST}};

/* The row of a segment's key at a position. */
static int key_row(const struct segment *s, int position)
{
    return position < s->start ? s->prefix + position : s->first + position - s->start;
}

/* sum d_o o over the rows of a call. */
static double loss_of(const double *q, const double *k, const double *v, const float *d_o,
                      int window)
{
    double loss = 0;
    for (size_t i = 0; i < sizeof family / sizeof *family; i++)
        for (int n = 0; n < family[i].count * H; n++) {
            const struct segment *s = &family[i];
            const int query = s->start + n / H, head = n % H, kv = head / (H / K);
            const size_t at = ((size_t)(s->first + n / H) * H + (size_t)head) * D;
            double total = 0, sum = 0;
            for (int j = window && query >= window ? query - window + 1 : 0; j <= query; j++) {
                const size_t key = ((size_t)key_row(s, j) * K + (size_t)kv) * D;
                double score = 0, value = 0;
                for (int d = 0; d < D; d++) {
                    score += q[at + d] * k[key + d] / sqrt(D);
                    value += (double)d_o[at + d] * v[key + d];
                }
                total += exp(score);
                sum += exp(score) * value;
            }
            loss += sum / total;
        }
    return loss;
}

static void gradients_are_the_forwards_slopes(void **state)
{
    (void)state;
    enum { WIDE = T * H * D, NARROW = T * K * D, ALL = WIDE + 2 * NARROW };
    static const int windows[] = {0, 1, 5, 14, T};
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
        const struct rows r = rows_of((struct attention_shape){H, K, D, windows[w]}, T, 1);
        static double x[ALL], slope[ALL];
        both_ways(cuda, &r, family, 4);
        for (int i = 0; i < WIDE; i++)
            x[i] = (double)r.q[i];
        for (int i = 0; i < NARROW; i++) {
            x[WIDE + i] = (double)r.k[i];
            x[WIDE + NARROW + i] = (double)r.v[i];
        }
        for (int i = 0; i < ALL; i++) {
            const double h = 1e-5, was = x[i];
            x[i] = was + h;
            slope[i] = loss_of(x, x + WIDE, x + WIDE + NARROW, r.d_o, windows[w]);
            x[i] = was - h;
            slope[i] -= loss_of(x, x + WIDE, x + WIDE + NARROW, r.d_o, windows[w]);
            slope[i] /= 2 * h;
            x[i] = was;
        }
        if (windows[w] != 1) { // one key's weight is 1, whatever q and k are
            assert_true(share_of(r.dq, slope, WIDE) < ROUNDED);
            assert_true(share_of(r.dk, slope + WIDE, NARROW) < ROUNDED);
        } else
            for (int i = 0; i < NARROW; i++)
                assert_near(r.dk[i], 0, 1e-6);
        assert_true(share_of(r.dv, slope + WIDE + NARROW, NARROW) < ROUNDED);
        guarded_free_all();
    }
}

/* Sizes of all kinds, some hundred rows. */
static void gradients_are_near_the_cpus(void **state)
{
    (void)state;
    static const struct attention_shape shapes[] = {{4, 2, 16, 0},  {2, 2, 64, 50}, {6, 1, 6, 0},
                                                    {3, 1, 128, 0}, {35, 1, 8, 70}, {2, 1, 80, 0},
                                                    {1, 1, 250, 0}, {2, 2, 160, 40}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        enum { N = 150 };
        const struct segment segments[] = {{.count = 90}, {.first = 90, .start = 70, .count = 60}};
        struct rows a = rows_of(shapes[i], N, 1), b = rows_of(shapes[i], N, 1);
        SCOPED_MEM double *want = malloc(N * a.wide * sizeof *want);
        float *const got[] = {b.dq, b.dk, b.dv}, *const cpus[] = {a.dq, a.dk, a.dv};
        both_ways(cpu, &a, segments, 2);
        both_ways(cuda, &b, segments, 2);
        for (int part = 0; part < 3; part++) {
            const size_t count = N * (part ? a.narrow : a.wide);
            for (size_t j = 0; j < count; j++)
                want[j] = (double)cpus[part][j];
            assert_true(share_of(got[part], want, count) < ROUNDED);
        }
        guarded_free_all();
    }
}

/* ---- the same bits */

/* `count` rows from `from` on become those from `to` on. */
static void take_rows(const struct rows *a, int to, const struct rows *b, int from, int count)
{
    const size_t wide = a->wide * sizeof(float), narrow = a->narrow * sizeof(float);
    for (int i = 0; i < count; i++) {
        const size_t at = (size_t)(to + i), of = (size_t)(from + i);
        memcpy(a->q + at * a->wide, b->q + of * a->wide, wide);
        memcpy(a->d_o + at * a->wide, b->d_o + of * a->wide, wide);
        memcpy(a->k + at * a->narrow, b->k + of * a->narrow, narrow);
        memcpy(a->v + at * a->narrow, b->v + of * a->narrow, narrow);
    }
}

static void assert_gradients(const struct rows *a, int first, const struct rows *b, int at,
                             int count, const char *what)
{
    const size_t i = (size_t)first, j = (size_t)at, n = (size_t)count * sizeof(float);
    assert_same_bits(a->dq + i * a->wide, b->dq + j * a->wide, n * a->wide, what);
    assert_same_bits(a->dk + i * a->narrow, b->dk + j * a->narrow, n * a->narrow, what);
    assert_same_bits(a->dv + i * a->narrow, b->dv + j * a->narrow, n * a->narrow, what);
}

/* A prompt's rows once, or before each of its completions. Completions have the same bits; so has
 * the prompt's dq. Its dk and dv are sums over the copies, whose own queries count once. */
static void sharing_adds_to_the_prompt_alone(struct attention_shape shape, int prompt, int first,
                                             int second)
{
    const int both = prompt + first, all = both + second, own[] = {first, second};
    struct rows shared = rows_of(shape, all, 1), sum = rows_of(shape, prompt, 1);
    const struct segment segments[] = {{.count = prompt},
                                       {.first = prompt, .count = first, .start = prompt},
                                       {.first = both, .count = second, .start = prompt}};
    both_ways(cuda, &shared, segments, 3);
    for (int c = 0; c < 2; c++) {
        struct rows apart = rows_of(shape, prompt + own[c], 5);
        const struct segment alone = {.count = prompt + own[c]};
        take_rows(&apart, 0, &shared, 0, prompt);
        take_rows(&apart, prompt, &shared, c ? both : prompt, own[c]);
        if (c)
            memset(apart.d_o, 0, (size_t)prompt * apart.wide * sizeof(float));
        both_ways(cuda, &apart, &alone, 1);
        assert_gradients(&apart, prompt, &shared, c ? both : prompt, own[c], "a completion");
        if (!c)
            assert_same_bits(apart.dq, shared.dq, (size_t)prompt * apart.wide * sizeof(float),
                             "the prompt's dq");
        for (size_t i = 0; i < (size_t)prompt * apart.narrow; i++) {
            sum.dk[i] = c ? sum.dk[i] + apart.dk[i] : apart.dk[i];
            sum.dv[i] = c ? sum.dv[i] + apart.dv[i] : apart.dv[i];
        }
    }
    for (size_t i = 0; i < (size_t)prompt * shared.narrow; i++) {
        assert_near(shared.dk[i], sum.dk[i], 2e-5); // float32 sums of some hundred terms
        assert_near(shared.dv[i], sum.dv[i], 2e-5);
    }
    guarded_free_all();
}

static void shared_prompts_change_no_other_bit(void **state)
{
    (void)state;
    sharing_adds_to_the_prompt_alone((struct attention_shape){4, 2, 16, 0}, 1, 1, 30);
    sharing_adds_to_the_prompt_alone((struct attention_shape){4, 2, 16, 0}, 70, 200, 1);
    sharing_adds_to_the_prompt_alone((struct attention_shape){3, 1, 64, 40}, 63, 20, 45);
    sharing_adds_to_the_prompt_alone((struct attention_shape){35, 1, 16, 0}, 21, 13, 2);
    sharing_adds_to_the_prompt_alone((struct attention_shape){2, 1, 256, 0}, 33, 20, 3);
}

/* Each sequence has the bits that it has in a call of its own, a family those of a family alone. */
static void calls_are_cut_between_sequences(void **state)
{
    (void)state;
    enum { N = 160 };
    static const struct segment all[] = {{.count = 50},
                                         {.first = 50, .count = 33},
                                         {.first = 83, .count = 20, .start = 33, .prefix = 50},
                                         {.first = 103, .count = 7, .start = 10, .prefix = 50},
                                         {.first = 110, .count = 1},
                                         {.first = 111, .count = 49}};
    const struct attention_shape shape = {4, 2, 24, 30};
    const struct rows whole = rows_of(shape, N, 1), cut = rows_of(shape, N, 1);
    both_ways(cuda, &whole, all, 6);
    backward(cuda, &whole, all, 6); // results are overwritten
    for (int at = 0, some; at < 6; at += some) {
        some = at == 1 ? 3 : 1;
        both_ways(cuda, &cut, all + at, some);
    }
    assert_gradients(&cut, 0, &whole, 0, N, "cut between sequences");
}

/* Rows that begin at any float, and rows of no segment, which stay as they are. */
static void arrays_lie_anywhere(void **state)
{
    (void)state;
    enum { N = 70, WIDE = 2 * 16, NARROW = 16 };
    const struct attention_shape shape = {2, 1, 16, 0};
    const struct rows a = rows_of(shape, N, 1), b = rows_of(shape, N + 3, 5);
    const struct segment all[] = {{.count = N}, {.count = 0}, {.first = N}};
    both_ways(cuda, &a, all, 1);
    memcpy(b.q + 1, a.q, sizeof(float) * N * WIDE);
    memcpy(b.k + 3, a.k, sizeof(float) * N * NARROW);
    memcpy(b.v + 5, a.v, sizeof(float) * N * NARROW);
    memcpy(b.d_o + 7, a.d_o, sizeof(float) * N * WIDE);
    memcpy(b.o + 2, a.o, sizeof(float) * N * WIDE);
    memcpy(b.lse + 3, a.lse, sizeof(float) * N * 2);
    const float before = b.dq[0], behind = b.dq[1 + N * WIDE];
    run_op(cuda->ops->attention_backward(cuda, ON(cuda, b.dq) + 1, ON(cuda, b.dk) + 3,
                                         ON(cuda, b.dv) + 5, ON(cuda, b.d_o) + 7, ON(cuda, b.q) + 1,
                                         ON(cuda, b.k) + 3, ON(cuda, b.v) + 5, ON(cuda, b.o) + 2,
                                         ON(cuda, b.lse) + 3, all, 3, &shape));
    assert_same_bits(b.dq + 1, a.dq, sizeof(float) * N * WIDE, "dq at an odd place");
    assert_same_bits(b.dk + 3, a.dk, sizeof(float) * N * NARROW, "dk at an odd place");
    assert_same_bits(b.dv + 5, a.dv, sizeof(float) * N * NARROW, "dv at an odd place");
    assert_true(b.dq[0] == before && b.dq[1 + N * WIDE] == behind);
    for (int count = 0; count < 3; count++)
        assert_ok(cuda->ops->attention_backward(cuda, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                                NULL, NULL, all + 1, count, &shape));
}

/* ---- errors */

static void hostile_calls_have_the_cpus_errors(void **state)
{
    (void)state;
    const struct attention_shape good = {4, 2, 16, 0};
    struct kv_pages *kv[2];
    struct backend *const be[] = {cpu, cuda};
    for (int b = 0; b < 2; b++)
        assert_ok(be[b]->ops->kv_new(be[b], 1, &good, KV_BF16, 2, &kv[b]));
    static const int32_t page[] = {0};
    const struct {
        struct segment segment[2];
        int count;
        struct attention_shape shape;
        bool paged; // the second segment
    } calls[] = {
        {{{.count = 4}}, 1, {0, 1, 16, 0}, false},
        {{{.count = 4}}, 1, {3, 2, 16, 0}, false},
        {{{.count = 4}}, 1, {4, 2, 15, 0}, false},
        {{{.count = 4}, {.first = -1, .count = 1}}, 2, good, false},
        {{{.count = 4}, {.first = 4, .count = -1}}, 2, good, false},
        {{{.count = 4}, {.first = 4, .start = -2, .count = 1}}, 2, good, false},
        {{{.count = 4}, {.first = 4, .start = 5, .count = 1}}, 2, good, false},
        {{{.count = 4}, {.first = 4, .start = 2, .count = 1, .prefix = 1}}, 2, good, false},
        {{{.start = 2, .count = 1}}, 1, good, false},
        {{{.count = 4}, {.first = 4, .count = 1}}, 2, good, true},
        {{{.count = 4}, {.first = 4, .count = 1}}, 2, {3, 2, 16, 0}, true}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct rows r = rows_of(good, 8, 1), kept = rows_of(good, 8, 1);
        err_t e[2];
        for (int b = 0; b < 2; b++) {
            struct segment segment[2] = {calls[i].segment[0], calls[i].segment[1]};
            if (calls[i].paged)
                segment[1].kv = kv[b], segment[1].page = page;
            e[b] = be[b]->ops->attention_backward(
                be[b], ON(be[b], r.dq), ON(be[b], r.dk), ON(be[b], r.dv), ON(be[b], r.d_o),
                ON(be[b], r.q), ON(be[b], r.k), ON(be[b], r.v), ON(be[b], r.o), ON(be[b], r.lse),
                segment, calls[i].count, &calls[i].shape);
            mirrors_back();
        }
        assert_true(err_failed(e[0]));
        assert_gradients(&r, 0, &kept, 0, 8, "neither wrote anything");
        if (err_code(e[0]) != err_code(e[1]) || strcmp(err_message(e[0]), err_message(e[1])) != 0)
            fail_msg("call %zu: the CPU's '%s', not '%s'", i, err_message(e[0]), err_message(e[1]));
        err_free(e[0]);
        err_free(e[1]);
        guarded_free_all();
    }
    for (int b = 0; b < 2; b++)
        be[b]->ops->kv_free(be[b], kv[b]);
}

static void sizes_that_kernels_do_not_count_are_refused(void **state)
{
    (void)state;
    const struct segment one = {.count = 4}, most = {.count = INT_MAX},
                         two[] = {{.count = INT_MAX / 4}, {.count = INT_MAX / 4}};
    const struct attention_shape wide = {4, 2, 258, 0}, shape = {4, 2, 16, 0};
    assert_err(ERR_UNIMPLEMENTED, "up to 256",
               cuda->ops->attention_backward(cuda, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                             NULL, &one, 1, &wide));
    assert_err(ERR_UNIMPLEMENTED, "over 2147483647 rows: CUDA counts up to 10737",
               cuda->ops->attention_backward(cuda, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                             NULL, &most, 1, &shape));
    assert_err(ERR_UNIMPLEMENTED, "over 1073741822 rows",
               cuda->ops->attention_backward(cuda, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                             NULL, two, 2, &shape));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)
TESTS(CASE(gradients_are_the_forwards_slopes), CASE(gradients_are_near_the_cpus),
      CASE(shared_prompts_change_no_other_bit), CASE(calls_are_cut_between_sequences),
      CASE(arrays_lie_anywhere), CASE(hostile_calls_have_the_cpus_errors),
      CASE(sizes_that_kernels_do_not_count_are_refused))
