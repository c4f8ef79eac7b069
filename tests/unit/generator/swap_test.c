/* New weights at odd moments, in each mode. The test keeps every version's weights. So each stamped
 * bit can be compared with a full forward at its span's version. */
#include "swapping.h"
#include <stdlib.h>

enum { PROMPT_MAX = 30, REQUESTS = 48, SEEDS = 4 };

static const enum recipe_in_flight modes[] = {RECIPE_CONTINUE, RECIPE_RECOMPUTE, RECIPE_FINISH};

struct wanted {
    int32_t prompt[PROMPT_MAX];
    struct engine_request request;
    int seen;             // tokens of a lone completion after the last step
    int version[CONTEXT]; // in force at the step that sampled each of them
};

struct tally {
    int tokens, differing;                  // of tokens that must be reproduced
    int over_old_kv, over_old_kv_differing; // continue: what came after the first span
    int swaps, passed_over, gave_way, in_prefill, in_flight, reprefill, mixed;
};

struct trial {
    struct past *past;
    enum recipe_in_flight mode;
    struct rng rng;
    uint64_t draws;
    struct model *model; // the engine's
    struct engine *engine;
    struct swap *swap;
    struct wanted wanted[REQUESTS];
    int next, done, expected;
    int staged, in_force; // versions
    int answer;           // steps until the asked weights come; -1: none are asked for
    struct tally tally;
};

static uint64_t below(struct trial *t, uint64_t limit)
{
    return rng_below(&t->rng, t->draws++, limit);
}

static void make_request(struct wanted *w, int i, int V)
{
    static const int32_t stop[] = {5, 11};
    const struct rng rng = rng_keyed(9, RNG_TEST, (uint64_t)i, 0);
    const int tokens = 1 + (int)rng_below(&rng, 0, PROMPT_MAX);
    for (int p = 0; p < PROMPT_MAX; p++)
        w->prompt[p] = (int32_t)rng_below(&rng, (uint64_t)(100 + p), (uint64_t)V);
    w->request = (struct engine_request){
        .tag = (uint64_t)i,
        .prompt = w->prompt,
        .prompt_tokens = tokens,
        .completions = i % 2 ? 1 : 1 + (int)rng_below(&rng, 1, 4),
        .max_tokens = 1 + (int)rng_below(&rng, 2, (uint64_t)(CONTEXT - tokens)),
        .sampling = {.temperature = i % 3 ? 1.0f : 0.7f, .seed = 3, .prompt = (uint64_t)i},
        .stop = stop,
        .stops = i % 4 ? 0 : 2,
    };
}

static int version_of(const struct engine_completion *c, int token)
{
    int version = -1;
    for (int s = 0; s < c->spans && (int)c->span[s].first_token <= token; s++)
        version = (int)c->span[s].version;
    return version;
}

/* How many of the tokens [begin, end) differ in bits from a full forward at `version`. */
static int differing(struct past *past, int version, const struct wanted *w,
                     const struct engine_completion *c, int begin, int end)
{
    int32_t token[CONTEXT], position[CONTEXT], row[CONTEXT];
    float logp[CONTEXT];
    const int P = w->request.prompt_tokens, N = P + end;
    struct segment segment = {.count = N};
    memcpy(token, w->prompt, (size_t)P * sizeof *token);
    memcpy(token + P, c->token, (size_t)end * sizeof *token);
    for (int i = 0; i < N; i++)
        position[i] = i;
    for (int i = begin; i < end; i++)
        row[i - begin] = P - 1 + i;
    assert_ok(forward_run(past->full[version], token, position, N, &segment, 1));
    assert_ok(forward_logp(past->full[version], row, c->token + begin, end - begin,
                           sampling_inverse(&w->request.sampling), logp, NULL));
    int count = 0;
    for (int i = begin; i < end; i++)
        count += memcmp(&logp[i - begin], &c->logp[i], sizeof(float)) != 0;
    return count;
}

static void check_spans(const struct trial *t, const struct wanted *w,
                        const struct engine_completion *c)
{
    assert_in_range(c->spans, 1, c->tokens);
    assert_int_equal(c->span[0].first_token, 0);
    for (int s = 1; s < c->spans; s++) {
        assert_true(c->span[s].first_token > c->span[s - 1].first_token);
        assert_true(c->span[s].version > c->span[s - 1].version);
    }
    if (t->mode == RECIPE_FINISH)
        assert_int_equal(c->spans, 1);
    for (int i = 0; w->request.completions == 1 && i < c->tokens; i++)
        assert_int_equal(version_of(c, i), w->version[i]);
}

static void check(struct trial *t, const struct engine_completion *c)
{
    const struct wanted *w = &t->wanted[c->tag];
    check_spans(t, w, c);
    for (int s = 0; s < c->spans; s++) {
        int begin = (int)c->span[s].first_token;
        int end = s + 1 < c->spans ? (int)c->span[s + 1].first_token : c->tokens;
        int count = differing(t->past, (int)c->span[s].version, w, c, begin, end);
        bool exact = t->mode != RECIPE_CONTINUE || s == 0;
        *(exact ? &t->tally.tokens : &t->tally.over_old_kv) += end - begin;
        *(exact ? &t->tally.differing : &t->tally.over_old_kv_differing) += count;
    }
    t->tally.mixed += c->spans > 1;
}

/* One, two or no newer versions become ready; what was asked for comes when its time is up. */
static void weights_arrive(struct trial *t)
{
    if (t->staged + 2 < VERSIONS && below(t, 10) == 0)
        for (uint64_t n = 1 + below(t, 2); n; n--, t->staged++)
            swap_offer(t->swap);
    if (swap_wants(t->swap)) {
        assert_int_equal(t->answer, -1);
        t->answer = (int)below(t, 3);
    }
    if (t->answer < 0 || t->answer--)
        return;
    struct swapped done;
    assert_true(t->mode != RECIPE_FINISH || engine_active(t->engine) == 0);
    SCOPED_MEM bf16 *values = flat_of(t->past->model[t->staged]);
    put_in_force(t->swap, values, (uint64_t)t->staged, &done);
    assert_int_equal(done.offers, t->staged - t->in_force); // the newest, and all before it skipped
    t->in_force = t->staged;
    t->tally.swaps++;
    t->tally.passed_over += done.offers - 1;
    t->tally.gave_way += done.gave_way;
    t->tally.in_flight += engine_active(t->engine) > 0;
    t->tally.in_prefill += t->mode == RECIPE_CONTINUE && done.reprefill > 0;
    t->tally.reprefill += done.reprefill;
    assert_false(swap_holds(t->swap));
}

static void admit_some(struct trial *t)
{
    while (t->next < REQUESTS && !swap_holds(t->swap) && below(t, 3)) {
        struct wanted *w = &t->wanted[t->next];
        if (engine_free_slots(t->engine) < w->request.completions)
            return;
        assert_ok(engine_admit(t->engine, &w->request));
        t->expected += w->request.completions;
        t->next++;
    }
}

/* Which version was in force when each token of the lone completions was sampled. */
static void note_tokens(struct trial *t, const struct engine_completion *finished, int count)
{
    for (int i = 0; i < t->next; i++) {
        struct wanted *w = &t->wanted[i];
        int now = engine_progress(t->engine, w->request.tag);
        for (int f = 0; f < count; f++)
            if (finished[f].tag == w->request.tag)
                now = finished[f].tokens;
        if (w->request.completions == 1 && now > w->seen) {
            assert_int_equal(now, w->seen + 1);
            w->version[w->seen++] = t->in_force;
        }
    }
}

static void run(struct trial *t, struct engine_config engine)
{
    struct model_config config = tiny_config(true);
    assert_ok(model_empty_compact(t->past->be, &config, &t->model));
    engine.kv_bytes *= engine_page_bytes(t->model);
    assert_ok(engine_new(t->model, &engine, &t->engine));
    assert_ok(swap_new(t->model, t->engine, t->mode, &t->swap));
    t->in_force = t->answer = -1;
    swap_offer(t->swap);
    assert_true(swap_wants(t->swap)); // nothing is decoded yet: in any mode at once
    struct swapped done;
    SCOPED_MEM bf16 *values = flat_of(t->past->model[0]);
    put_in_force(t->swap, values, 0, &done);
    t->in_force = 0;
    for (int i = 0; i < REQUESTS; i++)
        make_request(&t->wanted[i], i, config.V);
    while (t->next < REQUESTS || engine_active(t->engine)) {
        const struct engine_completion *finished;
        int count;
        weights_arrive(t);
        admit_some(t);
        assert_ok(engine_step(t->engine, &finished, &count));
        note_tokens(t, finished, count);
        for (int f = 0; f < count; f++, t->done++)
            check(t, &finished[f]);
    }
    assert_int_equal(t->done, t->expected);
}

static void trial_done(struct trial *t)
{
    swap_free(t->swap);
    engine_free(t->engine);
    model_free(t->model);
}

static struct tally tally_of(struct past *past, enum recipe_in_flight mode)
{
    /* slots, rows of a step, pages (0: enough) */
    static const int shapes[SEEDS][3] = {{4, 4}, {12, 16, 9}, {9, 33}, {16, 256, 12}};
    struct tally sum = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const int *shape = shapes[seed];
        SCOPED_MEM struct trial *t = mem_new(sizeof *t);
        t->past = past;
        t->mode = mode;
        t->rng = rng_keyed(seed, RNG_TEST, 1, 2);
        run(t, (struct engine_config){shape[0], CONTEXT, shape[1], (size_t)shape[2]});
        assert_int_equal(engine_counters(t->engine)->preemptions > 0, shape[2] > 0);
        const int *from = (const int *)&t->tally;
        for (size_t i = 0; i < sizeof sum / sizeof(int); i++)
            ((int *)&sum)[i] += from[i];
        const uint64_t again = engine_counters(t->engine)->recomputed_tokens;
        assert_true(mode != RECIPE_RECOMPUTE || again <= (uint64_t)t->tally.reprefill);
        trial_done(t);
    }
    print_message(
        "%s: %d swaps, %d in flight, %d passed over, %d gave way, %d in a prompt; %d completions of several "
        "versions; %d tokens compared, %d differ; over old KV %d, %d differ; %d to be computed again\n",
        swap_mode_name(mode), sum.swaps, sum.in_flight, sum.passed_over, sum.gave_way,
        sum.in_prefill, sum.mixed, sum.tokens, sum.differing, sum.over_old_kv,
        sum.over_old_kv_differing, sum.reprefill);
    return sum;
}

static void every_bit_is_that_of_its_span_version(void **state)
{
    (void)state;
    SCOPED_VALUE(past) past = past_of(1);
    for (int m = 0; m < 3; m++) {
        struct tally sum = tally_of(&past, modes[m]);
        assert_int_equal(sum.differing, 0);
        assert_true(sum.tokens > 1000 && sum.swaps > SEEDS);
        assert_true(sum.passed_over > 0); // the moments this test is about came up
        if (modes[m] == RECIPE_CONTINUE) {
            assert_true(sum.mixed > 10 && sum.in_prefill > 0);
            assert_true(sum.over_old_kv_differing > sum.over_old_kv / 2); // the comparison can tell
        } else if (modes[m] == RECIPE_RECOMPUTE) {
            assert_true(sum.mixed > 10 && sum.gave_way > 0 && sum.reprefill > 0);
        } else {
            assert_int_equal(sum.mixed + sum.in_flight + sum.reprefill, 0);
        }
    }
}

/* ---- one moment after the other */

struct moment {
    struct past past;
    struct trial trial;
};

static void moment_done(struct moment *m)
{
    trial_done(&m->trial);
    past_done(&m->past);
}

/* Four completions of prompts of 20 tokens, up to 40 more: one a step after the prompts. */
static void moment_begin(struct moment *m, enum recipe_in_flight mode)
{
    struct trial *t = &m->trial;
    m->past = past_of(1);
    t->past = &m->past;
    t->mode = mode;
    struct model_config config = tiny_config(true);
    assert_ok(model_empty_compact(t->past->be, &config, &t->model));
    assert_ok(engine_new(t->model, &(struct engine_config){6, CONTEXT, 6}, &t->engine));
    assert_ok(swap_new(t->model, t->engine, mode, &t->swap));
    for (int i = 0; i < 4; i++) {
        struct wanted *w = &t->wanted[i];
        make_request(w, i, config.V);
        w->request.prompt_tokens = 20;
        w->request.completions = 1;
        w->request.max_tokens = 40;
        w->request.stops = 0;
        assert_ok(engine_admit(t->engine, &w->request));
    }
}

static void apply(struct moment *m, uint64_t version, struct swapped *ret)
{
    SCOPED_MEM bf16 *values = flat_of(m->past.model[version]);
    put_in_force(m->trial.swap, values, version, ret);
}

/* Completions are checked; none may name the versions in `never`. Returns how many ended. */
static int step(struct moment *m, const char *never)
{
    const struct engine_completion *c;
    int count;
    assert_ok(engine_step(m->trial.engine, &c, &count));
    for (int f = 0; f < count; f++) {
        m->trial.wanted[c[f].tag].request.completions = 0; // its versions were not noted
        check(&m->trial, &c[f]);
        for (int s = 0; s < c[f].spans; s++)
            assert_null(strchr(never, 'a' + (int)c[f].span[s].version));
    }
    return count;
}

static uint64_t sampled(const struct moment *m)
{
    return engine_counters(m->trial.engine)->tokens;
}

static void a_rebuild_gives_way_once_and_only_for_the_newest(void **state)
{
    (void)state;
    SCOPED_MEM struct moment *m = mem_new(sizeof *m);
    moment_begin(m, RECIPE_RECOMPUTE);
    struct swap *swap = m->trial.swap;
    struct engine *engine = m->trial.engine;
    struct swapped done;
    const char *never = "bf"; // versions 1 and 5
    swap_offer(swap);
    apply(m, 0, &done);
    while (sampled(m) < 40)
        step(m, never);
    swap_offer(swap); // 1
    assert_true(swap_wants(swap));
    swap_offer(swap); // 2 takes its place before it is handed over
    assert_false(swap_wants(swap));
    apply(m, 2, &done);
    assert_int_equal(done.offers, 2);
    assert_false(done.gave_way);
    const int all = engine_rebuilding(engine);
    assert_int_equal(done.reprefill, all);
    assert_int_equal(all, 4 * 20 + (int)sampled(m) - 4); // each lacks its last token's only
    step(m, never);
    const int left = engine_rebuilding(engine);
    assert_true(left > 0 && left < all);

    swap_offer(swap); // 3, while the rebuild for 2 is under way: that one gives way
    assert_true(swap_wants(swap));
    apply(m, 3, &done);
    assert_true(done.gave_way);
    assert_true(done.reprefill >= all);
    const uint64_t before = engine_counters(engine)->recomputed_tokens;
    assert_int_equal(before, all - left);
    const int due = done.reprefill;
    step(m, never);

    const uint64_t tokens = sampled(m);
    swap_offer(swap); // 4, then 5, then 6: the rebuild for 3 is completed first
    assert_false(swap_wants(swap));
    swap_offer(swap);
    while (engine_rebuilding(engine)) {
        assert_false(swap_wants(swap));
        step(m, never);
    }
    swap_offer(swap);
    assert_true(sampled(m) > tokens);
    assert_int_equal(engine_counters(engine)->recomputed_tokens, before + (uint64_t)due);
    assert_true(swap_wants(swap));
    apply(m, 6, &done);
    assert_int_equal(done.offers, 3);
    assert_false(done.gave_way);
    swap_offer(swap); // 7 may take the place of 6's rebuild again
    assert_true(swap_wants(swap));
    apply(m, 7, &done);
    for (int ended = 0; ended < 4;)
        ended += step(m, "befg"); // nor 4; 6 sampled nothing
    assert_int_equal(m->trial.tally.differing, 0);
    assert_int_equal(m->trial.tally.tokens, 4 * 40);
    assert_int_equal(m->trial.tally.mixed, 4);
    moment_done(m);
}

static void finish_admits_nothing_until_all_are_done(void **state)
{
    (void)state;
    SCOPED_MEM struct moment *m = mem_new(sizeof *m);
    moment_begin(m, RECIPE_FINISH);
    struct swap *swap = m->trial.swap;
    struct swapped done;
    // moment_begin's requests are in the engine: they end first, even without a version's weights
    engine_cancel(m->trial.engine, 0);
    swap_offer(swap);
    assert_true(swap_holds(swap));
    assert_false(swap_wants(swap));
    for (uint64_t tag = 1; tag < 4; tag++)
        engine_cancel(m->trial.engine, tag);
    assert_true(swap_wants(swap)); // cancelled ones need not be waited for
    apply(m, 0, &done);
    for (int i = 0; i < 4; i++) {
        m->trial.wanted[i].request.max_tokens = 10 * (i + 1);
        assert_ok(engine_admit(m->trial.engine, &m->trial.wanted[i].request));
    }
    while (sampled(m) < 4)
        step(m, "");
    for (int ended = 0; ended < 4;) {
        assert_false(swap_holds(swap) != (m->trial.staged > 0));
        if (m->trial.staged < 3) {
            m->trial.staged++;
            swap_offer(swap);
        }
        assert_true(swap_holds(swap)); // although slots are free
        assert_false(swap_wants(swap));
        ended += step(m, "bcd");
    }
    assert_true(swap_wants(swap));
    assert_true(swap_holds(swap));
    apply(m, 3, &done);
    assert_int_equal(done.offers, 3);
    assert_int_equal(done.reprefill, 0);
    assert_false(swap_holds(swap) || swap_wants(swap));
    assert_int_equal(m->trial.tally.differing, 0);
    assert_int_equal(m->trial.tally.tokens, 10 + 20 + 30 + 40);
    m->trial.wanted[0].request.completions = 1;
    assert_ok(engine_admit(m->trial.engine, &m->trial.wanted[0].request));
    while (sampled(m) < 103)
        step(m, "");
    swap_force(swap); // the weights in force are wrong: no waiting, and none of their KV stays
    assert_false(swap_wants(swap));
    swap_offer(swap);
    assert_true(swap_wants(swap));
    apply(m, 2, &done);
    assert_true(done.reprefill >= 20);
    moment_done(m);
}

static void continue_takes_at_once_and_begins_half_prompts_again(void **state)
{
    (void)state;
    SCOPED_MEM struct moment *m = mem_new(sizeof *m);
    moment_begin(m, RECIPE_CONTINUE);
    struct swap *swap = m->trial.swap;
    struct swapped done;
    swap_offer(swap);
    apply(m, 0, &done);
    step(m, ""); // six tokens of the oldest prompt
    swap_offer(swap);
    assert_false(swap_holds(swap));
    assert_true(swap_wants(swap));
    apply(m, 1, &done);
    assert_int_equal(done.reprefill, 6);
    while (sampled(m) < 60)
        step(m, "");
    swap_offer(swap);
    assert_true(swap_wants(swap));
    apply(m, 2, &done);
    assert_int_equal(done.reprefill, 0); // their KV stays
    for (int ended = 0; ended < 4;)
        ended += step(m, "a");
    assert_int_equal(m->trial.tally.differing, 0);
    assert_int_equal(m->trial.tally.mixed, 4);
    moment_done(m);
}

TESTS(cmocka_unit_test(every_bit_is_that_of_its_span_version),
      cmocka_unit_test(a_rebuild_gives_way_once_and_only_for_the_newest),
      cmocka_unit_test(finish_admits_nothing_until_all_are_done),
      cmocka_unit_test(continue_takes_at_once_and_begins_half_prompts_again))
