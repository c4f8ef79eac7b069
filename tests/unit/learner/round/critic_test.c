/* A critic beside the policy: a model of its own, or a head on the policy's trunk. Values, targets,
 * updates of both trainees, warm-up. */
#include "base/mem.h"
#include "learner/round/roundbatch.h"
#include "learner/round/values.h"
#include "unit/learner/stages_kit.h"
#include <math.h>

#define PPO "objective: ppo, "
static const char *const models[] = {
    PPO "critic: {model: separate, head: normal, optimizer: {lr: 1e-3}}",
    PPO "critic: {model: shared, head: normal, optimizer: {lr: 1e-3}}"};
enum { MODELS = 2 };

/* The weights of both trainees. */
struct both {
    struct digest policy, critic;
};

static struct both digests_of(const struct bench *b)
{
    return (struct both){weights_digest_of(b->model), weights_digest_of(b->critic)};
}

static bool same(const struct digest *a, const struct digest *b)
{
    return digest_equal(a, b);
}

static void assert_both(const struct both *a, const struct both *b)
{
    assert_true(same(&a->policy, &b->policy) && same(&a->critic, &b->critic));
}

/* Trains the bench's round again and again, as rounds from `first` on. */
static void run_rounds(struct bench *b, int rounds, struct round_report *ret)
{
    for (int i = 0; i < rounds; i++) {
        int made = 0;
        *ret = (struct round_report){0};
        assert_ok(updates_run(b->updates, &b->round, b->group, count_update, &made, ret));
        b->round.round++;
        b->round.first_version += b->round.updates;
        for (size_t g = 0; g < GROUPS; g++)
            b->place[g].age = b->round.round;
    }
}

static struct both weights_after(const char *learner, const char *set, int rounds,
                                 struct round_report *ret)
{
    struct bench b;
    bench_open(&b, learner, set);
    b.group[1]->completion[0].finish = FINISH_LENGTH;
    b.group[3]->completion[K - 1].finish = FINISH_LENGTH;
    run_rounds(&b, rounds, ret);
    const struct both both = digests_of(&b);
    bench_close(&b);
    return both;
}

/* ---- values */

/* Of one sequence by itself, by a workspace of its own: (tokens + 1) values. */
static void values_alone(struct bench *b, const struct completion *c, const struct group *group,
                         float *ret)
{
    const bool shared = b->recipe->learner.critic.model == RECIPE_CRITIC_SHARED;
    const int prompt = (int)group->prompt_tokens, N = prompt + (int)c->tokens;
    SCOPED(forward) fw = NULL;
    int32_t token[64], position[64], row[64];
    const struct segment all = {.count = N};
    for (int i = 0; i < N; i++) {
        token[i] = (int32_t)(i < prompt ? group->prompt_token[i] : c->token[i - prompt]);
        position[i] = i;
        row[i] = prompt - 1 + i;
    }
    assert_ok(forward_new(shared ? b->model : b->critic, 64, 8, FORWARD_NOTHING, &fw));
    assert_ok(forward_run(fw, token, position, N, &all, 1));
    assert_ok(forward_value(fw, b->critic, row, (int)c->tokens + 1, ret));
}

static void check_values(struct bench *b, const struct round_batch *batch)
{
    const double *value = batch->columns->at[COLUMN_VALUE],
                 *end = batch->columns->at[COLUMN_BOOTSTRAP_VALUE];
    for (size_t s = 0; s < GROUPS * K; s++) {
        const struct completion *c = &b->group[s / K]->completion[s % K];
        float want[64];
        values_alone(b, c, b->group[s / K], want);
        for (uint32_t t = 0; t < c->tokens; t++)
            assert_true(value[batch->columns->first[s] + t] == (double)want[t] && want[t] != 0);
        assert_true(end[s] == (s == K ? (double)want[c->tokens] : 0));
    }
}

static void fill_and_check(struct bench *b, bool shared)
{
    const struct objective *ppo = objective_find("ppo");
    struct trainee *critic = trainees_find(&b->trainees, TRAINEE_CRITIC);
    const struct step_config step_config = {.objective = ppo,
                                            .settings = ppo->row.defaults,
                                            .micro_tokens = 48,
                                            .longest = 32,
                                            .critic = critic};
    const struct round_config config = {.objective = ppo, .temperature = 0.8f, .model = b->model};
    SCOPED(step) step = NULL;
    SCOPED(round_batch) batch = round_batch_new(&b->round, b->group, &config);
    assert_ok(step_new(shared ? trainees_first(&b->trainees) : critic, &step_config, &step));
    assert_ok(values_fill(step, batch, true));
    check_values(b, batch);
}

/* To the bit, although they are computed in micro-batches that share prompts. */
static void every_token_has_its_value(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        struct bench b;
        bench_open(&b, models[m], NULL);
        b.group[1]->completion[0].finish = FINISH_LENGTH;
        fill_and_check(&b, m == 1);
        bench_close(&b);
    }
}

/* It comes before whatever reads values, and of the round's first weights. */
static void a_critic_has_a_stage(void **state)
{
    (void)state;
    struct staged s;
    stage_open(&s, "rloo");
    assert_false(stage_runs(find("value"), &s.run));
    stage_objective(&s, "ppo");
    assert_true(stage_runs(find("value"), &s.run));
    assert_true(find("value") < find("gae") && find("gae") < find("updates"));
    assert_true(find("value")->fills & COLUMN_BIT(COLUMN_BOOTSTRAP_VALUE));
    stage_close(&s);
}

/* ---- updates */

static void how_a_batch_is_cut_changes_no_bit(void **state)
{
    (void)state;
    static const char *const more[] = {"learner.micro_tokens=4096",
                                       "learner.gradient_checkpointing=true", "learner.threads=2"};
    for (int m = 0; m < MODELS; m++) {
        SCOPED_MEM char *learner = mem_printf(
            "%s, updates_per_round: 4, epochs: 2, ppo: {truncated: bootstrap}", models[m]);
        struct round_report report;
        const struct both want = weights_after(learner, NULL, 2, &report);
        for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
            const struct both got = weights_after(learner, more[i], 2, &report);
            assert_both(&want, &got);
        }
    }
}

/* With targets that stay the critic comes to explain them, and both trainees move. */
static void a_critic_learns_its_targets(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        struct bench b;
        struct round_report first, last;
        SCOPED_MEM char *learner = mem_printf(
            "%s, updates_per_round: 1, ppo: {lambda: 1.0, cliprange_value: 0}", models[m]);
        bench_open(&b, learner, "learner.optimizer.lr=1e-5");
        const struct both begun = digests_of(&b);
        run_rounds(&b, 1, &first);
        run_rounds(&b, 60, &last);
        const struct both ended = digests_of(&b);
        print_message("%s: error %.3f to %.3f, explained %.3f to %.3f\n", m ? "shared" : "separate",
                      first.value_error_lag0, last.value_error_lag0, first.explained_variance_lag0,
                      last.explained_variance_lag0);
        assert_true(last.value_error_lag0 < 0.8 * first.value_error_lag0);
        assert_true(last.explained_variance_lag0 > first.explained_variance_lag0);
        assert_true(isnan(first.value_error_lag1) && isnan(first.explained_variance_lag2));
        assert_true(last.critic_grad_norm > 0 && last.critic_lr == 1e-3);
        assert_true(last.grad_norm > 0 && last.figures.value_loss > 0);
        assert_true(!same(&begun.policy, &ended.policy) && !same(&begun.critic, &ended.critic));
        bench_close(&b);
    }
}

/* A head of zeros says 0 for every state, whatever trunk it has, and its slopes reach no trunk. So
 * the policy's first update is the same bits. */
static void a_head_of_zeros_is_the_same_on_any_trunk(void **state)
{
    (void)state;
    struct round_report report;
    const struct both a = weights_after(PPO "critic: {model: separate}", NULL, 1, &report),
                      b = weights_after(PPO "critic: {model: shared}", NULL, 1, &report);
    assert_true(same(&a.policy, &b.policy));
    const struct both c = weights_after(models[1], NULL, 1, &report),
                      d = weights_after(models[1], "learner.ppo.vf_coef=0", 1, &report);
    assert_false(same(&c.policy, &d.policy)); // slopes of the value reach the shared trunk
    assert_false(same(&c.critic, &d.critic));
}

/* Values made anew differ from the second pass on. */
static void values_may_be_of_each_pass(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        struct round_report report;
        struct both got[2][2];
        for (int passes = 1; passes <= 2; passes++)
            for (int each = 0; each < 2; each++) {
                SCOPED_MEM char *learner = mem_printf(
                    PPO
                    "updates_per_round: %d, epochs: %d, critic: {model: %s, head: normal, values: "
                    "%s}",
                    2 * passes, passes, m ? "shared" : "separate", each ? "epoch" : "round");
                got[passes - 1][each] = weights_after(learner, NULL, 1, &report);
            }
        assert_both(&got[0][0], &got[0][1]);
        assert_false(same(&got[1][0].policy, &got[1][1].policy));
        assert_false(same(&got[1][0].critic, &got[1][1].critic));
    }
}

/* ---- masks */

#define PASSES PPO "updates_per_round: 4, epochs: 2, mask_truncated_completions: "

/* Of a round in which two completions were cut off. Both have this reward. */
static struct both weights_of_cut(const char *learner, double reward)
{
    struct bench b;
    struct round_report report;
    bench_open(&b, learner, "learner.max_token_lag=3");
    for (size_t g = 1; g < GROUPS; g += 2) {
        b.group[g]->completion[0].finish = FINISH_LENGTH;
        ((double *)group_values(b.group[g], COLUMN_REWARD, 0))[0] = reward;
    }
    b.group[2]->completion[1].span[0].version = 30; // too old
    run_rounds(&b, 1, &report);
    assert_true(report.stale_token_share > 0 && report.figures.value_loss > 0);
    const struct both both = digests_of(&b);
    bench_close(&b);
    return both;
}

/* A completion that was cut off counts in the advantages of all. The critic is trained towards it
 * in no pass, neither the first nor one with targets of its own. */
static void a_critic_learns_no_masked_target(void **state)
{
    (void)state;
    for (int each = 0; each < 2; each++)
        for (int masks = 0; masks < 2; masks++) {
            SCOPED_MEM char *learner =
                mem_printf(PASSES "%s, critic: {head: normal, values: %s}",
                           masks ? "true" : "false", each ? "epoch" : "round");
            const struct both a = weights_of_cut(learner, 0), b = weights_of_cut(learner, 5);
            assert_false(same(&a.policy, &b.policy));
            assert_true(same(&a.critic, &b.critic) == masks);
        }
}

/* A critic that does not move has the same values in each pass. So targets and advantages made anew
 * are the same: masked tokens stay in them, as in those of the first pass. */
static void masks_change_no_target_made_anew(void **state)
{
    (void)state;
    struct both got[2];
    for (int each = 0; each < 2; each++) {
        SCOPED_MEM char *learner =
            mem_printf(PASSES "true, critic: {head: normal, values: %s, optimizer: {lr: 1e-30}}",
                       each ? "epoch" : "round");
        got[each] = weights_of_cut(learner, 5);
    }
    assert_both(&got[0], &got[1]);
}

/* ---- warm-up */

/* Rounds 20 and 21 are within it. */
static void a_warm_up_trains_the_critic_alone(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        struct bench b;
        struct round_report report;
        const char *kind = m ? "shared" : "separate";
        SCOPED_MEM char *learner = mem_printf(
            PPO "updates_per_round: 2, optimizer: {warmup: 4}, "
                "critic: {model: %s, head: normal, warmup_rounds: 22, optimizer: {warmup: 4}}",
            kind);
        bench_open(&b, learner, NULL);
        const struct trainee *policy = trainees_first(&b.trainees),
                             *critic = trainees_find(&b.trainees, TRAINEE_CRITIC);
        struct both before = digests_of(&b);
        for (int round = 0; round < 2; round++) {
            run_rounds(&b, 1, &report);
            const struct both now = digests_of(&b);
            assert_true(same(&before.policy, &now.policy));
            assert_false(same(&before.critic, &now.critic));
            assert_int_equal(optimizer_steps(policy->optimizer), 0);
            assert_int_equal(optimizer_steps(critic->optimizer), 2 * (round + 1));
            assert_true(isnan(report.lr) && isnan(report.grad_norm) && isnan(report.figures.loss));
            assert_true(report.critic_grad_norm > 0 && report.figures.value_loss > 0);
            assert_true(report.tokens_trained > 0);
            before = now;
        }
        run_rounds(&b, 1, &report);
        const struct both after = digests_of(&b);
        assert_false(same(&before.policy, &after.policy));
        assert_int_equal(optimizer_steps(policy->optimizer), 2);
        assert_int_equal(optimizer_steps(critic->optimizer), 6);
        assert_near(report.lr, 1e-3 * 2 / 4, 1e-12); // each schedule counts its own steps
        assert_near(report.critic_lr, 3e-4, 1e-12);
        bench_close(&b);
    }
}

TESTS(cmocka_unit_test(every_token_has_its_value), cmocka_unit_test(a_critic_has_a_stage),
      cmocka_unit_test(how_a_batch_is_cut_changes_no_bit),
      cmocka_unit_test(a_critic_learns_its_targets),
      cmocka_unit_test(a_head_of_zeros_is_the_same_on_any_trunk),
      cmocka_unit_test(values_may_be_of_each_pass),
      cmocka_unit_test(a_critic_learns_no_masked_target),
      cmocka_unit_test(masks_change_no_target_made_anew),
      cmocka_unit_test(a_warm_up_trains_the_critic_alone))
