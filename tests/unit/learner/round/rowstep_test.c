/* Objectives on whole rows of the vocabulary, through the step that trains them: each trains,
 * however the update is cut; distances fall, a bonus for entropy raises it. */
#include "base/mem.h"
#include "unit/learner/round_kit.h"
#include <math.h>

/* As bench_open, with a reference of other weights in the learner. */
static void open_with(struct bench *b, const char *learner, const char *micro, uint64_t seed)
{
    const char *sets[] = {micro, "learner.optimizer.lr=3e-3"};
    SCOPED_MEM char *text =
        mem_printf("learner: {groups: %d, reference: {kind: frozen}, %s}\n"
                   "generator: {num_generations: %d, max_tokens: 12, temperature: 0.8}\n"
                   "data: {max_prompt_tokens: 20}\n"
                   "rewarder: {scorers: [{kind: exact, column: completion}]}\n",
                   GROUPS, learner, K);
    struct recipe_source source = {.sets = sets, .sets_count = 2};
    const struct model_config config = tiny_config(true);
    *b = (struct bench){.be = tiny_backend(1)};
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &source, &b->recipe));
    const struct optimizer_config optimizer = settings_optimizer(&b->recipe->learner.optimizer);
    assert_ok(model_new(b->be, &config, 3, &b->model));
    assert_ok(trainees_add(&b->trainees, "policy", b->model, &optimizer, NULL));
    assert_ok(model_new(b->be, &config, seed, &b->trainees.frozen));
    for (size_t g = 0; g < GROUPS; g++)
        b->group[g] = kit_random_group(g, 40);
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

static struct digest trained(const char *learner, const char *micro, struct round_report *ret)
{
    struct bench b;
    open_with(&b, learner, micro, 11);
    const struct digest before = bench_weights(&b);
    *ret = bench_run(&b);
    const struct digest after = bench_weights(&b);
    assert_false(digest_equal(&before, &after));
    bench_close(&b);
    return after;
}

static void however_an_update_is_cut_it_has_the_same_bits(void **)
{
    static const char *const learners[] = {
        "objective: superhf",
        "objective: gkd, updates_per_round: 2",
        "objective: tdpo1",
        "objective: tdpo2, updates_per_round: 2",
        "objective: ift",
        "objective: rloo, rows: {entropy_coef: 0.1, distance: reverse}",
        "objective: online_dpo, rows: {distance: jsd, beta: 0.2, coef: 0.5}"};
    for (size_t i = 0; i < sizeof learners / sizeof *learners; i++) {
        struct round_report small, large;
        const struct digest cut = trained(learners[i], "learner.micro_tokens=64", &small),
                            one = trained(learners[i], "learner.micro_tokens=16384", &large);
        assert_true(digest_equal(&cut, &one));
        assert_memory_equal(&small.grad_norm, &large.grad_norm, sizeof small.grad_norm);
        assert_near(small.figures.loss, large.figures.loss, 1e-12);
        assert_true(isfinite(small.figures.loss) && small.grad_norm > 0);
    }
}

/* The figure of a round is that of the weights before its update. */
static double after_rounds(const char *learner, int rounds, double (*figure)(struct round_report r))
{
    struct bench b;
    struct round_report report = {0};
    open_with(&b, learner, "learner.micro_tokens=64", 11);
    for (int i = 0; i < rounds; i++)
        report = bench_run(&b);
    bench_close(&b);
    return figure(report);
}

static double distance_of(struct round_report r)
{
    return r.figures.row_distance;
}

static double entropy_of(struct round_report r)
{
    return r.entropy;
}

static void distillation_brings_rows_nearer(void **)
{
    static const char *const learners[] = {
        "objective: gkd", "objective: gkd, rows: {distance: forward}",
        "objective: gkd, rows: {distance: reverse}", "objective: superhf, rows: {coef: 20}"};
    for (size_t i = 0; i < sizeof learners / sizeof *learners; i++) {
        const double first = after_rounds(learners[i], 1, distance_of),
                     last = after_rounds(learners[i], 12, distance_of);
        assert_true(first > 0 && last < 0.8 * first);
    }
}

/* Against a model of the same weights there is nothing to learn. */
static void equal_rows_have_no_slope(void **)
{
    struct bench b;
    open_with(&b, "objective: gkd", "learner.micro_tokens=64", 3);
    const struct round_report report = bench_run(&b);
    assert_near(report.figures.row_distance, 0, 1e-6);
    assert_near(report.grad_norm, 0, 1e-6);
    bench_close(&b);
}

static void a_bonus_raises_the_entropy(void **)
{
    const double more = after_rounds("objective: rloo, rows: {entropy_coef: 1}", 12, entropy_of),
                 none = after_rounds("objective: rloo", 12, entropy_of),
                 less = after_rounds("objective: gkd, rows: {distance: none, entropy_coef: 0.5}",
                                     12, entropy_of);
    assert_true(more > none);
    assert_true(less > after_rounds("objective: gkd", 1, entropy_of));
}

/* Below the target the weight rises by the delta a round; above it falls, not below 0. */
static void the_weight_of_entropy_is_steered(void **)
{
    static const struct {
        double target, want;
    } cases[] = {{50, 0.01 + 3 * 0.004}, {0.1, 0}};
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        SCOPED_MEM char *learner =
            mem_printf("objective: rloo, rows: {entropy_coef: 0.01, entropy_target: %g, "
                       "entropy_coef_delta: 0.004}",
                       cases[i].target);
        open_with(&b, learner, "learner.micro_tokens=64", 11);
        const uint64_t workspaces = updates_workspaces(b.updates);
        for (int round = 0; round < 3; round++)
            bench_run(&b);
        assert_near(running_or(updates_running(b.updates), RUNNING_entropy_coef, NAN),
                    cases[i].want, 1e-12);
        assert_int_equal(updates_workspaces(b.updates), workspaces);
        bench_close(&b);
    }
}

/* TDPO1 and TDPO2 differ by the chosen one's slope alone, and alpha = 0 is neither. */
static void divergences_of_both_sides_count(void **)
{
    static const char *const learners[] = {"objective: tdpo1, tdpo: {alpha: 0.5}",
                                           "objective: tdpo2, tdpo: {alpha: 0.5}",
                                           "objective: tdpo2, tdpo: {alpha: 0}"};
    struct digest made[3];
    struct round_report report;
    for (size_t i = 0; i < 3; i++) {
        made[i] = trained(learners[i], "learner.micro_tokens=64", &report);
        for (size_t j = 0; j < i; j++)
            assert_false(digest_equal(&made[i], &made[j]));
    }
}

TESTS(cmocka_unit_test(however_an_update_is_cut_it_has_the_same_bits),
      cmocka_unit_test(distillation_brings_rows_nearer), cmocka_unit_test(equal_rows_have_no_slope),
      cmocka_unit_test(a_bonus_raises_the_entropy),
      cmocka_unit_test(the_weight_of_entropy_is_steered),
      cmocka_unit_test(divergences_of_both_sides_count))
