/* KTO's z0 from completions behind the prompts of other groups: the round's loss against one that
 * is summed up here, from plain passes of the policy and of the reference. */
#include "base/mem.h"
#include "learner/round/mismatching.h"
#include "rl/preference/label.h"
#include "rl/preference/sigmoid.h"
#include "unit/learner/round_kit.h"
#include <math.h>

enum { LONGEST = 40, TARGETS_MAX = 4096 };

static void open_kto(struct bench *b, const char *micro, uint64_t seed)
{
    const char *sets[] = {micro};
    SCOPED_MEM char *text =
        mem_printf("learner: {groups: %d, reference: {kind: frozen}, objective: kto, "
                   "kto: {anchor: mismatched}}\n"
                   "generator: {num_generations: %d, max_tokens: 12, temperature: 0.8}\n"
                   "data: {max_prompt_tokens: 20}\n"
                   "rewarder: {scorers: [{kind: exact, column: completion}]}\n",
                   GROUPS, K);
    struct recipe_source source = {.sets = sets, .sets_count = 1};
    const struct model_config config = tiny_config(true);
    *b = (struct bench){.be = tiny_backend(1)};
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &source, &b->recipe));
    const struct optimizer_config optimizer = settings_optimizer(&b->recipe->learner.optimizer);
    assert_ok(model_new(b->be, &config, 3, &b->model));
    assert_ok(trainees_add(&b->trainees, "policy", b->model, &optimizer, NULL));
    assert_ok(model_new(b->be, &config, seed, &b->trainees.frozen));
    for (size_t g = 0; g < GROUPS; g++)
        b->group[g] = kit_random_group(g, 40);
    b->round = (struct round){.updates = 1,
                              .round = 20,
                              .first_version = 40,
                              .seed = 1,
                              .groups = GROUPS,
                              .group = b->place};
    for (size_t g = 0; g < GROUPS; g++)
        b->place[g].age = 20;
    assert_ok(updates_new(b->recipe, &b->trainees, &b->updates));
}

/* The completion `other` behind the prompt of the group. */
static struct sequence behind(const struct group *group, const struct completion *other)
{
    return (struct sequence){.prompt = group->prompt_token,
                             .token = other->token,
                             .prompt_tokens = (int)group->prompt_tokens,
                             .tokens = (int)other->tokens,
                             .context = (int)group->prompt_tokens};
}

/* Log-probability of one sequence by a model of this seed. */
static double logp_of(uint64_t seed, const struct sequence *s)
{
    const struct objective *sft = objective_find("sft");
    const struct model_config shape = tiny_config(true);
    const struct step_config config = {
        .objective = sft, .settings = sft->row.defaults, .micro_tokens = 64, .longest = LONGEST};
    const struct step_batch one = {
        .sequences = 1, .sequence = s, .inverse_temperature = 1.0f / 0.8f};
    double logp[TARGETS_MAX], sum = 0;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED_VALUE(trainees) trainees = {0};
    SCOPED(step) step = NULL;
    struct model *model;
    assert_ok(model_new(be, &shape, seed, &model));
    assert_ok(trainees_add(&trainees, "one", model, &OPTIMIZER_DEFAULTS, NULL));
    assert_ok(step_new(trainees_first(&trainees), &config, &step));
    assert_ok(step_logp(step, &one, logp));
    for (int t = 0; t < s->tokens; t++)
        sum += logp[t];
    return sum;
}

static double u_of(uint64_t seed, const struct group *group, const struct completion *other)
{
    const struct sequence s = behind(group, other);
    return logp_of(3, &s) - logp_of(seed, &s);
}

/* The loss that the round must have; *ret_z0. */
static double expected(const struct bench *b, uint64_t seed, double *ret_z0)
{
    const struct label_config kto = {LABEL_KTO, .beta = 0.1, .desirable = 1, .undesirable = 1};
    double u[GROUPS * K], label[GROUPS * K], n = 0, z0 = 0, loss = 0;
    for (size_t g = 0; g < GROUPS; g++) {
        const struct group *group = b->group[g], *before = b->group[(g + GROUPS - 1) % GROUPS];
        double *at = label + g * K;
        label_group(&kto, (const double *)group_values(group, COLUMN_REWARD, 0), K, at);
        for (uint32_t i = 0; i < K; i++) {
            if (at[i] == 0)
                continue;
            u[g * K + i] = u_of(seed, group, &group->completion[i]);
            z0 += u_of(seed, group, &before->completion[K - 1]);
            n++;
        }
    }
    z0 = fmax(0, z0 / n);
    for (size_t i = 0; i < GROUPS * K; i++)
        if (label[i] != 0)
            loss += (1 - sigmoid(0.1 * label[i] * (u[i] - z0))) / n;
    *ret_z0 = z0;
    return loss;
}

static void a_round_compares_with_completions_of_other_prompts(void **)
{
    int above = 0, seeds = 0;
    for (uint64_t seed = 11; seed < 31 && (above == 0 || above == seeds); seed++, seeds++) {
        struct bench b;
        double z0;
        open_kto(&b, "learner.micro_tokens=64", seed);
        const double want = expected(&b, seed, &z0);
        const struct round_report small = bench_run(&b);
        const struct digest cut = bench_weights(&b);
        bench_close(&b);
        assert_near(small.figures.loss, want, 1e-9); // sums of float log-probabilities, in order
        above += z0 > 0;
        open_kto(&b, "learner.micro_tokens=16384", seed);
        bench_run(&b);
        const struct digest one = bench_weights(&b);
        assert_true(digest_equal(&cut, &one));
        bench_close(&b);
    }
    assert_in_range(above, 1, seeds - 1); // the floor at 0 has held, and has not
}

static void a_reference_in_the_learner_is_asked_for(void **)
{
    SCOPED(recipe) recipe = NULL;
    const char text[] = "learner: {objective: kto, kto: {anchor: mismatched}}\n"
                        "rewarder: {reference: frozen}\n";
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", NULL, &recipe));
    assert_err(ERR_INVALID, "learner.kto.anchor: mismatched needs a reference in the learner",
               mismatching_check(recipe, false));
    assert_ok(mismatching_check(recipe, true));
}

TESTS(cmocka_unit_test(a_round_compares_with_completions_of_other_prompts),
      cmocka_unit_test(a_reference_in_the_learner_is_asked_for))
