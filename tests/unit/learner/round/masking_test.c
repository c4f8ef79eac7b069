/* Tokens of a round that train nothing: of completions that were cut off, of old versions. */
#include "unit/learner/stages_kit.h"
#include <math.h>

/* A round with the learner's keys, run up to the choice of what is trained. */
static void masked_round(struct staged *s, const char *keys, const char *objective)
{
    *s = (struct staged){0};
    bench_open(&s->bench, keys, NULL);
    stage_objective(s, objective);
    stage_ready(s);
}

static void cut(struct staged *s, size_t i)
{
    s->bench.group[i / K]->completion[i % K].finish = FINISH_LENGTH;
}

/* The first completion with as many tokens gets spans of these versions at tokens 0, 2, 3, 4. */
static size_t make_old(struct staged *s, const uint64_t version[4])
{
    static const uint32_t first[] = {0, 2, 3, 4};
    struct completion *c = NULL;
    size_t i = 0;
    for (; !c || c->tokens < 6; i++)
        c = &s->bench.group[i / K]->completion[i % K];
    free(c->span);
    c->span = mem_array(4, sizeof *c->span);
    c->spans = 4;
    for (int j = 0; j < 4; j++)
        c->span[j] = (struct span){first[j], version[j]};
    return i - 1;
}

/* All of the round as its one update has it. */
static struct round_part *share_of(struct staged *s)
{
    run_before(s, "updates");
    assert_ok(run_stage(s, "report"));
    struct round_part *part = round_batch_part(s->run.batch, 0, 1, 1);
    assert_int_equal(part->batch.sequences, GROUPS * K);
    return part;
}

static void nothing_is_masked_unless_asked(void **)
{
    struct staged s;
    stage_open(&s, "rloo");
    cut(&s, 1);
    SCOPED(round_part) part = share_of(&s);
    assert_false(stage_runs(find("mask"), &s.run));
    assert_null(part->batch.columns->at[COLUMN_WEIGHT]);
    assert_null(part->batch.columns->at[COLUMN_COUNTED]);
    assert_true(s.report.truncated_share == 1.0 / (GROUPS * K) && s.report.stale_token_share == 0);
    stage_close(&s);
}

static void cut_completions_train_nothing_and_still_count(void **)
{
    struct staged s, plain;
    masked_round(&s, "objective: rloo, mask_truncated_completions: true", "rloo");
    stage_open(&plain, "rloo");
    size_t cuts = 0;
    for (size_t i = 0; i < GROUPS * K; i += 3, cuts++)
        cut(&s, i);
    s.bench.group[0]->completion[1].finish = FINISH_STOP; // ended by a text: not cut
    SCOPED(round_part) part = share_of(&s);
    SCOPED(round_part) whole = share_of(&plain);
    const struct columns *columns = part->batch.columns;
    for (size_t i = 0; i < GROUPS * K; i++) {
        const size_t tokens = columns->first[i + 1] - columns->first[i];
        assert_int_equal(columns_tokens(columns, i), part->member[i] % 3 ? tokens : 0);
        assert_int_equal(columns_counted(columns, i), tokens);
    }
    const struct rl_totals totals = columns_totals(columns),
                           all = columns_totals(whole->batch.columns);
    assert_true(totals.tokens == all.tokens && totals.sequences == all.sequences);
    assert_memory_equal(columns->at[COLUMN_ADVANTAGE], whole->batch.columns->at[COLUMN_ADVANTAGE],
                        GROUPS * K * sizeof(double));
    assert_near(s.report.truncated_share, (double)cuts / (GROUPS * K), 1e-15);
    assert_true(s.report.stale_token_share == 0);
    assert_true(s.report.reward_mean == plain.report.reward_mean);
    assert_true(s.report.kl_reference == plain.report.kl_reference); // of all that was drawn
    stage_close(&plain);
    stage_close(&s);
}

/* The place of sequence s in the share. */
static size_t place_of(const struct round_part *part, size_t s)
{
    size_t i = 0;
    while (part->member[i] != s)
        i++;
    return i;
}

/* The round begins with version 40: of 36 to 41 and a limit of 3, 36 alone is too old. */
static void tokens_over_the_limit_train_nothing(void **)
{
    static const uint64_t versions[] = {36, 37, 41, 36};
    struct staged s;
    masked_round(&s, "objective: rloo, max_token_lag: 3", "rloo");
    const size_t i = make_old(&s, versions);
    cut(&s, i); // which masks nothing here
    SCOPED(round_part) part = share_of(&s);
    const struct columns *columns = part->batch.columns;
    const size_t at = place_of(part, i), first = columns->first[at], end = columns->first[at + 1];
    for (size_t t = 0; t < columns->first[GROUPS * K]; t++) {
        const bool old = t >= first && t < end && (t < first + 2 || t >= first + 4);
        assert_true(columns->at[COLUMN_WEIGHT][t] == !old);
    }
    assert_near(s.report.stale_token_share,
                (double)(end - first - 2) / (double)columns->first[GROUPS * K], 1e-15);
    assert_int_equal(columns_counted(columns, at), end - first);
    stage_close(&s);
}

/* A turn that is not trained was never counted, old or not. */
static void turns_of_others_stay_out_of_the_divisors(void **)
{
    static const uint64_t versions[] = {30, 30, 40, 40};
    struct staged s;
    masked_round(&s, "objective: rloo, max_token_lag: 3, mask_truncated_completions: true", "rloo");
    const size_t i = make_old(&s, versions);
    struct completion *c = &s.bench.group[i / K]->completion[i % K];
    c->turn = mem_grow(c->turn, 2, sizeof *c->turn);
    c->turns = 2;
    c->turn[1] = c->turn[0];
    c->turn[1].first_token = 2;
    c->turn[0].trained = false;
    SCOPED(round_part) part = share_of(&s);
    const struct columns *columns = part->batch.columns;
    assert_int_equal(columns_counted(columns, place_of(part, i)), c->tokens - 2);
    assert_int_equal(columns_tokens(columns, place_of(part, i)), c->tokens - 3);
    assert_near(s.report.stale_token_share, 1.0 / (double)(columns->first[GROUPS * K] - 2), 1e-15);
    stage_close(&s);
}

/* Figures of the round are means over the updates that have them. */
static void an_update_of_masked_tokens_has_no_figures(void **)
{
    struct staged s;
    masked_round(&s, "objective: rloo, updates_per_round: 2, mask_truncated_completions: true",
                 "rloo");
    run_before(&s, "updates");
    SCOPED(round_part) first = round_batch_part(s.run.batch, 0, 2, 1);
    for (size_t i = 0; i < first->batch.sequences; i++)
        cut(&s, first->member[i]);
    round_run_done(&s.run);
    assert_ok(stages_run(&s.run));
    assert_true(s.report.truncated_share == 0.5);
    assert_true(isfinite(s.report.figures.clip_frac) && isfinite(s.report.figures.ess));
    assert_true(s.report.grad_norm > 0 && s.report.entropy > 0);
    stage_close(&s);
}

/* Where all is cut off nothing is learned: of completions, and of pairs. */
static void a_round_of_cut_completions_changes_no_weight(void **)
{
    static const char *const objectives[] = {"rloo", "online_dpo", "sft"};
    for (size_t o = 0; o < 3; o++)
        for (int masks = 0; masks < 2; masks++) {
            struct staged s;
            SCOPED_MEM char *keys = mem_printf("objective: rloo, mask_truncated_completions: %s",
                                               masks ? "true" : "false");
            masked_round(&s, keys, objectives[o]);
            for (size_t i = 0; i < GROUPS * K; i++)
                cut(&s, i);
            SCOPED_MEM bf16 *before = flat_of(s.bench.model);
            assert_ok(stages_run(&s.run));
            SCOPED_MEM bf16 *after = flat_of(s.bench.model);
            const size_t bytes = s.bench.model->params->layout->elements * sizeof *after;
            assert_int_equal(memcmp(before, after, bytes) == 0, masks);
            assert_true((s.report.grad_norm == 0) == masks);
            if (o == 1)
                assert_true((s.report.figures.pairs > 0) == !masks);
            assert_true(s.report.truncated_share == 1);
            stage_close(&s);
        }
}

TESTS(cmocka_unit_test(nothing_is_masked_unless_asked),
      cmocka_unit_test(cut_completions_train_nothing_and_still_count),
      cmocka_unit_test(tokens_over_the_limit_train_nothing),
      cmocka_unit_test(turns_of_others_stay_out_of_the_divisors),
      cmocka_unit_test(an_update_of_masked_tokens_has_no_figures),
      cmocka_unit_test(a_round_of_cut_completions_changes_no_weight))
