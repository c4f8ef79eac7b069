#include "base/mem.h"
#include "base/rng.h"
#include "learner/round/roundbatch.h"
#include "learner/round/updates.h"
#include "learner/settings.h"
#include "tensor/digest.h"
#include "unit/model/tiny.h"
#include <math.h>
#include <stdlib.h>

/* A model, its optimizer, and a round made by it: groups of random tokens, stamped with the model's own log-probabilities and
 * those of a reference. */
enum { GROUPS = 6, K = 3, TARGETS_MAX = 4096 };

struct bench {
    struct recipe *recipe;
    struct backend *be;
    struct trainees trainees;
    struct model *model; // the policy's
    struct updates *updates;
    struct round round;
    struct round_group place[GROUPS];
    struct group *group[GROUPS];
};

static struct recipe *read_recipe(const char *learner, const char *set)
{
    const char *sets[] = {"learner.micro_tokens=64", "learner.optimizer.lr=1e-3", set};
    SCOPED_MEM char *text =
        mem_printf("learner: {groups: %d, %s}\n"
                   "generator: {num_generations: %d, max_tokens: 12, temperature: 0.8}\n"
                   "data: {max_prompt_tokens: 20}\n"
                   "rewarder: {reference: frozen, scorers: [{kind: exact, column: completion}]}\n",
                   GROUPS, learner, K);
    struct recipe_source source = {.sets = sets, .sets_count = set ? 3 : 2};
    struct recipe *recipe = NULL;
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &source, &recipe));
    return recipe;
}

static uint32_t *random_tokens(const struct rng *rng, uint64_t from, uint32_t count)
{
    uint32_t *token = mem_array(count, sizeof *token);
    for (uint32_t i = 0; i < count; i++)
        token[i] = (uint32_t)rng_below(rng, from + i, 37);
    return token;
}

static void make_completion(const struct rng *rng, uint32_t i, uint64_t version,
                            struct completion *ret)
{
    uint64_t at = 1000 * (i + 1);
    uint32_t tokens = 1 + (uint32_t)rng_below(rng, at, 12);
    *ret = (struct completion){.tokens = tokens,
                               .token = random_tokens(rng, at + 1, tokens),
                               .logp = mem_array(tokens, sizeof(float)),
                               .reference_logp = mem_array(tokens, sizeof(float)),
                               .spans = 1,
                               .span = mem_array(1, sizeof(struct span)),
                               .finish = FINISH_EOS,
                               .text = mem_string(""),
                               .scores = 1,
                               .score = mem_array(1, sizeof(double)),
                               .reward = (double)rng_below(rng, at + 99, 3)};
    ret->span[0].version = version;
    for (uint32_t t = 0; t < tokens; t++)
        ret->reference_logp[t] = -1.0f - 4 * (float)rng_uniform(rng, at + 200 + t);
}

static struct group *make_group(uint64_t g, uint64_t version)
{
    struct rng rng = rng_keyed(5, RNG_TEST, g, 0);
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.prompt_tokens = 1 + (uint32_t)rng_below(&rng, 0, 20),
                            .temperature = 0.8f,
                            .completions = K,
                            .completion = mem_array(K, sizeof(struct completion))};
    group->prompt_token = random_tokens(&rng, 1, group->prompt_tokens);
    for (uint32_t i = 0; i < K; i++)
        make_completion(&rng, i, version, &group->completion[i]);
    return group;
}

/* What a generator with these weights would have stamped. */
static void stamp(struct bench *b)
{
    const struct objective *rloo = objective_find("rloo");
    SCOPED(step) step = NULL;
    struct step_config config = {
        .objective = rloo, .settings = rloo->defaults, .micro_tokens = 128, .longest = 32};
    assert_ok(step_new(trainees_first(&b->trainees), &config, &step));
    for (size_t g = 0; g < GROUPS; g++)
        for (uint32_t i = 0; i < K; i++) {
            struct completion *c = &b->group[g]->completion[i];
            struct sequence s = {.prompt = b->group[g]->prompt_token,
                                 .token = c->token,
                                 .prompt_tokens = (int)b->group[g]->prompt_tokens,
                                 .tokens = (int)c->tokens,
                                 .context = (int)b->group[g]->prompt_tokens};
            struct step_batch one = {
                .sequences = 1, .sequence = &s, .inverse_temperature = 1.0f / 0.8f};
            assert_ok(step_logp(step, &one, c->logp));
        }
}

static void open_bench(struct bench *b, const char *learner, const char *set)
{
    *b = (struct bench){.recipe = read_recipe(learner, set), .be = tiny_backend(1)};
    struct model_config config = tiny_config(true);
    struct optimizer_config optimizer = settings_optimizer(&b->recipe->learner.optimizer);
    assert_ok(model_new(b->be, &config, 3, &b->model));
    assert_ok(trainees_add(&b->trainees, "policy", b->model, &optimizer, NULL));
    for (size_t g = 0; g < GROUPS; g++)
        b->group[g] = make_group(g, 40);
    for (uint32_t i = 0; i < K; i++)
        b->group[4]->completion[i].reward = 2; // no advantage: its backward may be left out
    stamp(b);
    b->round = (struct round){.updates = (uint32_t)b->recipe->learner.updates_per_round,
                              .round = 20,
                              .first_version = 40,
                              .seed = 1,
                              .groups = GROUPS,
                              .group = b->place};
    for (size_t g = 0; g < GROUPS; g++)
        b->place[g].age = 20;
    assert_ok(updates_new(b->recipe, &b->trainees, &b->updates));
}

static void close_bench(struct bench *b)
{
    for (size_t g = 0; g < GROUPS; g++)
        group_free(b->group[g]);
    updates_free(b->updates);
    trainees_done(&b->trainees);
    backend_free(b->be);
    recipe_free(b->recipe);
}

static err_t count_update(void *arg, uint32_t u)
{
    int *made = arg;
    assert_int_equal(u, *made);
    ++*made;
    return OK;
}

static struct digest weights_of(const struct bench *b)
{
    return weights_digest(b->model->values, 0, b->model->params->layout->elements);
}

static struct round_report run(struct bench *b)
{
    struct round_report report = {0};
    int made = 0;
    assert_ok(updates_run(b->updates, &b->round, b->group, count_update, &made, &report));
    assert_int_equal(made, b->round.updates);
    return report;
}

static struct digest weights_after(const char *learner, const char *set,
                                   struct round_report *report)
{
    struct bench b;
    open_bench(&b, learner, set);
    *report = run(&b);
    struct digest digest = weights_of(&b);
    close_bench(&b);
    return digest;
}

/* ---- tests */

static void how_a_batch_is_cut_changes_no_bit(void **state)
{
    (void)state;
    static const char *const learners[] = {
        "objective: rloo", "objective: rloo, updates_per_round: 4, epochs: 2",
        "objective: grpo, updates_per_round: 2, ratio_to: proximal",
        "objective: online_dpo, updates_per_round: 2",
        "objective: grpo, kl: {coef: 0.1, place: loss, estimator: k2}"};
    for (size_t i = 0; i < sizeof learners / sizeof *learners; i++) {
        struct round_report small, large;
        struct digest cut = weights_after(learners[i], NULL, &small);
        struct digest one = weights_after(learners[i], "learner.micro_tokens=16384", &large);
        assert_true(digest_equal(&cut, &one));
        assert_memory_equal(&small.grad_norm, &large.grad_norm, sizeof small.grad_norm);
        assert_near(small.loss, large.loss, 1e-12); // figures add up in another order
        struct round_report again;
        struct digest anew =
            weights_after(learners[i], "learner.gradient_checkpointing=true", &again);
        assert_true(digest_equal(&cut, &anew));
        assert_memory_equal(&small.grad_norm, &again.grad_norm, sizeof small.grad_norm);
    }
}

/* The first update sees the weights that sampled: ratio 1, no bit differs. Later ones do not. */
static void updates_of_a_round_are_counted(void **state)
{
    (void)state;
    static const char *const learners[] = {"updates_per_round: 1", "updates_per_round: 2",
                                           "updates_per_round: 4",
                                           "updates_per_round: 4, epochs: 4"};
    double tokens = 0;
    for (size_t i = 0; i < 4; i++) {
        struct round_report report;
        weights_after(learners[i], NULL, &report);
        assert_near(report.logp_differing, 0, 0);
        assert_true(report.logp_compared > 0);
        if (i == 0)
            tokens = report.tokens_trained;
        assert_near(report.tokens_trained, i == 3 ? 4 * tokens : tokens, 0);
        assert_near(report.lag_updates, 0, 0);
        if (i == 0)
            assert_near(report.ess, 1, 0);
        else
            assert_true(report.kl_behaviour != 0);
    }
}

static void lag_is_counted_in_rounds_and_updates(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "updates_per_round: 2", NULL);
    for (uint32_t i = 0; i < K; i++)
        b.group[0]->completion[i].span[0].version = 36; // two rounds of two updates ago
    b.place[0].age = 18;
    struct round_report report = run(&b);
    assert_near(report.lag_mean, 2.0 / GROUPS, 1e-15);
    assert_near(report.lag_max, 2, 0);
    assert_near(report.lag_updates, 4.0 / GROUPS, 1e-15);
    close_bench(&b);
}

/* On policy, the proximal weights are those that sampled: the same update, whichever the ratio is taken to. */
static void proximal_equals_behaviour_on_policy(void **state)
{
    (void)state;
    struct round_report a, b;
    struct digest behaviour = weights_after("objective: grpo, updates_per_round: 4", NULL, &a);
    struct digest proximal =
        weights_after("objective: grpo, updates_per_round: 4, ratio_to: proximal", NULL, &b);
    assert_true(digest_equal(&behaviour, &proximal));
    assert_near(a.clip_frac, b.clip_frac, 0);
}

static void proximal_differs_off_policy(void **state)
{
    (void)state;
    struct digest after[3];
    static const char *const learners[] = {
        "objective: grpo", "objective: grpo, ratio_to: proximal",
        "objective: grpo, ratio_to: proximal, correction: {kind: none}"};
    for (size_t i = 0; i < 3; i++) {
        struct bench b;
        open_bench(&b, learners[i], NULL);
        for (size_t g = 0; g < GROUPS; g++) // older weights had other log-probabilities
            for (uint32_t t = 0; t < b.group[g]->completion[0].tokens; t++)
                b.group[g]->completion[0].logp[t] *= 1.2f;
        struct round_report report = run(&b);
        if (i)
            assert_near(report.clip_frac, 0, 0); // the ratio is 1 in the first update
        after[i] = weights_of(&b);
        close_bench(&b);
    }
    assert_false(digest_equal(&after[0], &after[1]));
    assert_false(digest_equal(&after[1], &after[2]));
}

/* KL in the reward is the same as having been paid that much less. */
static void kl_in_the_reward(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "objective: rloo", NULL);
    double mean = 0;
    for (size_t g = 0; g < GROUPS; g++)
        for (uint32_t i = 0; i < K; i++) {
            struct completion *c = &b.group[g]->completion[i];
            double kl = 0;
            for (uint32_t t = 0; t < c->tokens; t++)
                kl += (double)c->logp[t] - (double)c->reference_logp[t];
            c->reward -= 0.5 * kl;
            mean += kl / (GROUPS * K);
        }
    struct round_report report = run(&b);
    struct digest by_hand = weights_of(&b);
    close_bench(&b);
    assert_near(report.kl_reference, mean, 1e-12);
    struct round_report paid;
    struct digest taken = weights_after(
        "objective: rloo, kl: {coef: 0.5, place: reward, estimator: k1}", NULL, &paid);
    assert_true(digest_equal(&by_hand, &taken));
    assert_near(paid.kl_reference, mean, 1e-12);
    assert_near(paid.kl_coef, 0.5, 0);
}

static void the_controller_steers_after_each_round(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "kl: {coef: 0.5, place: loss, target: 0.001, horizon: 90}", NULL);
    struct round_report first = run(&b), second = run(&b);
    assert_near(first.kl_coef, 0.5, 0);
    double share = GROUPS * K / 90.0, error = first.kl_reference > 0 ? 0.2 : -0.2;
    assert_near(second.kl_coef, 0.5 * (1 + error * share), 1e-15);
    assert_true(updates_kl_coef(b.updates) != second.kl_coef);
    close_bench(&b);
}

static void pairs_are_learnt(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "objective: online_dpo, dpo: {beta: 0.5}", "learner.optimizer.lr=1e-2");
    for (uint32_t i = 0; i < K; i++)
        b.group[2]->completion[i].reward = 1; // a tie: this group has no pair
    struct round_report first = run(&b), last = first;
    assert_true(first.pairs > 0 && first.pairs <= GROUPS - 1);
    for (int i = 0; i < 12; i++)
        last = run(&b);
    assert_true(last.loss < 0.5 * first.loss);
    assert_true(last.rewards_margin > first.rewards_margin);
    assert_near(last.rewards_accuracy, 1, 0);
    close_bench(&b);
}

static void a_round_of_ties_has_no_figures(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "objective: online_dpo", NULL);
    for (size_t g = 0; g < GROUPS; g++)
        for (uint32_t i = 0; i < K; i++)
            b.group[g]->completion[i].reward = 1;
    struct digest before = weights_of(&b);
    struct round_report report = run(&b);
    struct digest after = weights_of(&b);
    assert_true(isnan(report.loss));
    assert_near(report.pairs, 0, 0);
    assert_true(digest_equal(&before, &after)); // no gradient, no moments yet
    close_bench(&b);
}

static void a_missing_reference_is_an_error(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "objective: online_dpo", NULL);
    free(b.group[3]->completion[1].reference_logp);
    b.group[3]->completion[1].reference_logp = NULL;
    struct round_report report = {0};
    int made = 0;
    assert_err(ERR_INVALID, "no reference log-probabilities",
               updates_run(b.updates, &b.round, b.group, count_update, &made, &report));
    assert_int_equal(made, 0);
    close_bench(&b);
}

/* Every group is in each pass once, whatever the cut; passes differ in order, and draws depend on the round. */
static void minibatches_are_a_permutation(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "updates_per_round: 6, epochs: 2", NULL);
    const struct objective *rloo = objective_find("rloo");
    struct round_config config = {.settings = &rloo->defaults, .temperature = 0.8f};
    size_t order[2][GROUPS * K];
    for (uint64_t r = 20; r < 22; r++) {
        b.round.round = r;
        SCOPED(round_batch) batch = NULL;
        assert_ok(round_batch_new(&b.round, b.group, &config, &batch));
        for (uint32_t u = 0, n = 0; u < 6; u++) {
            SCOPED(round_part) part = round_batch_part(batch, u, 6, 2);
            assert_int_equal(part->batch.sequences, 2 * K);
            bool seen[GROUPS * K] = {0};
            for (size_t i = 0; i < part->batch.sequences; i++) {
                assert_false(seen[part->member[i]]);
                seen[part->member[i]] = true;
                if (u < 3)
                    order[r - 20][n++] = part->member[i];
            }
        }
        bool all[GROUPS * K] = {0};
        for (size_t i = 0; i < GROUPS * K; i++)
            all[order[r - 20][i]] = true;
        for (size_t i = 0; i < GROUPS * K; i++)
            assert_true(all[i]);
    }
    assert_true(memcmp(order[0], order[1], sizeof order[0]) != 0);
    close_bench(&b);
}

TESTS(cmocka_unit_test(how_a_batch_is_cut_changes_no_bit),
      cmocka_unit_test(updates_of_a_round_are_counted),
      cmocka_unit_test(lag_is_counted_in_rounds_and_updates),
      cmocka_unit_test(proximal_equals_behaviour_on_policy),
      cmocka_unit_test(proximal_differs_off_policy), cmocka_unit_test(kl_in_the_reward),
      cmocka_unit_test(the_controller_steers_after_each_round), cmocka_unit_test(pairs_are_learnt),
      cmocka_unit_test(a_round_of_ties_has_no_figures),
      cmocka_unit_test(a_missing_reference_is_an_error),
      cmocka_unit_test(minibatches_are_a_permutation))
