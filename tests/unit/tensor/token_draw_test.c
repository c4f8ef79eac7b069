/* The op that draws, on the CPU and opaque: against the slow way, alone and in company, with rows
 * that have no distribution. */
#include "testing/tensors.h"

enum { V = 50, DRAWS = 4000 };
static const char *const kinds[] = {"cpu", "opaque"};
enum { KINDS = 2 };

static struct backend *open_kind(int k)
{
    struct backend *be = NULL;
    assert_ok(backend_open(kinds[k], &(struct backend_config){.threads = 2}, &be));
    return be;
}

/* Logits with ties, impossible tokens and a long tail; and their probabilities. */
static void make_row(uint64_t seed, float logits[V], double p[V])
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 1, 1);
    double sum = 0;
    for (int i = 0; i < V; i++) {
        const bool there = rng_below(&rng, (uint64_t)i, 5) > 0;
        logits[i] = there ? (float)(4 * rng_uniform(&rng, (uint64_t)(100 + i))) : -INFINITY;
        if (i % 7 == 3)
            logits[i] = logits[i - 1];
        p[i] = exp((double)logits[i]);
        sum += p[i];
    }
    for (int i = 0; i < V; i++)
        p[i] /= sum;
}

/* The slow way: rank by counting, then the rules one after the other. */
static double reference(const struct token_request *r, const double p[V], bool keep[V])
{
    int order[V];
    double left = 0, sum = 0, kept = 0, best = 0;
    for (int i = 0; i < V; i++) {
        int rank = 0;
        for (int j = 0; j < V; j++)
            rank += p[j] > p[i] || (p[j] == p[i] && j < i);
        order[rank] = i;
        best = p[i] > best ? p[i] : best;
        keep[i] = false;
    }
    const int most = r->top_k > 0 && r->top_k < V ? r->top_k : V;
    for (int i = 0; i < most; i++)
        left += p[order[i]];
    const bool nucleus = r->top_p > 0 && r->top_p < 1;
    for (int i = 0; i < most && !(nucleus && i && sum >= left * (double)r->top_p); i++) {
        sum += p[order[i]];
        keep[order[i]] = p[order[i]] >= (double)r->min_p * best;
    }
    for (int i = 0; i < V; i++)
        kept += keep[i] ? p[i] : 0;
    return kept;
}

static const struct token_request rules[] = {
    {.inverse_temperature = 1},
    {.inverse_temperature = 1, .top_k = 1},
    {.inverse_temperature = 1, .top_k = 7},
    {.inverse_temperature = 1, .top_k = 1000},
    {.inverse_temperature = 1, .top_p = 0.5f},
    {.inverse_temperature = 1, .top_p = 0.9f},
    {.inverse_temperature = 1, .top_p = 1e-6f},
    {.inverse_temperature = 1, .top_p = 1},
    {.inverse_temperature = 1, .min_p = 0.2f},
    {.inverse_temperature = 1, .min_p = 1},
    {.inverse_temperature = 1, .top_k = 12, .top_p = 0.8f},
    {.inverse_temperature = 1, .top_k = 20, .top_p = 0.9f, .min_p = 0.1f}};
enum { RULES = sizeof rules / sizeof *rules };

static void follows(struct backend *be, int rule)
{
    static struct token_request request[DRAWS];
    static struct token_draw draw[DRAWS];
    const struct rng rng = rng_keyed((uint64_t)rule, RNG_TEST, 7, 7);
    float *logits = guarded(V * sizeof *logits);
    double p[V];
    bool keep[V];
    int count[V] = {0};
    make_row((uint64_t)rule, logits, p);
    const double kept = reference(&rules[rule], p, keep);
    for (int n = 0; n < DRAWS; n++) {
        request[n] = rules[rule];
        request[n].rng = rng;
        request[n].counter = (uint64_t)n;
    }
    run_op(be->ops->token_draw(be, ON(be, logits), 1, V, request, DRAWS, draw));
    for (int n = 0; n < DRAWS; n++) {
        const int32_t token = draw[n].token;
        assert_true(draw[n].finite && keep[token] && p[token] > 0);
        assert_near(draw[n].mass, token_truncates(&rules[rule]) ? kept : 1, 1e-6);
        assert_near(draw[n].share, p[token] / kept, 1e-6);
        assert_near(draw[n].logp, log(p[token]), 1e-6);
        count[token]++;
    }
    for (int v = 0; v < V; v++) {
        const double expect = keep[v] ? p[v] / kept : 0;
        // six standard deviations of a binomial share
        assert_true(fabs((double)count[v] / DRAWS - expect) <=
                    6 * sqrt(expect * (1 - expect) / DRAWS) + 1e-9);
    }
    guarded_free_all();
}

static void draws_follow_the_truncated_distribution(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        SCOPED(backend) be = open_kind(k);
        for (int rule = 0; rule < RULES; rule++)
            follows(be, rule);
    }
}

static void greedy_takes_the_first_of_the_largest(void **state)
{
    (void)state;
    enum { W = 5, ROWS = 5 };
    const float row[ROWS][W] = {{-3, 2, 7, 7, -9},
                                {1, NAN, 7, 7, 0},
                                {1, 2, INFINITY, 7, 0},
                                {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY},
                                {-INFINITY, 0, -INFINITY, 0, -INFINITY}};
    for (int k = 0; k < KINDS; k++) {
        SCOPED(backend) be = open_kind(k);
        float *logits = guarded(sizeof row);
        struct token_request request[2 * ROWS] = {0};
        struct token_draw draw[2 * ROWS];
        memcpy(logits, row, sizeof row);
        for (int i = 0; i < 2 * ROWS; i++)
            request[i] = (struct token_request){
                .row = i % ROWS, .greedy = i < ROWS, .inverse_temperature = 1, .top_k = i < ROWS};
        run_op(be->ops->token_draw(be, ON(be, logits), ROWS, W, request, 2 * ROWS, draw));
        assert_int_equal(draw[0].token, 2);
        assert_true(draw[0].mass == 1 && draw[0].share == 1);
        assert_near(draw[0].logp, -log(2), 0.01);
        for (int i = 0; i < 2 * ROWS; i++) // tokens at -infinity are taken as they are
            assert_int_equal(draw[i].finite, i % ROWS == 0 || i % ROWS == ROWS - 1);
        assert_true(draw[ROWS - 1].token == 1 && draw[ROWS - 1].share == 1);
        const bool early = rng_uniform(&request->rng, request->counter) < 0.5;
        assert_true(draw[2 * ROWS - 1].token == (early ? 1 : 3) && draw[2 * ROWS - 1].share == 0.5);
        guarded_free_all();
    }
}

/* Every kind of request. */
static struct token_request mixed(int i, const int32_t *token, int rows)
{
    struct token_request r = rules[i % RULES];
    r.row = i / 5 % rows; // several of one row in succession
    r.greedy = i % 11 == 0;
    r.inverse_temperature = i % 3 ? 1 : 0.7f;
    r.repetition_penalty = i % 4 ? 0 : 1.2f;
    r.token = token;
    r.tokens = i % 9;
    r.counter = (uint64_t)i;
    return r;
}

/* Bits of a draw: alone and among others; its log-probability and token_logp's. */
static void other_requests_change_nothing(void **state)
{
    (void)state;
    enum { N = 9, W = 300, REQUESTS = 200 };
    for (int k = 0; k < KINDS; k++) {
        SCOPED(backend) be = open_kind(k);
        float *logits = floats(N * W, 3, 6);
        int32_t *token = tokens(9, 4, W);
        struct token_request request[REQUESTS];
        struct token_draw draw[REQUESTS], alone;
        for (int i = 0; i < REQUESTS; i++)
            request[i] = mixed(i, token, N);
        run_op(be->ops->token_draw(be, ON(be, logits), N, W, request, REQUESTS, draw));
        for (int i = 0; i < REQUESTS; i++) {
            const struct token_request *r = &request[i];
            float logp;
            run_op(be->ops->token_draw(be, ON(be, logits), N, W, r, 1, &alone));
            run_op(be->ops->token_logp(be, &logp, NULL, ON(be, logits) + r->row * W, &draw[i].token,
                                       r->inverse_temperature, 1, W));
            assert_int_equal(draw[i].token, alone.token);
            assert_same_bits(&draw[i].logp, &logp, sizeof logp, "b_full");
            assert_same_bits(&draw[i].logp, &alone.logp, sizeof logp, "b_full alone");
            assert_same_bits(&draw[i].mass, &alone.mass, sizeof alone.mass, "mass");
            assert_same_bits(&draw[i].share, &alone.share, sizeof alone.share, "share");
        }
        guarded_free_all();
    }
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        SCOPED(backend) be = open_kind(k);
        float *logits = floats(2 * V, 3, 6);
        const int32_t token[] = {0, V};
        struct token_request r[2] = {{.inverse_temperature = 1},
                                     {.row = 2, .inverse_temperature = 1}};
        struct token_draw draw[2] = {{.token = 7}};
        assert_err(ERR_RANGE, "draw 1: row 2 of 2",
                   be->ops->token_draw(be, ON(be, logits), 2, V, r, 2, draw));
        r[1] = (struct token_request){
            .inverse_temperature = 1, .repetition_penalty = 2, .token = token, .tokens = 2};
        assert_err(ERR_RANGE, "token 50 of a vocabulary of 50",
                   be->ops->token_draw(be, ON(be, logits), 2, V, r, 2, draw));
        assert_int_equal(draw[0].token, 7);
        r[1].repetition_penalty = 1; // no penalty: the tokens are not read
        run_op(be->ops->token_draw(be, ON(be, logits), 2, V, r, 2, draw));
        guarded_free_all();
    }
}

TESTS(cmocka_unit_test(draws_follow_the_truncated_distribution),
      cmocka_unit_test(greedy_takes_the_first_of_the_largest),
      cmocka_unit_test(other_requests_change_nothing), cmocka_unit_test(bad_requests_are_refused))
