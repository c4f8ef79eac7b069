/* Every row of a policy gradient, of imitation and of a critic trains rounds in process. How a
 * batch is cut changes no bit, and its settings decide its weights. */
#include "base/mem.h"
#include "unit/learner/round_kit.h"
#include <math.h>
#include <string.h>

enum { ROUNDS = 3 };

struct end {
    struct digest weights;
    struct running running;
    struct round_report report;
};

/* The kit has rewards and no scores: one scorer's are the rewards. */
static void fill_scores(struct bench *b)
{
    for (size_t g = 0; g < GROUPS; g++)
        for (uint32_t i = 0; i < K; i++)
            *(double *)group_values(b->group[g], COLUMN_SCORES, i) =
                group_value(b->group[g], COLUMN_REWARD, i);
}

/* may_rest: nothing to train is no fault. */
static struct end train_or_rest(const char *learner, const char *set, bool may_rest)
{
    struct bench b;
    struct end end;
    bench_open(&b, learner, set);
    fill_scores(&b);
    const struct digest before = bench_weights(&b);
    for (int i = 0; i < ROUNDS; i++, b.round.round++)
        end.report = bench_run(&b);
    end.weights = bench_weights(&b);
    end.running = *updates_running(b.updates);
    if (digest_equal(&before, &end.weights) && !may_rest)
        fail_msg("%s: nothing was trained", learner);
    assert_true(may_rest || (isfinite(end.report.figures.loss) && end.report.tokens_trained > 0));
    bench_close(&b);
    return end;
}

static struct end train(const char *learner, const char *set)
{
    return train_or_rest(learner, set, false);
}

/* Those that the recipe refuses, and those that want another generator, are other tests'. */
static bool is_trained_here(const struct objective_row *row)
{
    return strcmp(row->kernel, "kernel_policy") == 0 && row->data != DATA_MIXTURE &&
           row->defaults.advantage != ADVANTAGE_GREEDY;
}

static void each_row_trains_and_cuts_change_no_bit(void **)
{
    const struct objective_row *row;
    int rows = 0;
    for (size_t i = 0; (row = objective_row_at(i)); i++) {
        if (!is_trained_here(row))
            continue;
        const bool proximal = row->needs & COLUMN_BIT(COLUMN_PROXIMAL_LOGP);
        SCOPED_MEM char *learner =
            mem_printf("objective: %s, updates_per_round: %d, ratio_to: %s", row->name,
                       1 + rows % 2, proximal ? "proximal" : "behaviour");
        const struct end small = train(learner, NULL),
                         large = train(learner, "learner.micro_tokens=16384");
        if (!digest_equal(&small.weights, &large.weights))
            fail_msg("%s: the cut decides its weights", row->name);
        assert_memory_equal(&small.report.grad_norm, &large.report.grad_norm, sizeof(double));
        rows++;
    }
    assert_true(rows >= 36);
}

static void assert_decides(const char *learner, const char *set)
{
    const struct digest a = train(learner, NULL).weights,
                        b = train_or_rest(learner, set, true).weights;
    if (digest_equal(&a, &b))
        fail_msg("%s: %s has no effect", learner, set);
}

static void settings_reach_what_is_trained(void **)
{
    static const char *const cases[][2] = {
        {"objective: grpo", "learner.mask={kind: geo, low: 0.9, high: 1.05}"},
        {"objective: grpo", "learner.mask={kind: k3, high: 0.001}"},
        {"objective: grpo", "learner.mask={kind: outlier, low: 0.5, high: 1.2}"},
        {"objective: grpo", "learner.mask={kind: opsm, high: 0.001}"},
        {"objective: grpo, ratio_to: proximal", "learner.mask={kind: m2, high: 0.5}"},
        {"objective: grpo, ratio_to: proximal", "learner.correction={kind: geo_seq, high: 1.01}"},
        {"objective: grpo", "learner.behaviour_coef=0.1"},
        {"objective: grpo", "learner.nll={coef: 0.5, above: 0.5}"},
        {"objective: grpo", "learner.ess_step={rule: linear}"},
        {"objective: grpo", "learner.normalize_advantages=true"},
        {"objective: grpo", "learner.select.kind=extremes"},
        {"objective: grpo", "learner.reduction=group_length"},
        {"objective: grpo", "learner.advantage=ema"},
        {"objective: grpo", "learner.advantage=gpg"},
        {"objective: grpo, kl: {coef: 0.1}", "learner.kl.estimator=k3_unbiased"},
        {"objective: grpo, kl: {coef: 0.1}", "learner.kl.estimator=k1+"},
        {"objective: reinforce_plus_plus", "learner.kl={coef: 0.1, place: reward}"},
        {"objective: ppo, ratio_to: proximal", "learner.ppo.macro=3"},
        {"objective: ppo, ratio_to: proximal", "learner.ppo.lambda_alpha=0.3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_decides(cases[i][0], cases[i][1]);
}

/* A baseline that is kept from round to round. */
static void the_running_baseline_is_moved(void **)
{
    const struct end ema = train("objective: reinforce, advantage: ema", NULL),
                     raw = train("objective: reinforce", NULL);
    assert_true(ema.running.set[RUNNING_baseline] && !raw.running.set[RUNNING_baseline]);
}

/* The last completion of a group is compared with, and trains nothing. */
static void a_greedy_completion_is_a_baseline(void **)
{
    const struct end two = train("objective: remax", "generator.greedy_baseline=true"),
                     all = train("objective: reinforce", NULL);
    assert_true(two.report.tokens_trained > 0 &&
                two.report.tokens_trained < all.report.tokens_trained);
}

TESTS(cmocka_unit_test(each_row_trains_and_cuts_change_no_bit),
      cmocka_unit_test(settings_reach_what_is_trained),
      cmocka_unit_test(the_running_baseline_is_moved),
      cmocka_unit_test(a_greedy_completion_is_a_baseline))
