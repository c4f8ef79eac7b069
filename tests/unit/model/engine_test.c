#include "base/hash.h"
#include "engine_kit.h"
#include <stdlib.h>

enum { REQUESTS_MAX = 4096 };

/* Ends a completion at the first token that repeats the one before it. */
static bool repeats(void *arg, const int32_t *token, int tokens)
{
    (*(int *)arg)++;
    return tokens > 1 && token[tokens - 1] == token[tokens - 2];
}

/* Every completion ends as it must: at its first end token, or at its limit. */
static void check_end(const struct wanted *w, const struct engine_completion *c)
{
    bool ended = false;
    for (int i = 0; i < c->tokens; i++) {
        assert_false(ended);
        for (int s = 0; s < w->request.stops; s++)
            ended = ended || c->token[i] == w->request.stop[s];
    }
    assert_int_equal(c->finish, ended ? ENGINE_EOS : ENGINE_LENGTH);
    if (!ended)
        assert_int_equal(c->tokens, w->request.max_tokens);
    assert_int_equal(c->sampled_logp != NULL, sampling_alters(&w->request.sampling));
    for (int i = 0; c->sampled_logp && i < c->tokens; i++)
        assert_true(c->sampled_logp[i] <= 0 && (sampling_penalises(&w->request.sampling) ||
                                                c->sampled_logp[i] >= c->logp[i] - 1e-6f));
}

/* Runs requests 0..count-1 in an order and with arrivals of `seed`; sums what came out per
 * completion into ret_sum, which must not depend on any of it. Returns tokens; checks every bit
 * against the full forward. */
static uint64_t run_all(struct model *model, int slots, int step_rows, int pages, int count,
                        uint64_t seed, uint64_t *ret_sum)
{
    SCOPED(engine) engine = new_engine(model, slots, step_rows, pages);
    const int all_pages = engine_free_pages(engine);
    SCOPED(forward) full = NULL;
    SCOPED_MEM struct wanted *wanted = mem_array((size_t)count, sizeof *wanted);
    assert_ok(forward_new(model, CONTEXT, 16, false, &full));
    const struct rng rng = rng_keyed(seed, RNG_TEST, 1, 2);
    uint64_t draw = 0, sum = 0, tokens = 0;
    int next = 0, done = 0, expected = 0;
    while (next < count || engine_active(engine)) {
        while (next < count && rng_below(&rng, draw++, 3)) {
            const uint64_t i = rng_permute(&rng, (uint64_t)next, (uint64_t)count);
            make_request(&wanted[i], i, model->config.V);
            if (engine_free_slots(engine) < wanted[i].request.completions)
                break;
            assert_ok(engine_admit(engine, &wanted[i].request));
            expected += wanted[i].request.completions;
            next++;
        }
        const struct engine_completion *finished;
        int n;
        assert_ok(engine_step(engine, &finished, &n));
        for (int f = 0; f < n; f++, done++) {
            const struct engine_completion *c = &finished[f];
            const struct wanted *w = &wanted[c->tag - 1000];
            assert_int_equal(compare(full, w, c), 0);
            check_end(w, c);
            uint64_t name[3] = {c->tag, (uint64_t)c->completion, 0};
            for (int i = 0; i < c->tokens; i++)
                name[2] = name[2] * 31 + (uint64_t)c->token[i];
            sum += hash64(name, sizeof name, 0);
            tokens += (uint64_t)c->tokens;
        }
    }
    assert_int_equal(done, expected);
    assert_int_equal(engine_counters(engine)->tokens, tokens);
    assert_int_equal(engine_counters(engine)->completions, done);
    assert_int_equal(engine_free_pages(engine), all_pages);
    assert_int_equal(engine_counters(engine)->preemptions > 0, pages > 0);
    *ret_sum = sum;
    return tokens;
}

/* ENGINE_TEST_TOKENS sets how many tokens are compared (default: some ten thousand). */
static void bits_equal_the_full_forward_however_batched(void **state)
{
    (void)state;
    const char *asked = getenv("ENGINE_TEST_TOKENS");
    const uint64_t least = asked ? strtoull(asked, NULL, 10) : 1;
    const int count =
        (int)(least / 900) + 20 < REQUESTS_MAX ? (int)(least / 900) + 20 : REQUESTS_MAX;
    static const struct {
        int slots, step_rows, threads, pages;
        enum kv_format kv;
        enum cpu_isa isa;
    } shapes[] = {
        {4, 4, 1, 0, KV_F32, CPU_ISA_BEST},       {24, 24, 2, 20, KV_BF16, CPU_ISA_BEST},
        {17, 61, 1, 9, KV_F32, CPU_ISA_AVX2},     {24, 512, 2, 0, KV_BF16, CPU_ISA_AVX2},
        {8, 0, 1, 5, KV_F32, CPU_ISA_PORTABLE},   {64, 64, 2, 0, KV_BF16, CPU_ISA_PORTABLE},
        {64, 100, 2, 40, KV_F32, CPU_ISA_AVX512}, {5, 7, 1, 4, KV_BF16, CPU_ISA_AVX512}};
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    uint64_t first[2] = {0}, tokens = 0;
    for (uint64_t round = 0; round < SHAPES || tokens < least; round++) {
        const int i = (int)(round % SHAPES);
        SCOPED(backend) be = NULL;
        err_t failed = backend_open(
            NULL, &(struct backend_config){.threads = shapes[i].threads, .isa = shapes[i].isa},
            &be);
        if (err_code(failed) == ERR_UNIMPLEMENTED) {
            err_free(failed);
            continue;
        }
        assert_ok(failed);
        SCOPED(model) model = new_model(be, 1);
        model->kv = shapes[i].kv;
        uint64_t sum;
        tokens += run_all(model, shapes[i].slots, shapes[i].step_rows, shapes[i].pages, count,
                          round, &sum);
        uint64_t *same = &first[shapes[i].kv]; // the same draws too
        *same = *same ? *same : sum;
        assert_int_equal(sum, *same);
    }
    assert_true(first[KV_F32] != first[KV_BF16]); // keys and values in 16 bits give other bits
    print_message("%llu tokens compared, 0 differ\n", (unsigned long long)tokens);
}

/* One completion of 40 tokens; at token 10 the weights change. */
static struct engine_completion swapped(struct engine *engine, struct model *model,
                                        const struct model *other, bool recompute, struct wanted *w)
{
    make_request(w, 1, model->config.V);
    w->request.completions = 1;
    w->request.max_tokens = 40;
    w->request.stops = 0;
    assert_ok(engine_admit(engine, &w->request));
    engine_set_version(engine, 7);
    const struct engine_completion *finished;
    for (int n = 0; !n;) {
        if (engine_progress(engine, w->request.tag) == 10) {
            copy_weights(model, other);
            engine_set_version(engine, 9);
            if (recompute)
                engine_recompute(engine);
        }
        assert_ok(engine_step(engine, &finished, &n));
    }
    return finished[0];
}

static void a_swap_between_two_steps_marks_its_tokens(void **state)
{
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = new_model(be, 1);
        SCOPED(model) old = new_model(be, 1);
        SCOPED(model) other = new_model(be, 2);
        SCOPED(engine) engine = new_engine(model, 2, 0, 0);
        SCOPED(forward) full = NULL;
        SCOPED(forward) before = NULL;
        struct wanted w;
        assert_ok(forward_new(model, CONTEXT, 16, false, &full));
        assert_ok(forward_new(old, CONTEXT, 16, false, &before));
        struct engine_completion c = swapped(engine, model, other, recompute, &w);
        assert_int_equal(c.spans, 2);
        assert_int_equal(c.span[0].first_token, 0);
        assert_int_equal(c.span[0].version, 7);
        assert_int_equal(c.span[1].first_token, 10);
        assert_int_equal(c.span[1].version, 9);
        struct engine_completion head = c, tail = c;
        head.tokens = 10;
        assert_int_equal(compare(before, &w, &head), 0);
        w.request.prompt_tokens += 10; // the swap's own prefix, as one prompt
        memcpy(w.prompt + w.request.prompt_tokens - 10, c.token, 10 * sizeof *c.token);
        tail.token += 10;
        tail.logp += 10;
        tail.tokens = 30;
        const int differing = compare(full, &w, &tail);
        assert_true(recompute ? differing == 0
                              : differing > 20); // continue goes on over the old weights' KV
    }
}

static void siblings_share_the_prompt_and_differ(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = new_model(be, 1);
    SCOPED(engine) engine = new_engine(model, 8, 8, 0);
    struct wanted w;
    make_request(&w, 2, model->config.V);
    w.request.prompt_tokens = 30;
    w.request.completions = 8;
    w.request.max_tokens = 12;
    w.request.stops = 0;
    assert_ok(engine_admit(engine, &w.request));
    const struct engine_completion *c;
    int n = 0, seen = 0;
    while (!n)
        assert_ok(engine_step(engine, &c, &n));
    assert_int_equal(n, 8);
    for (int i = 0; i < n; i++) {
        seen |= 1 << c[i].completion;
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(c[i].token, c[j].token, 12 * sizeof *c->token);
    }
    assert_int_equal(seen, 255);
    assert_int_equal(engine_counters(engine)->prefill_tokens, 30); // once for all
    assert_int_equal(engine_counters(engine)->tokens, 96);
    assert_int_equal(engine_counters(engine)->rows,
                     30 + 8 * 11); // the last token's KV is never needed
    assert_int_equal(engine_counters(engine)->steps, 4 + 11);
    assert_true(engine_counters(engine)->busy_s > 0);
}

static void a_request_may_say_itself_where_it_ends(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = new_model(be, 1);
    SCOPED(engine) engine = new_engine(model, 8, 8, 0);
    SCOPED(forward) full = NULL;
    assert_ok(forward_new(model, CONTEXT, 16, false, &full));
    const struct engine_completion *c;
    int n, asked = 0, stopped = 0;
    uint64_t tokens = 0, ends = 0;
    for (uint64_t i = 0; i < 12; i++) {
        struct wanted w;
        make_request(&w, 6 * i + 1, model->config.V); // with end tokens
        w.request.completions = 4;
        w.request.stopped = repeats;
        w.request.stopped_arg = &asked;
        assert_ok(engine_admit(engine, &w.request));
        while (engine_active(engine)) {
            assert_ok(engine_step(engine, &c, &n));
            for (int f = 0; f < n; f++) {
                for (int t = 1; t + 1 < c[f].tokens; t++)
                    assert_true(c[f].token[t] != c[f].token[t - 1]);
                int unused = 0;
                assert_int_equal(c[f].finish == ENGINE_STOP,
                                 c[f].finish != ENGINE_EOS &&
                                     repeats(&unused, c[f].token, c[f].tokens));
                assert_int_equal(compare(full, &w, &c[f]), 0);
                stopped += c[f].finish == ENGINE_STOP;
                ends += c[f].finish == ENGINE_EOS;
                tokens += (uint64_t)c[f].tokens;
            }
        }
    }
    assert_true(stopped > 5);
    assert_int_equal(asked, tokens - ends); // not of end tokens
}

static void cancelled_requests_free_their_slots(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = new_model(be, 1);
    SCOPED(engine) engine = new_engine(model, 8, 8, 0);
    const struct engine_completion *c;
    int n;
    for (int steps = 0; steps < 6; steps++) { // in the prompt, and while decoding
        struct wanted w[2];
        for (uint64_t i = 0; i < 2; i++) {
            make_request(&w[i], i, model->config.V);
            w[i].request.prompt_tokens = 20;
            w[i].request.completions = 4;
            w[i].request.max_tokens = 30;
            w[i].request.stops = 0;
            assert_ok(engine_admit(engine, &w[i].request));
        }
        for (int s = 0; s < steps; s++)
            assert_ok(engine_step(engine, &c, &n));
        engine_cancel(engine, w[0].request.tag);
        engine_cancel(engine, 77);
        assert_int_equal(engine_free_slots(engine), 4);
        assert_int_equal(engine_progress(engine, w[0].request.tag), 0);
        int finished = 0;
        while (engine_active(engine)) {
            assert_ok(engine_step(engine, &c, &n));
            for (int f = 0; f < n; f++, finished++)
                assert_int_equal(c[f].tag, w[1].request.tag);
        }
        assert_int_equal(finished, 4);
    }
    assert_ok(engine_step(engine, &c, &n));
    assert_int_equal(n, 0);
}

static void bad_requests_change_nothing(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = new_model(be, 1);
    SCOPED(engine) engine = new_engine(model, 4, 0, 0);
    struct wanted good;
    make_request(&good, 1, model->config.V);
    good.request.completions = 3;
    good.request.max_tokens = 10;
    struct engine_request r = good.request;
    const int32_t outside[] = {1, 37};
#define REFUSED(code, part, change)                                                                \
    do {                                                                                           \
        r = good.request;                                                                          \
        change;                                                                                    \
        assert_err(code, part, engine_admit(engine, &r));                                          \
    } while (0)
    REFUSED(ERR_INVALID, "0 prompt tokens", r.prompt_tokens = 0);
    REFUSED(ERR_INVALID, "0 completions", r.completions = 0);
    REFUSED(ERR_INVALID, "each must be at least 1", r.max_tokens = 0);
    REFUSED(ERR_RANGE, "do not fit a context of 200", r.max_tokens = CONTEXT);
    REFUSED(ERR_RANGE, "do not fit a context of 200", r.max_tokens = INT32_MAX);
    REFUSED(ERR_RANGE, "the engine has 4 slots", r.completions = 5);
    REFUSED(ERR_INVALID, "at most 32", r.stops = 33);
    REFUSED(ERR_INVALID, "prompt token 1 is 37; the model has 37",
            (r.prompt = outside, r.prompt_tokens = 2));
    REFUSED(ERR_INVALID, "temperature is -1", r.sampling.temperature = -1);
    REFUSED(ERR_INVALID, "temperature is nan", r.sampling.temperature = NAN);
    REFUSED(ERR_INVALID, "top_p is 2", r.sampling.top_p = 2);
    assert_int_equal(engine_free_slots(engine), 4);
    assert_ok(engine_admit(engine, &good.request));
    REFUSED(ERR_EXISTS, "running already", r.completions = 1);
    REFUSED(ERR_EXHAUSTED, "2 completions of a prompt; 1 slots are free",
            (r.tag = 1, r.completions = 2));
    assert_int_equal(engine_free_slots(engine), 1);
    assert_int_equal(engine_active(engine), 3);
    struct engine *none = NULL;
    assert_err(ERR_INVALID, "0 slots",
               engine_new(model, &(struct engine_config){0, CONTEXT, 0}, &none));
    assert_err(ERR_INVALID, "the model's 256",
               engine_new(model, &(struct engine_config){4, 257, 0}, &none));
    assert_err(ERR_INVALID, "3 rows a step",
               engine_new(model, &(struct engine_config){4, CONTEXT, 3}, &none));
    const size_t page = 2 * 2 * 2 * 16 * KV_PAGE * sizeof(float); // K V, layers, heads, D
    assert_int_equal(engine_page_bytes(model), page);
    assert_err(ERR_INVALID, "one sequence of 200 tokens alone takes 131072",
               engine_new(model, &(struct engine_config){4, CONTEXT, 0, 4 * page - 1}, &none));
    assert_null(none);
    assert_true(engine_bytes(engine) > 4 * 4 * page);
}

/* Weights that are not numbers: the step fails, and goes on from where it was once they are. */
static void a_failed_step_advances_nothing(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = new_model(be, 1);
    SCOPED(model) good = new_model(be, 1);
    SCOPED(engine) engine = new_engine(model, 4, 0, 0);
    SCOPED(forward) full = NULL;
    assert_ok(forward_new(model, CONTEXT, 16, false, &full));
    const size_t bytes = model->params->layout->elements * sizeof(bf16);
    SCOPED_MEM bf16 *nan = mem_array(bytes, 1);
    memset(nan, 0xff, bytes);
    for (int greedy = 0; greedy < 2; greedy++) {
        struct wanted w;
        make_request(&w, 1, model->config.V);
        w.request.max_tokens = 20;
        w.request.completions = 4;
        w.request.stops = 0;
        w.request.sampling.temperature = greedy ? 0 : 1;
        assert_ok(engine_admit(engine, &w.request));
        const struct engine_completion *c;
        int n;
        for (int steps = 0; steps < 5; steps++) {
            assert_ok(model_put(model, nan, NULL));
            const int progress = engine_progress(engine, w.request.tag);
            assert_err(ERR_DATA_LOSS, "decode step: the model's logits are not finite",
                       engine_step(engine, &c, &n));
            assert_int_equal(engine_progress(engine, w.request.tag), progress);
            copy_weights(model, good);
            assert_ok(engine_step(engine, &c, &n));
        }
        do
            assert_ok(engine_step(engine, &c, &n));
        while (!n);
        for (int i = 0; i < n; i++)
            assert_int_equal(compare(full, &w, &c[i]), 0);
    }
}

TESTS(cmocka_unit_test(bits_equal_the_full_forward_however_batched),
      cmocka_unit_test(a_swap_between_two_steps_marks_its_tokens),
      cmocka_unit_test(siblings_share_the_prompt_and_differ),
      cmocka_unit_test(a_request_may_say_itself_where_it_ends),
      cmocka_unit_test(cancelled_requests_free_their_slots),
      cmocka_unit_test(bad_requests_change_nothing),
      cmocka_unit_test(a_failed_step_advances_nothing))
