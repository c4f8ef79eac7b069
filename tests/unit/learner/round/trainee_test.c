/* What a trainee keeps from round to round: its workspace, whatever settings change, and the
 * tensors that do not train. */
#include "unit/learner/round_kit.h"

/* Every live setting that training reads, at another value than the bench's. */
static const char *const live[] = {"learner.optimizer.lr=2e-3",
                                   "learner.optimizer.weight_decay=0.1",
                                   "learner.optimizer.clip_norm=0.5",
                                   "learner.epsilon=0.05",
                                   "learner.epsilon_high=0.3",
                                   "learner.correction.high=1.5",
                                   "learner.correction.low=0.5",
                                   "learner.dpo.beta=0.3",
                                   "learner.dpo.margin=0.5",
                                   "learner.dpo.label_smoothing=0.1",
                                   "learner.kl.coef=0.2",
                                   "learner.kl.target=0.5",
                                   "learner.kl.horizon=50",
                                   "run.rounds=77"};
enum { LIVE = sizeof live / sizeof *live };

/* The updates that are there take the recipe, or others are made that have known no other. */
static void go_on_with(struct bench *b, struct recipe *recipe, bool anew)
{
    if (anew) {
        struct optimizer_config config = settings_optimizer(&recipe->learner.optimizer);
        optimizer_configure(trainees_first(&b->trainees)->optimizer, &config);
        updates_free(STEAL(b->updates));
        assert_ok(updates_new(recipe, &b->trainees, &b->updates));
    } else
        assert_ok(updates_configure(b->updates, recipe));
    recipe_free(b->recipe);
    b->recipe = recipe;
}

static struct digest weights_after_two(const char *learner, const char *set, bool anew,
                                       uint64_t workspaces)
{
    struct bench b;
    bench_open(&b, learner, NULL);
    bench_run(&b);
    go_on_with(&b, kit_recipe(learner, set), anew);
    bench_run(&b);
    assert_int_equal(updates_workspaces(b.updates), workspaces);
    struct digest digest = bench_weights(&b);
    bench_close(&b);
    return digest;
}

static void a_live_setting_keeps_the_workspace(void **)
{
    static const char *const learners[] = {
        "objective: grpo, updates_per_round: 2, ratio_to: proximal, correction: {kind: tis_token}, "
        "kl: {coef: 0.1, place: loss, estimator: k2}",
        "objective: online_dpo, updates_per_round: 2"};
    for (size_t i = 0; i < 2; i++) {
        const struct digest same = weights_after_two(learners[i], NULL, false, 1);
        int mattered = 0;
        for (size_t j = 0; j < LIVE; j++) {
            if (i == 1 && strncmp(live[j], "learner.kl.", 11) == 0)
                continue; // needs a coefficient, which pairs do not have
            const struct digest kept = weights_after_two(learners[i], live[j], false, 1),
                                anew = weights_after_two(learners[i], live[j], true, 1);
            assert_true(digest_equal(&kept, &anew));
            mattered += !digest_equal(&kept, &same);
        }
        assert_true(mattered >= 3); // each objective reads a part of them
    }
}

/* What decides memory makes another workspace, and the bits of one that began with it. */
static void another_shape_makes_another_workspace(void **)
{
    static const char *const sets[] = {"learner.micro_tokens=512",
                                       "learner.gradient_checkpointing=true",
                                       "generator.max_tokens=20", "learner.objective=online_dpo"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        const struct digest changed = weights_after_two("objective: rloo", sets[i], false, 2),
                            anew = weights_after_two("objective: rloo", sets[i], true, 1);
        assert_true(digest_equal(&changed, &anew));
    }
}

/* A tensor that does not train, through the updates. */
static void a_frozen_layer_stays_while_the_others_learn(void **)
{
    struct bench b;
    bench_open(&b, "objective: rloo, optimizer: {weight_decay: 0.1}", NULL);
    const struct layout *layout = b.model->params->layout;
    SCOPED_MEM bf16 *before = flat_of(b.model);
    for (int i = 0; i < layout->count; i++)
        if (i == 0 || strstr(layout->tensor[i].name, "layers.0."))
            trainee_freeze(trainees_first(&b.trainees), i);
    for (int i = 0; i < 5; i++)
        bench_run(&b);
    SCOPED_MEM bf16 *after = flat_of(b.model);
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *t = &layout->tensor[i];
        const bool same =
            memcmp(before + t->offset, after + t->offset, t->count * sizeof *before) == 0;
        assert_int_equal(same, i == 0 || strstr(t->name, "layers.0.") != NULL);
    }
    bench_close(&b);
}

TESTS(cmocka_unit_test(a_live_setting_keeps_the_workspace),
      cmocka_unit_test(another_shape_makes_another_workspace),
      cmocka_unit_test(a_frozen_layer_stays_while_the_others_learn))
