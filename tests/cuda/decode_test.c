/* Decoding on the module: new weights that come beside the steps, and what a step does not do. */
#include "cuda/calls.h"
#include "model/engine/engine.h"
#include "unit/model/refreshing.h"

enum { SLOTS = 4 };

static struct backend *cuda;

static int open_cuda(void **state)
{
    (void)state;
    cuda = cuda_module_open();
    return 0;
}

static int close_cuda(void **state)
{
    (void)state;
    backend_free(cuda);
    return 0;
}

/* ---- new weights */

static void changes_are_brought(void **state)
{
    (void)state;
    changes_come_into_force_together(cuda);
    lists_that_are_there_come_into_force(cuda);
    versions_follow_at_once(cuda);
}

static void others_are_put(void **state)
{
    (void)state;
    what_is_not_listed_is_put(cuda);
}

static void changes_outside_a_weight_are_refused(void **state)
{
    (void)state;
    const struct weight_form form = {.N = 40, .K = 50, .packed = true};
    struct weight *weight = NULL;
    struct weight_changes *changes = NULL;
    const uint32_t inside[] = {0, 1999}, outside[] = {7, 2000};
    const bf16 value[] = {0x3f80, 0x4000};
    bf16 got[2000];
    assert_ok(cuda->ops->weights_new(cuda, &form, 1, &weight));
    assert_err(ERR_INVALID, "at least one", cuda->ops->changes_new(cuda, 0, &changes));
    assert_ok(cuda->ops->changes_new(cuda, 3, &changes));
    assert_err(ERR_RANGE, "element 2000 of a weight of 40 x 50",
               cuda->ops->changes_add(cuda, changes, weight, 0, outside, value, 2));
    assert_err(ERR_RANGE, "element 2001",
               cuda->ops->changes_add(cuda, changes, weight, 2, inside, value, 2));
    assert_ok(cuda->ops->changes_add(cuda, changes, weight, 0, inside, value, 2));
    assert_err(ERR_EXHAUSTED, "room for 1",
               cuda->ops->changes_add(cuda, changes, weight, 0, inside, value, 2));
    assert_ok(cuda->ops->changes_apply(cuda, changes));
    assert_ok(cuda->ops->weight_get(cuda, weight, 0, 2000, got));
    for (int i = 0; i < 2000; i++)
        assert_int_equal(got[i], i == 0 ? 0x3f80 : i == 1999 ? 0x4000 : 0);
    cuda->ops->changes_free(cuda, changes);
    cuda->ops->weight_free(cuda, weight);
}

/* ---- what a step does not do */

static void admit(struct engine *engine, uint64_t tag, int prompt, int completions, int tokens)
{
    int32_t token[CONTEXT];
    const struct rng rng = rng_keyed(tag, RNG_TEST, 0, 0);
    for (int i = 0; i < prompt; i++)
        token[i] = (int32_t)rng_below(&rng, (uint64_t)i, V);
    const struct engine_request request = {
        .tag = tag,
        .prompt = token,
        .prompt_tokens = prompt,
        .completions = completions,
        .max_tokens = tokens,
        .sampling = {.temperature = 1, .seed = 3, .prompt = tag}};
    assert_ok(engine_admit(engine, &request));
}

static void step(struct engine *engine)
{
    const struct engine_completion *finished;
    int count;
    assert_ok(engine_step(engine, &finished, &count));
}

/* The largest step is one of all rows and slots. No memory is made or freed after it, whatever is
 * admitted and whatever new weights come into force. A step waits once, for what was drawn. */
static void a_step_makes_no_memory_and_waits_once(void **state)
{
    (void)state;
    const struct model_config config = config_of(true);
    SCOPED(model) model = compact_of(cuda, &config, 5);
    SCOPED(engine) engine = NULL;
    SCOPED(refresh) refresh = NULL;
    const struct engine_config settings = {.slots = SLOTS, .max_context = CONTEXT, .step_rows = 32};
    assert_ok(refresh_new(model, &refresh));
    assert_ok(engine_new(model, &settings, &engine));
    admit(engine, 1, 140, SLOTS, 20);
    while (engine_active(engine))
        step(engine);
    SCOPED_VALUE(news) news = news_of(model, 3, 30);
    const struct cuda_emu_calls before = calls();
    uint64_t steps = 0;
    refresh_begin(refresh, &(struct new_weights){news.flat, news.changed, news.marks});
    admit(engine, 2, 40, 2, 15);
    admit(engine, 3, 90, 1, 15);
    for (bool there = false; !there; steps++) {
        assert_ok(refresh_bring(refresh, &there));
        step(engine);
    }
    assert_ok(refresh_apply(refresh));
    engine_set_version(engine, 1);
    for (; engine_active(engine); steps++)
        step(engine);
    const struct cuda_emu_calls after = calls();
    const uint64_t drawing = engine_counters(engine)->steps;
    assert_int_equal(after.memory, before.memory);
    assert_true(after.waits - before.waits <= steps && steps <= drawing);
    assert_true(refresh_figures(refresh).listed > 0);
    assert_holds(model, news.flat);
}

/* ---- over new weights */

enum { VERSIONS = 3, PROMPT = 30, TOKENS = 24, COMPLETIONS = 3 };

/* A run over several versions, whose weights it keeps. */
struct trial {
    struct model_config config;
    struct model *model, *past[VERSIONS];
    struct engine *engine;
    struct refresh *refresh;
    int version;
    int exact, differing;     // tokens whose bits are the version's, and those of them that differ
    int old_keys, old_differ; // of tokens over the keys and values of a version before
};

static struct trial trial_of(void)
{
    struct trial t = {.config = config_of(false)};
    const struct engine_config settings = {.slots = SLOTS, .max_context = CONTEXT, .step_rows = 16};
    t.model = compact_of(cuda, &t.config, 5);
    t.past[0] = compact_of(cuda, &t.config, 5);
    assert_ok(refresh_new(t.model, &t.refresh));
    assert_ok(engine_new(t.model, &settings, &t.engine));
    return t;
}

static void trial_done(struct trial *t)
{
    engine_free(t->engine);
    refresh_free(t->refresh);
    model_free(t->model);
    for (int v = 0; v < VERSIONS; v++)
        model_free(t->past[v]);
}

/* The next version comes into force. */
static void swap(struct trial *t, bool recompute)
{
    SCOPED_VALUE(news) news = news_of(t->model, (uint64_t)t->version, 60);
    refresh_begin(t->refresh, &(struct new_weights){news.flat, news.changed, news.marks});
    bring_all(t->refresh);
    assert_ok(refresh_apply(t->refresh));
    engine_set_version(t->engine, (uint64_t)++t->version);
    if (recompute)
        engine_recompute(t->engine);
    assert_ok(model_empty_compact(cuda, &t->config, &t->past[t->version]));
    assert_ok(model_put(t->past[t->version], news.flat, NULL));
}

/* How many of the tokens [begin, end) have other bits in a full forward. */
static int differing(struct model *model, const struct engine_completion *c, int begin, int end)
{
    SCOPED(forward) fw = NULL;
    int32_t token[CONTEXT], position[CONTEXT], row[CONTEXT];
    float logp[CONTEXT];
    const struct rng rng = rng_keyed(c->tag, RNG_TEST, 0, 0);
    const int N = PROMPT + end;
    const struct segment segment = {.count = N};
    int count = 0;
    for (int i = 0; i < PROMPT; i++)
        token[i] = (int32_t)rng_below(&rng, (uint64_t)i, V);
    memcpy(token + PROMPT, c->token, (size_t)end * sizeof *token);
    for (int i = 0; i < N; i++)
        position[i] = i;
    for (int i = begin; i < end; i++)
        row[i - begin] = PROMPT - 1 + i;
    assert_ok(forward_new(model, N, 16, FORWARD_NOTHING, &fw));
    assert_ok(forward_run(fw, token, position, N, &segment, 1));
    assert_ok(forward_logp(fw, row, c->token + begin, end - begin, 1, logp, NULL));
    for (int i = begin; i < end; i++)
        count += memcmp(&logp[i - begin], &c->logp[i], sizeof(float)) != 0;
    return count;
}

static void compare(struct trial *t, const struct engine_completion *c, bool recompute)
{
    for (int s = 0; s < c->spans; s++) {
        const int begin = (int)c->span[s].first_token,
                  end = s + 1 < c->spans ? (int)c->span[s + 1].first_token : c->tokens;
        const int count = differing(t->past[c->span[s].version], c, begin, end);
        const bool exact = recompute || s == 0;
        *(exact ? &t->exact : &t->old_keys) += end - begin;
        *(exact ? &t->differing : &t->old_differ) += count;
    }
}

/* Two prompts in a batch, cut into chunks, and new weights twice, in the midst of a prompt, too. */
static void spans_have_the_bits_of_their_version(void **state)
{
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        SCOPED_VALUE(trial) t = trial_of();
        admit(t.engine, 7, PROMPT, COMPLETIONS, TOKENS);
        for (int steps = 0; engine_active(t.engine); steps++) {
            const struct engine_completion *finished;
            int count;
            if (steps == 5)
                admit(t.engine, 8, PROMPT, 1, TOKENS);
            if ((steps == 6 || steps == 16) && t.version + 1 < VERSIONS)
                swap(&t, recompute);
            assert_ok(engine_step(t.engine, &finished, &count));
            for (int i = 0; i < count; i++)
                compare(&t, &finished[i], recompute);
        }
        print_message("%s: %d tokens compared, %d differ; over keys of before %d, %d differ\n",
                      recompute ? "recompute" : "continue", t.exact, t.differing, t.old_keys,
                      t.old_differ);
        assert_int_equal(t.version, VERSIONS - 1);
        assert_int_equal(t.differing, 0);
        assert_int_equal(t.exact + t.old_keys, (COMPLETIONS + 1) * TOKENS);
        assert_true(recompute ? !t.old_keys : t.old_differ > t.old_keys / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_brought),
        cmocka_unit_test(others_are_put),
        cmocka_unit_test(changes_outside_a_weight_are_refused),
        cmocka_unit_test(a_step_makes_no_memory_and_waits_once),
        cmocka_unit_test(spans_have_the_bits_of_their_version),
    };
    return cmocka_run_group_tests(tests, open_cuda, close_cuda);
}
