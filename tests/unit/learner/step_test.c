/* More targets than logits are held at once: a micro-batch is walked in several stretches, and one sequence is longer than a
 * stretch. Cut so small that each micro-batch is one stretch, the same bits. */
#include "learner/round/step.h"
#include "unit/model/tiny.h"
#include <math.h>

enum { SEQUENCES = 60, LONG = 17, POSITIONS = 800, TARGETS_MAX = 4096, UPDATES = 2 };

static uint32_t tokens_of[SEQUENCES][POSITIONS];
static struct sequence sequences[SEQUENCES];
static double advantage[SEQUENCES];
static float behaviour[TARGETS_MAX], reference[TARGETS_MAX];

/* Most have 10 to 39 targets, one has 700. Returns how many there are in all. */
static int make_sequences(int V)
{
    const struct rng rng = rng_keyed(9, RNG_TEST, 0, 0);
    int targets = 0;
    for (int s = 0; s < SEQUENCES; s++) {
        const int prompt = 1 + s % 5,
                  count = s == LONG ? 700 : 10 + (int)rng_below(&rng, (uint64_t)s, 30);
        for (int i = 0; i < prompt + count; i++)
            tokens_of[s][i] =
                (uint32_t)rng_below(&rng, (uint64_t)(1000 * (s + 1) + i), (uint64_t)V);
        sequences[s] = (struct sequence){.prompt = tokens_of[s],
                                         .token = tokens_of[s] + prompt,
                                         .prompt_tokens = prompt,
                                         .tokens = count,
                                         .context = prompt};
        advantage[s] = rng_uniform(&rng, (uint64_t)(500 + s)) - 0.5;
        targets += count;
    }
    advantage[30] = 0;
    for (int t = 0; t < targets; t++)
        reference[t] = -3.0f - (float)rng_uniform(&rng, (uint64_t)(100000 + t));
    return targets;
}

/* The weights after the updates; *ret_loss of the last. */
static bf16 *weights_after(const char *objective, int micro_tokens, size_t *ret_count,
                           double *ret_loss)
{
    SCOPED(backend) be = tiny_backend(2);
    SCOPED_VALUE(trainees) trainees = {0};
    struct model *model;
    SCOPED(step) step = NULL;
    const struct model_config config = config_llama(37, 64, 48, 2, 4, 2, POSITIONS, true);
    const struct objective *row = objective_find(objective);
    const struct step_config settings = {.objective = row,
                                         .settings = row->defaults,
                                         .schedule = {.lr = 1e-3},
                                         .micro_tokens = micro_tokens,
                                         .longest = POSITIONS};
    struct step_result result;
    assert_in_range(make_sequences(config.V), 2000, TARGETS_MAX);
    assert_ok(model_new(be, &config, 3, &model));
    assert_ok(trainees_add(&trainees, "policy", model, &OPTIMIZER_DEFAULTS, NULL));
    assert_ok(step_new(trainees_first(&trainees), &settings, &step));
    struct step_batch batch = {
        .sequences = SEQUENCES, .sequence = sequences, .inverse_temperature = 1.25f};
    assert_ok(step_logp(step, &batch, behaviour));
    batch.behaviour = behaviour;
    batch.advantage = advantage;
    batch.reference = reference;
    for (int i = 0; i < UPDATES; i++) {
        assert_ok(step_run(step, &batch, &result));
        assert_true(result.changed > 0);
    }
    *ret_loss = result.loss;
    *ret_count = model->params->layout->elements;
    return mem_copy(model->values, *ret_count * sizeof *model->values);
}

static void stretches_change_no_bit(void **state)
{
    static const char *const objectives[] = {"rloo", "grpo", "online_dpo"};
    (void)state;
    for (size_t i = 0; i < sizeof objectives / sizeof *objectives; i++) {
        size_t count;
        double cut_loss, whole_loss;
        SCOPED_MEM bf16 *cut = weights_after(objectives[i], 1, &count, &cut_loss);
        SCOPED_MEM bf16 *whole = weights_after(objectives[i], 1 << 14, &count, &whole_loss);
        assert_memory_equal(cut, whole, count * sizeof *cut);
        assert_true(fabs(cut_loss - whole_loss) < 1e-12);
    }
}

TESTS(cmocka_unit_test(stretches_change_no_bit))
