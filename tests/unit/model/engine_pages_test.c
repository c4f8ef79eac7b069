/* Pages of keys and values: shared by a prompt's completions, and running out. */
#include "engine_kit.h"
#include "model/engine/pages.h"

enum { K_MAX = 8 };

static struct wanted wanted(const struct model *model, uint64_t i, int prompt, int completions,
                            int tokens)
{
    struct wanted w;
    make_request(&w, i, model->config.V);
    w.request.prompt_tokens = prompt;
    w.request.completions = completions;
    w.request.max_tokens = tokens;
    w.request.stops = 0;
    return w;
}

static void admit(struct engine *engine, struct wanted *w)
{
    w->request.prompt = w->prompt; // w was copied
    assert_ok(engine_admit(engine, &w->request));
}

static void a_page_is_free_when_its_last_holder_drops_it(void **state)
{
    (void)state;
    SCOPED(pages) pages = pages_new(3);
    int32_t taken[3];
    for (int i = 0; i < 3; i++) {
        taken[i] = pages_take(pages);
        assert_in_range(taken[i], 0, 2);
        assert_true(i == 0 || taken[i] != taken[i - 1]);
    }
    assert_int_equal(pages_take(pages), -1);
    pages_hold(pages, taken[1]);
    pages_drop(pages, taken[1]);
    assert_int_equal(pages_free_count(pages), 0);
    assert_int_equal(pages_holders(pages, taken[1]), 1);
    pages_drop(pages, taken[1]);
    assert_int_equal(pages_free_count(pages), 1);
    assert_int_equal(pages_take(pages), taken[1]);
}

/* A prompt of two whole pages and two tokens: its completions share the two, each has a third. */
static void completions_share_whole_pages(void **state)
{
    (void)state;
    for (int k = 1; k <= K_MAX; k += 7) {
        SCOPED(backend) be = tiny_backend(2);
        SCOPED(model) model = new_model(be, 1);
        model->kv = k == 1 ? KV_F32 : KV_BF16;
        SCOPED(engine) engine = new_engine(model, K_MAX, 32, 0);
        SCOPED(forward) full = NULL;
        assert_ok(forward_new(model, CONTEXT, 16, false, &full));
        const int all = engine_free_pages(engine);
        assert_int_equal(all, K_MAX * 4);
        struct wanted w = wanted(model, 2, 130, k, 20);
        admit(engine, &w);
        const struct engine_completion *c;
        int n = 0;
        for (int steps = 0; !n; steps++) {
            assert_ok(engine_step(engine, &c, &n));
            const int used = all - engine_free_pages(engine);
            assert_int_equal(used, n ? 0 : steps < 4 ? 3 : 2 + k); // 130 tokens in steps of 32
        }
        assert_int_equal(n, k);
        for (int i = 0; i < n; i++)
            assert_int_equal(compare(full, &w, &c[i]), 0);
        assert_int_equal(engine_counters(engine)->prefill_tokens, 130);
        admit(engine, &w);
        for (int steps = 0; steps < 7; steps++)
            assert_ok(engine_step(engine, &c, &n));
        engine_cancel(engine, w.request.tag);
        assert_int_equal(engine_free_pages(engine), all);
    }
}

/* Steps until the request `tag` is finished, the others going on as they can; 0 bits may differ. */
static int steps_of(struct engine *engine, struct forward *full, const struct wanted *all,
                    uint64_t tag)
{
    int left = 1, steps = 0, last = 0;
    while (left) {
        const struct engine_completion *c;
        int n;
        assert_ok(engine_step(engine, &c, &n));
        steps++;
        for (int i = 0; i < n; i++) {
            const struct wanted *w = all;
            while (w->request.tag != c[i].tag)
                w++;
            assert_int_equal(compare(full, w, &c[i]), 0);
            last = c[i].tag == tag ? steps : last;
        }
        left = engine_active(engine);
    }
    return last;
}

/* Memory for one sequence alone, eight that want it: the oldest takes as many steps as with all the
 * memory there is, and all end with the bits of the full forward. */
static void the_oldest_never_waits(void **state)
{
    (void)state;
    for (enum kv_format kv = KV_F32; kv <= KV_BF16; kv++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = new_model(be, 1);
        model->kv = kv;
        SCOPED(engine) tight = new_engine(model, 12, 256, 4);
        SCOPED(engine) roomy = new_engine(model, 12, 256, 0);
        SCOPED(forward) full = NULL;
        assert_ok(forward_new(model, CONTEXT, 16, false, &full));
        struct wanted all[6];
        for (uint64_t i = 0; i < 6; i++) {
            const bool first = i == 0;
            all[i] =
                wanted(model, i, first ? 60 : 30 + 20 * (int)i, first ? 1 : 2, first ? 140 : 60);
            admit(tight, &all[i]);
            admit(roomy, &all[i]);
        }
        const int alone = steps_of(roomy, full, all, all[0].request.tag);
        assert_int_equal(alone, 140);
        assert_int_equal(steps_of(tight, full, all, all[0].request.tag), alone);
        assert_int_equal(engine_counters(roomy)->preemptions, 0);
        assert_true(engine_counters(tight)->preemptions > 0);
        assert_true(engine_counters(tight)->prefill_tokens >
                    engine_counters(roomy)->prefill_tokens);
        assert_int_equal(engine_free_pages(tight), 4);
    }
}

/* Not even a copy of the prompt's last page fits: each completion computes that page itself. */
static void completions_without_room_for_a_copy_wait(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = new_model(be, 1);
    SCOPED(engine) engine = new_engine(model, 6, 256, 4);
    SCOPED(forward) full = NULL;
    assert_ok(forward_new(model, CONTEXT, 16, false, &full));
    struct wanted w = wanted(model, 3, 140, 6, 40);
    w.request.sampling.temperature = 1;
    admit(engine, &w);
    assert_int_equal(steps_of(engine, full, &w, w.request.tag) > 40, true);
    assert_int_equal(engine_counters(engine)->tokens, 6 * 40);
    const uint64_t prefill = engine_counters(engine)->prefill_tokens;
    assert_int_equal(prefill, 140 + 4 * 12); // the whole pages only once
    assert_int_equal(engine_counters(engine)->preemptions, 0);
}

/* in_flight: recompute, with half done completions that share pages: all go on from the new
 * weights' own KV, and the prompt's whole pages are computed once. */
static void recomputing_shares_again(void **state)
{
    (void)state;
    enum { PROMPT = 130, K = 4, TOKENS = 30, AT = 10 };
    for (int pages = 0; pages <= 5; pages += 5) {
        SCOPED(backend) be = tiny_backend(2);
        SCOPED(model) model = new_model(be, 1);
        SCOPED(model) other = new_model(be, 2);
        SCOPED(engine) engine = new_engine(model, K, 64, pages);
        SCOPED(forward) full = NULL;
        assert_ok(forward_new(model, CONTEXT, 16, false, &full));
        struct wanted w = wanted(model, 7, PROMPT, K, TOKENS);
        w.request.sampling.temperature = 1;
        admit(engine, &w);
        const struct engine_completion *c;
        int n = 0, done = 0;
        while (engine_progress(engine, w.request.tag) < K * AT) {
            assert_ok(engine_step(engine, &c, &n));
            assert_int_equal(n, 0);
        }
        const uint64_t before = engine_counters(engine)->prefill_tokens;
        copy_weights(model, other);
        engine_set_version(engine, 9);
        engine_recompute(engine);
        while (engine_active(engine)) {
            assert_ok(engine_step(engine, &c, &n));
            for (int i = 0; i < n; i++, done++) {
                struct wanted joined = w; // the tokens before the swap, as one prompt
                struct engine_completion tail = c[i];
                assert_int_equal(c[i].spans, 2);
                const int at = (int)c[i].span[1].first_token;
                assert_in_range(at, 1, TOKENS - 1);
                joined.request.prompt_tokens += at;
                memcpy(joined.prompt + PROMPT, c[i].token, (size_t)at * sizeof *c[i].token);
                tail.token += at, tail.logp += at, tail.tokens -= at;
                assert_int_equal(compare(full, &joined, &tail), 0);
            }
        }
        assert_int_equal(done, K);
        const uint64_t again = engine_counters(engine)->prefill_tokens - before;
        if (!pages) // whole pages once; of each sequence the rest, but for its newest token's row
            assert_int_equal(again, 128 + K * (PROMPT - 128 + AT - 1));
    }
}

TESTS(cmocka_unit_test(a_page_is_free_when_its_last_holder_drops_it),
      cmocka_unit_test(completions_share_whole_pages), cmocka_unit_test(the_oldest_never_waits),
      cmocka_unit_test(completions_without_room_for_a_copy_wait),
      cmocka_unit_test(recomputing_shares_again))
