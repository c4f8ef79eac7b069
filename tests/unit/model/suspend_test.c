/* Suspended completions: they draw nothing, lose their pages before anyone else does, and go on to
 * the bits of one that was never suspended. */
#include "engine_kit.h"

enum { K_MAX = 3, TOKENS = 40, STEP_ROWS = 48, APART = 30 };

static struct wanted wanted(const struct model *model, uint64_t i, int prompt, int completions,
                            int tokens)
{
    struct wanted w;
    make_request(&w, i, model->config.V);
    w.request.prompt_tokens = prompt;
    w.request.completions = completions;
    w.request.max_tokens = tokens;
    w.request.stops = 0;
    w.request.sampling.temperature = 1;
    return w;
}

static void admit(struct engine *engine, struct wanted *w)
{
    w->request.prompt = w->prompt; // w was copied
    assert_ok(engine_admit(engine, &w->request));
}

/* The completions of a request, to be compared with those of another run. */
struct outcome {
    int ended;
    int32_t token[K_MAX][TOKENS];
    float logp[K_MAX][TOKENS];
};

struct trial {
    struct engine *engine;
    struct forward *full;
    struct wanted w, rival; // the rival comes while w is suspended
    struct outcome outcome;
    int rivals; // completions of the rival that ended
};

static void step(struct trial *t)
{
    const struct engine_completion *c;
    int n;
    assert_ok(engine_step(t->engine, &c, &n));
    for (int i = 0; i < n; i++) {
        const bool ours = c[i].tag == t->w.request.tag;
        assert_int_equal(compare(t->full, ours ? &t->w : &t->rival, &c[i]), 0);
        if (!ours) {
            t->rivals++;
            continue;
        }
        assert_int_equal(c[i].tokens, TOKENS);
        memcpy(t->outcome.token[c[i].completion], c[i].token, sizeof t->outcome.token[0]);
        memcpy(t->outcome.logp[c[i].completion], c[i].logp, sizeof t->outcome.logp[0]);
        t->outcome.ended++;
    }
}

/* Suspends the completions of `which` (a bit each) after `at` steps, runs the rival for APART
 * steps, resumes, and steps to the end. Returns how often pages were given up. */
static uint64_t run(struct model *model, struct forward *full, struct trial *t, int pages, int at,
                    unsigned which)
{
    const int k = t->w.request.completions;
    const uint64_t tag = t->w.request.tag;
    SCOPED(engine) engine = new_engine(model, 8, STEP_ROWS, pages);
    const int all_pages = engine_free_pages(engine);
    t->engine = engine;
    t->full = full;
    t->outcome.ended = t->rivals = 0;
    admit(engine, &t->w);
    for (int i = 0; i < at; i++)
        step(t);
    assert_int_equal(t->outcome.ended, 0);
    for (int i = 0; i < k; i++)
        if (which >> i & 1)
            assert_true(engine_suspend(engine, tag, i));
    const int suspended = engine_active(engine) - engine_running(engine);
    assert_int_equal(suspended, __builtin_popcount(which));
    const int before = engine_progress(engine, tag);
    if (which)
        admit(engine, &t->rival);
    for (int i = 0; which && i < APART; i++)
        step(t);
    if (which + 1 == 1u << k) // all of them are suspended
        assert_int_equal(engine_progress(engine, tag), before);
    for (int i = k - 1; i >= 0; i--)         // the youngest first
        (void)engine_resume(engine, tag, i); // false: it has ended meanwhile
    while (engine_active(engine))
        step(t);
    assert_int_equal(t->outcome.ended, k);
    assert_int_equal(t->rivals, which ? t->rival.request.completions : 0);
    assert_int_equal(engine_free_pages(engine), all_pages);
    if (!pages && k == 1)
        assert_int_equal(engine_counters(engine)->prefill_tokens,
                         t->w.request.prompt_tokens + (which ? t->rival.request.prompt_tokens : 0));
    return engine_counters(engine)->preemptions;
}

/* Prompts of 61 and 130 tokens. They are suspended before any step, in the midst of the prompt,
 * after the first token, where a page ends (64, 128), and shortly before the end. */
static void the_bits_are_those_of_one_that_went_on(void **state)
{
    (void)state;
    static const int at[] = {0, 1, 2, 3, 4, 5, 6, 10, 25, 36};
    enum { POINTS = sizeof at / sizeof *at };
    uint64_t kept = 0, given_up = 0;
    for (enum kv_format kv = KV_F32; kv <= KV_BF16; kv++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = new_model(be, 1);
        SCOPED(forward) full = NULL;
        model->kv = kv;
        assert_ok(forward_new(model, CONTEXT, 16, false, &full));
        for (int k = 1; k <= K_MAX; k += 2)
            for (int p = 0; p < 2; p++) {
                SCOPED_MEM struct trial *t = mem_new(sizeof *t);
                SCOPED_MEM struct outcome *straight = mem_new(sizeof *straight);
                t->w = wanted(model, 2, p ? 130 : 61, k, TOKENS);
                t->rival = wanted(model, 9, 130, 2, 60);
                run(model, full, t, 0, 0, 0);
                *straight = t->outcome;
                for (int i = 0; i < POINTS; i++)
                    for (int tight = 0; tight < 2; tight++) {
                        const unsigned all = (1u << k) - 1, which = i % 2 ? all : 1;
                        *(tight ? &given_up : &kept) +=
                            run(model, full, t, tight ? 4 : 0, at[i], which);
                        for (int c = 0; c < k; c++) {
                            assert_memory_equal(t->outcome.token[c], straight->token[c],
                                                sizeof straight->token[c]);
                            assert_memory_equal(t->outcome.logp[c], straight->logp[c],
                                                sizeof straight->logp[c]);
                        }
                    }
            }
    }
    assert_int_equal(kept, 0);
    assert_true(given_up > 40);
    print_message("%llu times keys and values were given up\n", (unsigned long long)given_up);
}

/* The rival is younger, and yet takes the pages of an older sequence that is suspended. No running
 * sequence loses pages. */
static void the_suspended_lose_their_pages_first(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = new_model(be, 1);
    SCOPED(engine) engine = new_engine(model, 4, 256, 7);
    struct wanted old = wanted(model, 1, 100, 1, 60), runs = wanted(model, 2, 100, 1, 60),
                  young = wanted(model, 3, 130, 1, 50);
    const struct engine_completion *c;
    int n;
    admit(engine, &old);
    admit(engine, &runs);
    for (int i = 0; i < 3; i++)
        assert_ok(engine_step(engine, &c, &n));
    assert_true(engine_suspend(engine, old.request.tag, 0));
    assert_int_equal(engine_free_pages(engine), 3);
    admit(engine, &young);
    for (int i = 0; i < 40; i++)
        assert_ok(engine_step(engine, &c, &n)); // 3 pages each, 2 of the suspended: one too many
    assert_int_equal(engine_counters(engine)->preemptions, 1);
    assert_int_equal(engine_progress(engine, old.request.tag), 3);
    assert_true(engine_progress(engine, runs.request.tag) == 43);
    assert_true(engine_progress(engine, young.request.tag) >= 39);
    engine_cancel(engine, old.request.tag);
    assert_false(engine_suspend(engine, old.request.tag, 0));
    assert_false(engine_resume(engine, old.request.tag, 0));
    while (engine_active(engine))
        assert_ok(engine_step(engine, &c, &n));
    assert_int_equal(engine_free_pages(engine), 7);
}

/* New weights do not wait for a suspended completion. With recompute the tokens after its
 * resumption are those of the new weights alone. */
static void new_weights_come_while_suspended(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = new_model(be, 1);
    SCOPED(model) other = new_model(be, 2);
    SCOPED(engine) engine = new_engine(model, 4, 256, 0);
    SCOPED(forward) full = NULL;
    assert_ok(forward_new(model, CONTEXT, 16, false, &full));
    struct wanted w = wanted(model, 4, 80, 1, TOKENS);
    const struct engine_completion *c;
    int n;
    admit(engine, &w);
    for (int i = 0; i < 10; i++)
        assert_ok(engine_step(engine, &c, &n));
    assert_true(engine_suspend(engine, w.request.tag, 0));
    copy_weights(model, other);
    engine_set_version(engine, 9);
    engine_recompute(engine);
    assert_int_equal(engine_rebuilding(engine), 0);
    assert_ok(engine_step(engine, &c, &n));
    assert_int_equal(engine_progress(engine, w.request.tag), 10);
    assert_true(engine_resume(engine, w.request.tag, 0));
    for (n = 0; !n;)
        assert_ok(engine_step(engine, &c, &n));
    assert_int_equal(c->spans, 2);
    assert_int_equal(c->span[1].first_token, 10);
    struct wanted joined = w; // the tokens before the swap, as one prompt
    struct engine_completion tail = *c;
    joined.request.prompt_tokens += 10;
    memcpy(joined.prompt + 80, c->token, 10 * sizeof *c->token);
    tail.token += 10, tail.logp += 10, tail.tokens -= 10;
    assert_int_equal(compare(full, &joined, &tail), 0);
}

TESTS(cmocka_unit_test(the_bits_are_those_of_one_that_went_on),
      cmocka_unit_test(the_suspended_lose_their_pages_first),
      cmocka_unit_test(new_weights_come_while_suspended))
