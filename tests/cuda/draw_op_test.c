/* The module's ops over rows of logits, against the CPU's on the same requests and against double;
 * both refuse the same. Draws differ from the CPU's only where a border, between two tokens or of
 * what is kept, is as near as the two backends' roundings. */
#include "base/mem.h"
#include "cuda/both.h"

static int seed; // of the emulator's order

static bool full(void)
{
    const char *words = getenv("RLHFD_EMU");
    return words && !strcmp(words, "full");
}

static bool checked(void)
{
    const char *path = getenv("RLHFD_BACKEND");
    return path && strstr(path, "checked");
}

/* Logits with ties, impossible tokens and a long tail. */
static float *make_logits(int N, int V, uint64_t number)
{
    const struct rng rng = rng_keyed(number, RNG_TEST, 1, 1);
    float *x = guarded((size_t)N * (size_t)V * sizeof *x);
    for (size_t i = 0; i < (size_t)N * (size_t)V; i++) {
        const double u = rng_uniform(&rng, i);
        x[i] = (float)(12 * (u - 0.5) + 3 * log(1e-3 + rng_uniform(&rng, i + ((uint64_t)1 << 40))));
        if (i % 7 == 3)
            x[i] = x[i - 1];
        if (i % 11 == 5)
            x[i] = -INFINITY;
    }
    return x;
}

/* ---- draws */

static const struct token_request rules[] = {
    {.inverse_temperature = 1},
    {.inverse_temperature = 0.7f},
    {.inverse_temperature = 1, .top_k = 1},
    {.inverse_temperature = 1, .top_k = 7},
    {.inverse_temperature = 1, .top_k = 1000},
    {.inverse_temperature = 1, .top_p = 0.5f},
    {.inverse_temperature = 1.3f, .top_p = 0.9f},
    {.inverse_temperature = 1, .top_p = 1e-6f},
    {.inverse_temperature = 1, .top_p = 0.999f},
    {.inverse_temperature = 1, .min_p = 0.2f},
    {.inverse_temperature = 1, .min_p = 1},
    {.inverse_temperature = 1, .top_k = 12, .top_p = 0.8f},
    {.inverse_temperature = 1, .top_k = 20, .top_p = 0.9f, .min_p = 0.1f},
    {.inverse_temperature = 1, .repetition_penalty = 1.3f},
    {.inverse_temperature = 0.9f, .repetition_penalty = 0.8f, .top_p = 0.9f},
    {.inverse_temperature = 1, .greedy = true},
    {.inverse_temperature = 1, .greedy = true, .repetition_penalty = 1.5f}};
enum { RULES = sizeof rules / sizeof *rules, VOCABULARY_MOST = 6000 };

/* The distribution in double, under a request's penalty. */
struct oracle {
    int V;
    double p[VOCABULARY_MOST];
    int order[VOCABULARY_MOST]; // likeliest first
};

static const double *ranked;
static int by_rank(const void *a, const void *b)
{
    const int i = *(const int *)a, j = *(const int *)b;
    return ranked[i] != ranked[j] ? (ranked[i] < ranked[j] ? 1 : -1) : i - j;
}

static void oracle_fill(struct oracle *o, const float *logits, int V, const struct token_request *r)
{
    double max = -INFINITY, sum = 0;
    o->V = V;
    for (int v = 0; v < V; v++)
        o->p[v] = (double)logits[v];
    for (int i = 0; token_penalises(r) && i < r->tokens; i++) {
        const int v = r->token[i];
        if (o->p[v] == (double)logits[v])
            o->p[v] *=
                o->p[v] < 0 ? (double)r->repetition_penalty : 1 / (double)r->repetition_penalty;
    }
    for (int v = 0; v < V; v++) {
        o->p[v] *= (double)r->inverse_temperature;
        max = o->p[v] > max ? o->p[v] : max;
        o->order[v] = v;
    }
    for (int v = 0; v < V; v++)
        sum += o->p[v] = exp(o->p[v] - max);
    for (int v = 0; v < V; v++)
        o->p[v] /= sum;
    ranked = o->p;
    qsort(o->order, (size_t)V, sizeof *o->order, by_rank);
}

/* The token at u; what is kept goes up to top_p and from min_p. */
static int oracle_draw(const struct oracle *o, const struct token_request *r, double u,
                       double top_p, double min_p)
{
    static bool keep[VOCABULARY_MOST];
    const int most = r->top_k > 0 && r->top_k < o->V ? r->top_k : o->V;
    double left = 0, sum = 0, kept = 0;
    int last = 0;
    memset(keep, 0, sizeof keep);
    for (int i = 0; i < most; i++)
        left += o->p[o->order[i]];
    for (int i = 0; i < most; i++) {
        const int v = o->order[i];
        keep[v] = o->p[v] >= min_p * o->p[o->order[0]];
        sum += o->p[v];
        if (r->top_p > 0 && r->top_p < 1 && sum >= left * top_p)
            break;
    }
    for (int v = 0; v < o->V; v++)
        kept += keep[v] ? o->p[v] : 0;
    sum = 0;
    for (int v = 0; v < o->V; v++)
        if (keep[v] && o->p[v] > 0) {
            last = v;
            if ((sum += o->p[v]) > u * kept)
                break;
        }
    return last;
}

/* Whether roundings of a relative 1e-6 explain the token. */
static bool explained(const struct oracle *o, const struct token_request *r, int token)
{
    const double near[3] = {0, -1e-6, 1e-6}, u = rng_uniform(&r->rng, r->counter);
    for (int i = 0; i < 27; i++)
        if (oracle_draw(o, r, u + near[i % 3], (double)r->top_p * (1 + near[i / 3 % 3]),
                        (double)r->min_p * (1 + near[i / 9])) == token)
            return true;
    return false;
}

static void assert_same_draw(const struct token_draw *a, const struct token_draw *b)
{
    assert_int_equal(a->finite, b->finite);
    assert_int_equal(a->token, b->token);
    assert_same_bits(&a->logp, &b->logp, sizeof a->logp, "logp");
    assert_same_bits(&a->mass, &b->mass, sizeof a->mass, "mass");
    assert_same_bits(&a->share, &b->share, sizeof a->share, "share");
}

struct tally {
    int draws, differ;
};

static void compare(const float *logits, int V, const struct token_request *r,
                    const struct token_draw *a, const struct token_draw *b, struct tally *tally)
{
    assert_int_equal(a->finite, b->finite);
    tally->draws++;
    if (a->token == b->token) {
        assert_near(b->logp, a->logp, 2e-6);
        assert_near(b->mass, a->mass, a->mass < 1 ? 1e-3 : 1e-6); // a border more or less
        assert_near(b->share * b->mass, a->share * a->mass, 2e-6);
        return;
    }
    static struct oracle o;
    tally->differ++;
    oracle_fill(&o, logits, V, r);
    if (r->greedy || !explained(&o, r, a->token) || !explained(&o, r, b->token))
        fail_msg("V %d: token %d, the CPU's is %d", V, (int)b->token, (int)a->token);
}

/* `count` draws from N rows; other requests name the same row. */
static void draws(int N, int V, int count, uint64_t number, struct tally *tally)
{
    float *logits = make_logits(N, V, number);
    int32_t *token = tokens(40, 4, V);
    struct token_request *request = mem_array((size_t)count, sizeof *request);
    struct token_draw *a = mem_array((size_t)count, sizeof *a);
    struct token_draw *b = mem_array((size_t)count, sizeof *b);
    for (int i = 0; i < count; i++) {
        request[i] = rules[i / 3 % RULES];
        request[i].row = i / 51 % N;
        request[i].token = token;
        request[i].tokens = i % 41;
        request[i].rng = rng_keyed(number, RNG_TEST, 7, (uint64_t)i);
        request[i].counter = (uint64_t)i * 1000003;
    }
    run_op(cpu->ops->token_draw(cpu, logits, N, V, request, count, a));
    run_op(cuda->ops->token_draw(cuda, ON(cuda, logits), N, V, request, count, b));
    for (int i = 0; i < count; i++)
        compare(logits + (size_t)request[i].row * (size_t)V, V, &request[i], &a[i], &b[i], tally);
    for (int i = 0; i < count; i += 97) { // alone, and in another place of memory
        struct token_draw alone;
        struct token_request r = request[i];
        const float *row = logits + (size_t)r.row * (size_t)V;
        r.row = 0;
        run_op(cuda->ops->token_draw(cuda, ON(cuda, row), 1, V, &r, 1, &alone));
        assert_same_draw(&alone, &b[i]);
    }
    mem_free(request);
    mem_free(a);
    mem_free(b);
    guarded_free_all();
}

static void draws_are_the_cpus(void **state)
{
    (void)state;
    struct tally tally = {0};
    const int times = full() && !checked() && !seed ? 40 : 1, part = checked() || !full() ? 6 : 1;
    for (int i = 0; i < times; i++) {
        draws(4, 50, 1200 / part, (uint64_t)(100 * i + 1), &tally);
        draws(3, 301, 1000 / part, (uint64_t)(100 * i + 2), &tally);
        draws(1, 5001, 306 / part, (uint64_t)(100 * i + 3), &tally);
    }
    print_message("%d draws, of which %d are not the CPU's\n", tally.draws, tally.differ);
    assert_true(tally.differ * 1000 <= tally.draws); // borders are met with probability 1e-4
}

/* Chi-square of the tokens drawn: rules[0], and top_p with min_p. */
static void draws_follow_the_distribution(void **state)
{
    (void)state;
    enum { V = 12 };
    const int count = full() ? 10000 : checked() ? 300 : 1000;
    static struct oracle o;
    const struct token_request kinds[] = {
        {.inverse_temperature = 0.5f}, {.inverse_temperature = 0.5f, .top_k = 6, .top_p = 0.95f}};
    for (int k = 0; k < 2; k++) {
        float *logits = floats(V, 5, 3);
        struct token_request *request = mem_array((size_t)count, sizeof *request);
        struct token_draw *draw = mem_array((size_t)count, sizeof *draw);
        int seen[V] = {0}, cells = 0;
        double square = 0, kept = 0;
        for (int i = 0; i < count; i++) {
            request[i] = kinds[k];
            request[i].rng = rng_keyed(3, RNG_TEST, 8, (uint64_t)k);
            request[i].counter = (uint64_t)i;
        }
        run_op(cuda->ops->token_draw(cuda, ON(cuda, logits), 1, V, request, count, draw));
        oracle_fill(&o, logits, V, &kinds[k]);
        for (int i = 0; i < count; i++)
            seen[draw[i].token]++;
        for (int v = 0; v < V; v++)
            kept += seen[v] ? o.p[v] : 0;
        assert_near(draw->mass, kept, 1e-6); // each token kept was seen: the rarest has 1 %
        for (int v = 0; v < V; v++) {
            const double expect = count * o.p[v] / kept;
            cells += seen[v] > 0;
            square += seen[v] ? (seen[v] - expect) * (seen[v] - expect) / expect : 0;
        }
        assert_true(cells > 3);
        assert_true(square < cells - 1 + 4 * sqrt(2.0 * (cells - 1))); // four deviations
        mem_free(request);
        mem_free(draw);
        guarded_free_all();
    }
}

/* ---- log-probabilities */

static void logps_are_near_double(void **state)
{
    (void)state;
    enum { N = 5 };
    static const int sizes[] = {1, 2, 50, 4095, 4097, 10007};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int V = sizes[i];
        const float *logits = make_logits(N, V, (uint64_t)V);
        const int32_t *token = tokens(N, 3, V);
        float logp[2][N], entropy[2][N];
        for (int k = 0; k < 2; k++) {
            struct backend *be = k ? cuda : cpu;
            run_op(be->ops->token_logp(be, logp[k], entropy[k], ON(be, logits), token, 0.8f, N, V));
        }
        for (int n = 0; n < N; n++) {
            double max = -INFINITY, sum = 0, moment = 0;
            for (int v = 0; v < V; v++)
                max = fmax(max, (double)logits[n * V + v] * (double)0.8f);
            for (int v = 0; v < V; v++) {
                const double d = fmax((double)logits[n * V + v] * (double)0.8f - max, -700);
                sum += exp(d);
                moment += exp(d) * d;
            }
            const double want = (double)logits[n * V + token[n]] * (double)0.8f - max - log(sum);
            if (isfinite(want)) {
                assert_near(logp[1][n], want, 4e-7); // float32 of the logit's product, of the sum
                assert_near(logp[1][n], logp[0][n], 1e-6);
            } else {
                assert_same_bits(&logp[1][n], &logp[0][n], sizeof **logp, "impossible token");
            }
            assert_near(entropy[1][n], log(sum) - moment / sum, 1e-6);
            assert_near(entropy[1][n], entropy[0][n], 2e-6);
        }
        guarded_free_all();
    }
}

/* NaN and infinity, as on the CPU. */
static void hostile_rows_are_answered_alike(void **state)
{
    (void)state;
    enum { V = 4200, N = 6, DRAWS = 4 * N };
    float *logits = make_logits(N, V, 9);
    int32_t token[N] = {0, 4199, 5, 7, 4100, 8}, marked[2] = {1, 4150};
    float logp[2][N], entropy[2][N];
    struct token_request request[DRAWS];
    struct token_draw draw[2][DRAWS];
    logits[0 * V + 4150] = NAN;
    logits[1 * V + 3] = INFINITY;
    for (int v = 0; v < V; v++) {
        logits[2 * V + v] = -INFINITY;
        logits[3 * V + v] = v == 7 ? 3 : -INFINITY;
        logits[4 * V + v] *= 1e36f;
        logits[5 * V + v] = 2;
    }
    for (int i = 0; i < DRAWS; i++)
        request[i] = (struct token_request){.row = i % N,
                                            .inverse_temperature = i == 4 ? 100 : 1,
                                            .greedy = i / N == 1,
                                            .top_p = i / N == 2 ? 0.5f : 0,
                                            .repetition_penalty = i / N == 3 ? 2 : 0,
                                            .token = marked,
                                            .tokens = 2};
    for (int k = 0; k < 2; k++) {
        struct backend *be = k ? cuda : cpu;
        run_op(be->ops->token_logp(be, logp[k], entropy[k], ON(be, logits), token, 1, N, V));
        run_op(be->ops->token_draw(be, ON(be, logits), N, V, request, DRAWS, draw[k]));
    }
    for (int n = 0; n < N; n++) {
        assert_true(isnan(logp[0][n]) == isnan(logp[1][n]) &&
                    isinf(logp[0][n]) == isinf(logp[1][n]));
        assert_int_equal(isnan(entropy[0][n]), isnan(entropy[1][n]));
    }
    for (int i = 0; i < DRAWS; i++) {
        assert_int_equal(draw[0][i].finite, draw[1][i].finite);
        if (draw[0][i].finite)
            assert_int_equal(draw[0][i].token, draw[1][i].token);
    }
    guarded_free_all();
}

/* ---- masks */

static void masks_are_the_cpus(void **state)
{
    (void)state;
    enum { N = 3, V = 5000 };
    static const struct token_range range[] = {{0, 0},      {1, 3},    {4, 1},     {5, 0},
                                               {100, 2000}, {50, 200}, {2099, 20}, {0, 2},
                                               {4990, 10},  {5000, 0}};
    for (int ranges = 0; ranges <= 10; ranges++) { // the sixth is in disorder, the seventh overlaps
        float *a = make_logits(N, V, 3), *b = make_logits(N, V, 3);
        run_op(cpu->ops->token_mask(cpu, a, range, ranges, N, V));
        run_op(cuda->ops->token_mask(cuda, ON(cuda, b), range, ranges, N, V));
        assert_same_bits(b, a, (size_t)N * V * sizeof *a, "masked");
        guarded_free_all();
    }
}

/* A vocabulary with tokens that are masked is the narrower one, bit for bit. */
static void masked_tokens_do_not_show(void **state)
{
    (void)state;
    enum { N = 2, V = 4090, MORE = 40, DRAWS = 34 };
    const struct token_range range = {V, MORE};
    float *narrow = make_logits(N, V, 3), *wide = guarded(N * (V + MORE) * sizeof *wide);
    int32_t *token = tokens(DRAWS, 4, V);
    struct token_request request[DRAWS];
    struct token_draw a[DRAWS], b[DRAWS];
    float logp[2][N], entropy[2][N];
    for (int n = 0; n < N; n++)
        for (int v = 0; v < V + MORE; v++)
            wide[n * (V + MORE) + v] = v < V ? narrow[n * V + v] : 30;
    for (int i = 0; i < DRAWS; i++) {
        request[i] = rules[i % RULES];
        request[i].row = i % N;
        request[i].token = token;
        request[i].tokens = i;
        request[i].counter = (uint64_t)i;
    }
    run_op(cuda->ops->token_mask(cuda, ON(cuda, wide), &range, 1, N, V + MORE));
    run_op(cuda->ops->token_draw(cuda, ON(cuda, narrow), N, V, request, DRAWS, a));
    run_op(cuda->ops->token_draw(cuda, ON(cuda, wide), N, V + MORE, request, DRAWS, b));
    for (int i = 0; i < DRAWS; i++)
        assert_same_draw(&a[i], &b[i]);
    run_op(cuda->ops->token_logp(cuda, logp[0], entropy[0], ON(cuda, narrow), token, 1, N, V));
    run_op(cuda->ops->token_logp(cuda, logp[1], entropy[1], ON(cuda, wide), token, 1, N, V + MORE));
    assert_same_bits(logp[0], logp[1], sizeof *logp, "logp");
    assert_same_bits(entropy[0], entropy[1], sizeof *entropy, "entropy");
    guarded_free_all();
}

/* ---- what is refused, in the CPU's words */

static void hostile_calls_are_refused(void **state)
{
    (void)state;
    enum { V = 50 };
    float *logits = make_logits(2, V, 6), *before = make_logits(2, V, 6), logp[2] = {7, 7};
    const int32_t token[] = {0, V}, below[] = {-1, 0};
    const struct token_range ranges[] = {{3, 4}, {V, 1}}, negative = {-1, 2}, vast = {3, INT32_MAX};
    struct token_request r[2] = {{.inverse_temperature = 1}, {.row = 2, .inverse_temperature = 1}};
    struct token_draw draw[2] = {{.token = 7}};
    for (int k = 0; k < 2; k++) {
        struct backend *be = k ? cuda : cpu;
        const struct backend_ops *ops = be->ops;
        assert_err(ERR_RANGE, "row 1: token 50 of a vocabulary of 50",
                   ops->token_logp(be, logp, NULL, ON(be, logits), token, 1, 2, V));
        assert_err(ERR_RANGE, "row 0: token -1 of a vocabulary of 50",
                   ops->token_logp(be, logp, NULL, ON(be, logits), below, 1, 2, V));
        assert_true(logp[0] == 7);
        assert_err(ERR_RANGE, "1 tokens from 50 on, of a vocabulary of 50",
                   ops->token_mask(be, ON(be, logits), ranges, 2, 2, V));
        assert_err(ERR_RANGE, "2 tokens from -1 on",
                   ops->token_mask(be, ON(be, logits), &negative, 1, 2, V));
        assert_err(ERR_RANGE, "2147483647 tokens from 3 on",
                   ops->token_mask(be, ON(be, logits), &vast, 1, 2, V));
        mirrors_back();
        assert_same_bits(logits, before, 2 * V * sizeof *logits, "logits after a mask refused");
        r[1] = (struct token_request){.row = 2, .inverse_temperature = 1};
        assert_err(ERR_RANGE, "draw 1: row 2 of 2",
                   ops->token_draw(be, ON(be, logits), 2, V, r, 2, draw));
        r[1] = (struct token_request){
            .inverse_temperature = 1, .repetition_penalty = 2, .token = token, .tokens = 2};
        assert_err(ERR_RANGE, "draw 1: token 50 of a vocabulary of 50",
                   ops->token_draw(be, ON(be, logits), 2, V, r, 2, draw));
        assert_int_equal(draw[0].token, 7);
        r[1].repetition_penalty = 1; // no penalty: the tokens are not read
        run_op(ops->token_draw(be, ON(be, logits), 2, V, r, 2, draw));
        draw[0].token = 7;
        r[1] = (struct token_request){
            .inverse_temperature = 1, .repetition_penalty = 2, .tokens = -3, .top_k = -1};
        run_op(ops->token_draw(be, ON(be, logits), 2, V, r + 1, 1, draw + 1));
        assert_true(draw[1].finite);
        run_op(ops->token_draw(be, ON(be, logits), 2, V, r, 0, draw)); // none
        assert_int_equal(draw[0].token, 7);
        run_op(ops->token_logp(be, logp, NULL, ON(be, logits), token, 1, 0, V));
        run_op(ops->token_mask(be, ON(be, logits), ranges, 1, 0, V));
    }
    guarded_free_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(draws_are_the_cpus),
                                       cmocka_unit_test(draws_follow_the_distribution),
                                       cmocka_unit_test(logps_are_near_double),
                                       cmocka_unit_test(hostile_rows_are_answered_alike),
                                       cmocka_unit_test(masks_are_the_cpus),
                                       cmocka_unit_test(masked_tokens_do_not_show),
                                       cmocka_unit_test(hostile_calls_are_refused)};
    int failed = 0;
    for (; seed < (full() ? 3 : 1); seed++) {
        setenv("CUDA_EMU_SEED", (const char *[]){"0", "1", "2"}[seed], 1);
        failed += cmocka_run_group_tests(tests, open_both, close_both);
    }
    return failed;
}
