/* The stages of a round, each by itself: what it reads, which columns it leaves behind, when it
 * runs. */
#include "unit/learner/stages_kit.h"
#include <math.h>

/* ---- gather */

static void assert_column(const struct staged *s, enum column column, size_t i, const float *values)
{
    const struct columns *columns = s->run.batch->columns;
    for (size_t t = columns->first[i]; t < columns->first[i + 1]; t++) {
        const double value = columns->at[column][t];
        if (values)
            assert_true(value == (double)values[t - columns->first[i]]);
        else
            assert_true(isnan(value));
    }
}

static void a_round_has_the_columns_that_its_groups_carry(void **)
{
    struct staged s;
    stage_open(&s, "rloo");
    const uint32_t cut = 1;
    group_add_some(s.bench.group[2], COLUMN_SAMPLED_LOGP, &cut, 1);
    drop_reference(&s, 0); // before the first that has any
    drop_reference(&s, 7);
    assert_ok(run_stage(&s, "gather"));
    const struct columns *columns = s.run.batch->columns;
    assert_int_equal(columns->sequences, GROUPS * K);
    assert_int_equal(columns->units, GROUPS);
    assert_true(columns_there(columns) ==
                (COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP) | COLUMN_BIT(COLUMN_SAMPLED_LOGP) |
                 COLUMN_BIT(COLUMN_REFERENCE_LOGP) | COLUMN_BIT(COLUMN_REWARD) |
                 COLUMN_BIT(COLUMN_FRESH)));
    for (size_t i = 0; i < GROUPS * K; i++) {
        const struct completion *c = completion_of(&s, i);
        assert_int_equal(columns->first[i + 1] - columns->first[i], c->tokens);
        assert_ptr_equal(s.run.batch->sequence[i].token, c->token);
        assert_column(&s, COLUMN_BEHAVIOUR_LOGP, i, values_of(&s, COLUMN_BEHAVIOUR_LOGP, i));
        assert_column(&s, COLUMN_SAMPLED_LOGP, i, values_of(&s, COLUMN_SAMPLED_LOGP, i));
        assert_column(&s, COLUMN_REFERENCE_LOGP, i, values_of(&s, COLUMN_REFERENCE_LOGP, i));
        assert_true(columns->at[COLUMN_REWARD][i] == reward_of(&s, i));
    }
    for (size_t g = 0; g <= GROUPS; g++)
        assert_int_equal(columns->unit[g], g * K);
    stage_close(&s);
}

/* Three spans: older weights, those of the round's begin, others. With caches that mix versions
 * nothing behind older ones counts. */
static void tokens_of_the_first_weights_are_fresh(void **)
{
    for (int mix = 0; mix < 2; mix++) {
        struct staged s;
        stage_open(&s, "rloo");
        s.run.config.caches_mix = mix;
        struct completion *c = NULL;
        size_t i = 0;
        for (; !c || c->tokens < 6; i++)
            c = &s.bench.group[i / K]->completion[i % K];
        free(c->span);
        c->span = mem_array(3, sizeof *c->span);
        c->spans = 3;
        c->span[0] = (struct span){0, 39};
        c->span[1] = (struct span){2, 40};
        c->span[2] = (struct span){4, 41};
        assert_ok(run_stage(&s, "gather"));
        const struct columns *columns = s.run.batch->columns;
        for (size_t at = 0; at < columns->first[GROUPS * K]; at++) {
            const bool is = columns->at[COLUMN_FRESH][at] == 1,
                       here = at >= columns->first[i - 1] && at < columns->first[i];
            const size_t t = at - columns->first[i - 1];
            assert_true(is == (!here || (!mix && (t == 2 || t == 3))));
        }
        stage_close(&s);
    }
}

static void completions_without_a_reward_are_an_error(void **)
{
    for (int some = 0; some < 2; some++) {
        struct staged s;
        stage_open(&s, "online_dpo");
        const uint32_t one = 0;
        if (some)
            *(double *)group_add_some(s.bench.group[1], COLUMN_REWARD, &one, 1) = 1;
        else
            for (size_t g = 0; g < GROUPS; g++)
                column_list_keep(&s.bench.group[g]->columns, ORIGIN_GENERATOR);
        assert_err(ERR_INVALID, "a group has no reward", run_stage(&s, "gather"));
        stage_close(&s);
    }
}

/* What the round's first weights drew by other numerics is marked as foreign, and nothing of it as
 * fresh. */
static void a_foreign_group_has_no_fresh_token(void **)
{
    struct staged s;
    stage_open(&s, "rloo");
    s.bench.group[2]->forward = mem_string("backend=cuda kernels=1 kv=fp32");
    s.bench.group[3]->forward = mem_string("backend=cpu kernels=2 kv=fp32");
    assert_ok(run_stage(&s, "gather"));
    const struct columns *columns = s.run.batch->columns;
    for (size_t i = 0; i < columns->sequences; i++)
        for (size_t t = columns->first[i]; t < columns->first[i + 1]; t++) {
            assert_true(columns->at[COLUMN_FRESH][t] == (i / K != 2));
            assert_true(columns->at[COLUMN_FOREIGN][t] == (i / K == 2));
        }
    stage_close(&s);
}

/* ---- passes without gradient */

static void the_proximal_pass_runs_where_a_ratio_takes_it(void **)
{
    static const struct {
        const char *objective;
        bool proximal;
        uint32_t updates;
        bool runs;
    } cases[] = {{"grpo", true, 2, true}, {"grpo", true, 1, false},      {"grpo", false, 2, false},
                 {"rloo", true, 4, true}, {"online_dpo", true, 2, true}, {"sft", true, 2, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct staged s;
        stage_open(&s, cases[i].objective);
        s.run.config.proximal = cases[i].proximal;
        s.bench.round.updates = cases[i].updates;
        assert_int_equal(stage_runs(find("proximal"), &s.run), cases[i].runs);
        stage_close(&s);
    }
}

static void proximal_logp_is_that_of_the_weights_as_they_are(void **)
{
    struct staged s;
    stage_open(&s, "grpo");
    s.run.config.proximal = true;
    s.bench.round.updates = 2;
    run_before(&s, "proximal");
    assert_ok(run_stage(&s, "proximal"));
    const struct columns *columns = s.run.batch->columns;
    for (size_t i = 0; i < columns->sequences; i++) {
        double alone[32];
        const struct step_batch one = {.sequences = 1,
                                       .sequence = &s.run.batch->sequence[i],
                                       .inverse_temperature = 1.0f / 0.8f};
        assert_ok(step_logp(s.step, &one, alone));
        assert_memory_equal(alone, columns->at[COLUMN_PROXIMAL_LOGP] + columns->first[i],
                            (columns->first[i + 1] - columns->first[i]) * sizeof *alone);
    }
    stage_close(&s);
}

/* ---- rewards and advantages */

static void a_reward_pays_for_its_distance(void **)
{
    struct staged s;
    stage_open(&s, "rloo");
    assert_false(stage_runs(find("reward"), &s.run));
    s.run.config.kl_in_reward = true;
    assert_false(stage_runs(find("reward"), &s.run)); // its weight is 0
    s.run.config.kl = (struct kl_cost){0.5, KL_K1, COLUMN_BEHAVIOUR_LOGP};
    run_before(&s, "reward");
    assert_ok(run_stage(&s, "reward"));
    for (size_t i = 0; i < GROUPS * K; i++) {
        const struct completion *c = completion_of(&s, i);
        double kl = 0;
        for (uint32_t t = 0; t < c->tokens; t++)
            kl += (double)values_of(&s, COLUMN_BEHAVIOUR_LOGP, i)[t] -
                  (double)values_of(&s, COLUMN_REFERENCE_LOGP, i)[t];
        assert_near(s.run.batch->columns->at[COLUMN_REWARD][i], reward_of(&s, i) - 0.5 * kl, 1e-14);
    }
    stage_close(&s);
}

/* Whichever completion lacks it, trained or not. */
static void a_reward_that_cannot_pay_is_an_error(void **)
{
    for (int all = 0; all < 2; all++) {
        struct staged s;
        stage_open(&s, "online_dpo");
        s.run.config.kl_in_reward = true;
        s.run.config.kl = (struct kl_cost){0.5, KL_K1, COLUMN_BEHAVIOUR_LOGP};
        for (size_t i = all ? 0 : 10; i < (all ? GROUPS * K : 11); i++)
            drop_reference(&s, i);
        run_before(&s, "reward");
        assert_err(ERR_INVALID,
                   "a KL term in the reward needs: was it scored by a rewarder without "
                   "rewarder.reference: frozen",
                   run_stage(&s, "reward"));
        stage_close(&s);
    }
}

static void advantages_are_those_of_the_groups(void **)
{
    struct staged s;
    stage_open(&s, "grpo");
    run_before(&s, "advantage");
    assert_ok(run_stage(&s, "advantage"));
    for (size_t g = 0; g < GROUPS; g++) {
        double reward[K], wanted[K];
        const size_t first[] = {0, K};
        for (size_t i = 0; i < K; i++)
            reward[i] = reward_of(&s, g * K + i);
        const struct advantage_in in = {.groups = 1, .first = first, .reward = reward};
        advantage_compute(&(struct objective_config){.advantage = ADVANTAGE_GROUP_Z,
                                                     .advantage_epsilon = ADVANTAGE_EPSILON},
                          &in, wanted);
        assert_memory_equal(s.run.batch->columns->at[COLUMN_ADVANTAGE] + g * K, wanted,
                            sizeof wanted);
    }
    stage_close(&s);
    stage_open(&s, "online_dpo");
    assert_false(stage_runs(find("advantage"), &s.run));
    stage_close(&s);
}

/* ---- what is trained */

static void all_are_chosen_or_the_best_and_the_worst(void **)
{
    struct staged s;
    stage_open(&s, "rloo");
    run_before(&s, "choose");
    assert_ok(run_stage(&s, "choose"));
    for (size_t i = 0; i < GROUPS * K; i++)
        assert_int_equal(s.run.batch->chosen[i], i);
    stage_close(&s);
    stage_open(&s, "online_dpo");
    for (size_t i = 0; i < K; i++)
        set_reward(&s, 2, i, 1); // a tie
    set_reward(&s, 3, 0, 0);
    set_reward(&s, 3, 1, 2);
    set_reward(&s, 3, 2, 1);
    run_before(&s, "choose");
    assert_ok(run_stage(&s, "choose"));
    const size_t *first = s.run.batch->first_chosen;
    assert_int_equal(first[3], first[2]);
    assert_int_equal(first[4], first[3] + 2);
    assert_int_equal(s.run.batch->chosen[first[3]], 3 * K + 1);
    assert_int_equal(s.run.batch->chosen[first[3] + 1], 3 * K);
    stage_close(&s);
}

/* The sequence lacks the reference; whether the round may be trained with this objective. */
static err_t choose_without(const char *objective, double kl_coef, size_t sequence)
{
    struct staged s;
    stage_open(&s, objective);
    s.settings.kl_coef = kl_coef;
    for (size_t i = 0; i < K; i++)
        set_reward(&s, 3, i, (double)i); // pair: 2, 0
    drop_reference(&s, sequence);
    run_before(&s, "choose");
    err_t failed = run_stage(&s, "choose");
    stage_close(&s);
    return failed;
}

static void only_what_is_trained_must_have_its_columns(void **)
{
    assert_ok(choose_without("rloo", 0, 3 * K));
    assert_err(ERR_INVALID,
               "rloo needs: was it scored by a rewarder without rewarder.reference: frozen",
               choose_without("rloo", 0.1, 3 * K));
    assert_err(ERR_INVALID, "no reference_logp", choose_without("online_dpo", 0, 3 * K));
    assert_ok(choose_without("online_dpo", 0, 3 * K + 1));
    assert_err(ERR_INVALID, "which online_dpo needs", choose_without("online_dpo", 0, 3 * K + 2));
}

/* ---- an update's slice */

/* Each value of the part is that of its member in the round. */
static void assert_gathered(const struct round_batch *batch, const struct round_part *part)
{
    const struct columns *all = batch->columns, *columns = part->batch.columns;
    assert_int_equal(columns->sequences, part->batch.sequences);
    for (size_t i = 0; i < columns->sequences; i++) {
        const size_t s = part->member[i], tokens = columns->first[i + 1] - columns->first[i];
        assert_int_equal(tokens, all->first[s + 1] - all->first[s]);
        assert_ptr_equal(part->batch.sequence[i].token, batch->sequence[s].token);
        for (unsigned c = 0; c < COLUMNS; c++) {
            const bool is_token = column_row(c) && column_row(c)->unit == UNIT_TOKEN;
            if (columns->at[c])
                assert_memory_equal(columns->at[c] + (is_token ? columns->first[i] : i),
                                    all->at[c] + (is_token ? all->first[s] : s),
                                    (is_token ? tokens : 1) * sizeof(double));
        }
    }
}

/* Its units, one after the other; those without an advantage are the last. */
static void assert_units(const struct round_batch *batch, const struct round_part *part,
                         size_t each)
{
    const struct columns *columns = part->batch.columns;
    const double *advantage = batch->columns->at[COLUMN_ADVANTAGE];
    bool flat = false;
    assert_int_equal(columns->unit[columns->units], columns->sequences);
    for (size_t u = 0; u < columns->units; u++) {
        const size_t begin = columns->unit[u], end = columns->unit[u + 1];
        bool steep = !advantage;
        assert_int_equal(end - begin, each);
        for (size_t i = begin; i < end; i++) {
            steep |= advantage && advantage[part->member[i]] != 0;
            assert_int_equal(part->member[i] / K, part->member[begin] / K);
        }
        assert_false(flat && steep);
        flat = !steep;
    }
}

static void an_update_is_a_slice_of_the_round(void **)
{
    static const struct {
        const char *objective;
        enum objective_unit unit;
        size_t each;
    } cases[] = {{"rloo", OBJECTIVE_SEQUENCE, 1},
                 {"sft", OBJECTIVE_TOKEN, 1},
                 {"online_dpo", OBJECTIVE_PAIR, 2},
                 {"rloo", OBJECTIVE_GROUP, K}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct staged s;
        stage_open(&s, cases[c].objective);
        s.objective.row.unit = cases[c].unit;
        for (size_t i = 0; i < K; i++)
            set_reward(&s, 1, i, 1); // no advantage, and no pair
        run_before(&s, "updates");
        for (uint32_t u = 0; u < 6; u++) {
            SCOPED(round_part) part = round_batch_part(s.run.batch, u, 6, 2);
            const uint64_t fresh = COLUMN_BIT(COLUMN_FRESH);
            assert_true((columns_there(part->batch.columns) | fresh) ==
                        columns_there(s.run.batch->columns));
            assert_true((part->batch.columns->at[COLUMN_FRESH] != NULL) == (u == 0));
            assert_true(part->batch.sequences > 0);
            assert_gathered(s.run.batch, part);
            assert_units(s.run.batch, part, cases[c].each);
        }
        stage_close(&s);
    }
}

/* ---- updates and report */

static void updates_are_made_and_their_figures_averaged(void **)
{
    struct staged s;
    stage_open(&s, "rloo");
    s.bench.round.updates = 3;
    run_before(&s, "updates");
    SCOPED_MEM bf16 *before = flat_of(s.bench.model);
    assert_ok(run_stage(&s, "updates"));
    assert_int_equal(s.made, 3);
    SCOPED_MEM bf16 *after = flat_of(s.bench.model);
    assert_true(memcmp(before, after, s.bench.model->params->layout->elements * sizeof *before) !=
                0);
    assert_true(s.report.grad_norm > 0 && s.report.entropy > 0 &&
                s.report.entropy < log(37) + 1e-6);
    assert_true(s.report.figures.ess > 0 && s.report.figures.ess <= 1);
    assert_true(s.report.figures.pairs == 0 && isnan(s.report.figures.rewards_margin));
    assert_true(s.report.tokens_trained == (double)s.run.batch->columns->first[GROUPS * K]);
    stage_close(&s);
}

/* Groups as units: every completion of a group in one micro-batch. A policy gradient does not care,
 * to the bit. */
static void groups_as_units_train_alike(void **)
{
    struct digest after[2];
    for (int i = 0; i < 2; i++) {
        struct staged s = {0};
        bench_open(&s.bench, "objective: rloo", NULL);
        stage_objective(&s, "grpo");
        s.objective.row.unit = i ? OBJECTIVE_GROUP : OBJECTIVE_SEQUENCE;
        stage_ready(&s);
        s.bench.round.updates = 2;
        assert_ok(stages_run(&s.run));
        after[i] = bench_weights(&s.bench);
        stage_close(&s);
    }
    assert_true(digest_equal(&after[0], &after[1]));
}

static void a_report_tells_of_rewards_lag_and_distance(void **)
{
    struct staged s;
    stage_open(&s, "rloo");
    s.bench.group[0]->completion[1].span[0].version = 36;
    s.bench.place[0].age = 18;
    drop_reference(&s, 5);
    double *spread = group_add(s.bench.group[1], COLUMN_ENSEMBLE_STD, 1);
    for (int i = 0; i < K; i++) // one group alone has been scored by an ensemble
        spread[i] = i + 0.5;
    run_before(&s, "report");
    assert_ok(run_stage(&s, "report"));
    double reward = 0, kl = 0, tokens = 0;
    for (size_t i = 0; i < GROUPS * K; i++) {
        const struct completion *c = completion_of(&s, i);
        const float *logp = values_of(&s, COLUMN_BEHAVIOUR_LOGP, i),
                    *reference = values_of(&s, COLUMN_REFERENCE_LOGP, i);
        reward += reward_of(&s, i) / (GROUPS * K);
        tokens += (double)c->tokens / (GROUPS * K);
        for (uint32_t t = 0; reference && t < c->tokens; t++)
            kl += ((double)logp[t] - (double)reference[t]) / (GROUPS * K - 1);
    }
    assert_near(s.report.reward_mean, reward, 1e-14);
    assert_near(s.report.length_mean, tokens, 1e-14);
    assert_near(s.report.ensemble_std_mean, K / 2.0, 1e-14);
    assert_near(s.report.kl_reference, kl, 1e-14);
    assert_near(s.report.lag_mean, 2.0 / GROUPS, 1e-15);
    assert_near(s.report.lag_max, 2, 0);
    assert_near(s.report.lag_updates, 4.0 / GROUPS, 1e-15);
    stage_close(&s);
}

static void a_round_without_a_reference_reports_none(void **)
{
    struct staged s;
    stage_open(&s, "rloo");
    for (size_t i = 0; i < GROUPS * K; i++)
        drop_reference(&s, i);
    assert_ok(stages_run(&s.run));
    assert_null(s.run.batch->columns->at[COLUMN_REFERENCE_LOGP]);
    assert_true(isnan(s.report.kl_reference) && isnan(s.report.figures.kl_token));
    assert_true(isnan(s.report.ensemble_std_mean));
    stage_close(&s);
}

TESTS(cmocka_unit_test(a_round_has_the_columns_that_its_groups_carry),
      cmocka_unit_test(tokens_of_the_first_weights_are_fresh),
      cmocka_unit_test(completions_without_a_reward_are_an_error),
      cmocka_unit_test(a_foreign_group_has_no_fresh_token),
      cmocka_unit_test(the_proximal_pass_runs_where_a_ratio_takes_it),
      cmocka_unit_test(proximal_logp_is_that_of_the_weights_as_they_are),
      cmocka_unit_test(a_reward_pays_for_its_distance),
      cmocka_unit_test(a_reward_that_cannot_pay_is_an_error),
      cmocka_unit_test(advantages_are_those_of_the_groups),
      cmocka_unit_test(all_are_chosen_or_the_best_and_the_worst),
      cmocka_unit_test(only_what_is_trained_must_have_its_columns),
      cmocka_unit_test(an_update_is_a_slice_of_the_round),
      cmocka_unit_test(updates_are_made_and_their_figures_averaged),
      cmocka_unit_test(groups_as_units_train_alike),
      cmocka_unit_test(a_report_tells_of_rewards_lag_and_distance),
      cmocka_unit_test(a_round_without_a_reference_reports_none))
