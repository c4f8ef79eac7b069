/* More targets than logits are held at once: a micro-batch is walked in several stretches, and one
 * sequence is longer than a stretch. Cut so small that each micro-batch is one stretch, the same
 * bits. */
#include "learner/round/step.h"
#include "unit/model/tiny.h"
#include <limits.h>
#include <math.h>

enum { SEQUENCES = 60, LONG = 17, POSITIONS = 800, TARGETS_MAX = 4096, UPDATES = 2, V = 37 };

/* Where the objective takes whole groups: of one to twenty sequences, more than share a prompt's
 * rows. */
enum { LARGEST = 20 };
static const size_t groups[] = {1, 4, 9, LARGEST, 16, 7, 3};

static uint32_t tokens_of[SEQUENCES][POSITIONS];
static struct sequence sequences[SEQUENCES];

/* Of one prompt, if the objective takes groups: `alike` is the first of them. */
static void make_sequence(const struct rng *rng, int s, int alike, struct sequence *ret)
{
    const int prompt = 1 + alike % 5,
              count = s == LONG ? 700 : 10 + (int)rng_below(rng, (uint64_t)s, 30);
    for (int i = 0; i < prompt + count; i++)
        tokens_of[s][i] = (uint32_t)rng_below(rng, (uint64_t)(1000 * (s + 1) + i), V);
    *ret = (struct sequence){.prompt = tokens_of[alike],
                             .token = tokens_of[s] + prompt,
                             .prompt_tokens = prompt,
                             .tokens = count,
                             .context = prompt};
}

/* The sequences of each unit, as the objective takes them; returns how many units there are. */
static size_t make_units(const struct objective *objective, size_t ret[SEQUENCES])
{
    if (objective->row.unit == OBJECTIVE_GROUP) {
        memcpy(ret, groups, sizeof groups);
        return sizeof groups / sizeof *groups;
    }
    const size_t each = objective->row.unit == OBJECTIVE_PAIR ? 2 : 1;
    for (size_t u = 0; u < SEQUENCES / each; u++)
        ret[u] = each;
    return SEQUENCES / each;
}

/* Most have 10 to 39 targets, one has 700. Returns columns of them. */
static struct columns *make_sequences(const struct objective *objective)
{
    size_t count_of[SEQUENCES], unit[SEQUENCES];
    double advantage[SEQUENCES];
    const struct rng rng = rng_keyed(9, RNG_TEST, 0, 0);
    const size_t units = make_units(objective, unit);
    for (size_t u = 0, s = 0; u < units; u++)
        for (size_t first = s; s < first + unit[u]; s++) {
            const bool grouped = objective->row.unit == OBJECTIVE_GROUP;
            make_sequence(&rng, (int)s, (int)(grouped ? first : s), &sequences[s]);
            advantage[s] = rng_uniform(&rng, 500 + s) - 0.5;
            count_of[s] = (size_t)sequences[s].tokens;
        }
    advantage[30] = 0;
    struct columns *columns = columns_new(SEQUENCES, count_of);
    memcpy(columns_add(columns, COLUMN_ADVANTAGE), advantage, sizeof advantage);
    double *reference = columns_add(columns, COLUMN_REFERENCE_LOGP);
    for (size_t t = 0; t < columns->first[SEQUENCES]; t++)
        reference[t] = (double)(-3.0f - (float)rng_uniform(&rng, (uint64_t)(100000 + t)));
    columns_set_units(columns, units, unit);
    return columns;
}

/* A model, and a step on it. */
struct bench {
    struct backend *be;
    struct trainees trainees;
    struct model *model;
    struct step *step;
};

static struct step_config config_for(const struct objective *objective, int micro_tokens)
{
    return (struct step_config){.objective = objective,
                                .settings = objective->row.defaults,
                                .schedule = {.lr = 1e-3},
                                .micro_tokens = micro_tokens,
                                .longest = POSITIONS,
                                .completions = LARGEST};
}

static void open_bench(const struct step_config *config, struct bench *ret)
{
    const struct model_config shape = config_default(V, 64, 48, 2, 4, 2, POSITIONS, true);
    *ret = (struct bench){.be = tiny_backend(2)};
    assert_ok(model_new(ret->be, &shape, 3, &ret->model));
    assert_ok(trainees_add(&ret->trainees, "policy", ret->model, &OPTIMIZER_DEFAULTS, NULL));
    assert_ok(step_new(trainees_first(&ret->trainees), config, &ret->step));
}

static void close_bench(struct bench *b)
{
    step_free(b->step);
    trainees_done(&b->trainees);
    backend_free(b->be);
}

static struct step_batch batch_of(struct columns *columns)
{
    return (struct step_batch){.sequences = columns->sequences,
                               .sequence = sequences,
                               .columns = columns,
                               .inverse_temperature = 1.25f};
}

/* The weights after the updates; *ret_loss of the last. */
static bf16 *weights_after(const struct objective *objective, int micro_tokens, size_t *ret_count,
                           double *ret_loss)
{
    struct bench b;
    struct step_result result;
    const struct step_config config = config_for(objective, micro_tokens);
    SCOPED(columns) columns = make_sequences(objective);
    const struct step_batch batch = batch_of(columns);
    assert_in_range(columns->first[SEQUENCES], 2000, TARGETS_MAX);
    open_bench(&config, &b);
    assert_ok(step_logp(b.step, &batch, columns_add(columns, COLUMN_BEHAVIOUR_LOGP)));
    for (int i = 0; i < UPDATES; i++) {
        assert_ok(step_run(b.step, &batch, &result));
        assert_true(result.changed > 0);
    }
    *ret_loss = result.figures.loss;
    *ret_count = b.model->params->layout->elements;
    bf16 *weights = flat_of(b.model);
    close_bench(&b);
    return weights;
}

static void assert_cut_changes_no_bit(const struct objective *objective)
{
    size_t count;
    double cut_loss, whole_loss;
    SCOPED_MEM bf16 *cut = weights_after(objective, 1, &count, &cut_loss);
    SCOPED_MEM bf16 *whole = weights_after(objective, 1 << 14, &count, &whole_loss);
    assert_memory_equal(cut, whole, count * sizeof *cut);
    assert_true(fabs(cut_loss - whole_loss) < 1e-12);
}

static void stretches_change_no_bit(void **state)
{
    static const char *const objectives[] = {"rloo", "grpo", "online_dpo"};
    (void)state;
    for (size_t i = 0; i < sizeof objectives / sizeof *objectives; i++)
        assert_cut_changes_no_bit(objective_find(objectives[i]));
}

/* Units of one to twenty sequences. */
static void groups_change_no_bit(void **)
{
    struct objective grouped = *objective_find("grpo");
    grouped.row.unit = OBJECTIVE_GROUP;
    assert_cut_changes_no_bit(&grouped);
}

/* Wherever a token is, in whichever micro-batch and stretch, the update leaves in its place what a
 * pass over all gives. */
static void each_token_has_its_own_logp(void **)
{
    static const char *const objectives[] = {"rloo", "online_dpo"};
    static const int micro[] = {1, 300, 1 << 14};
    for (size_t i = 0; i < 6; i++) {
        struct bench b;
        struct step_result result;
        const struct objective *objective = objective_find(objectives[i / 3]);
        struct step_config config = config_for(objective, micro[i % 3]);
        SCOPED(columns) columns = make_sequences(objective);
        const struct step_batch batch = batch_of(columns);
        const size_t bytes = columns->first[SEQUENCES] * sizeof(double);
        config.proximal = i < 3; // made on the way: the batch has none
        open_bench(&config, &b);
        double *behaviour = columns_add(columns, COLUMN_BEHAVIOUR_LOGP);
        assert_ok(step_logp(b.step, &batch, behaviour));
        assert_ok(step_run(b.step, &batch, &result));
        assert_memory_equal(columns->at[COLUMN_LOGP], behaviour, bytes);
        assert_int_equal(columns->at[COLUMN_PROXIMAL_LOGP] != NULL, i < 3);
        if (i < 3)
            assert_memory_equal(columns->at[COLUMN_PROXIMAL_LOGP], behaviour, bytes);
        close_bench(&b);
    }
}

/* One fresh token, then another that is not, was stamped with other bits than we compute. */
static void a_fresh_token_that_differs_is_counted(void **)
{
    struct bench b;
    const struct step_config config = config_for(objective_find("rloo"), 300);
    open_bench(&config, &b);
    for (size_t differing = 0; differing < 2; differing++) {
        struct step_result result;
        SCOPED(columns) columns = make_sequences(config.objective);
        const struct step_batch batch = batch_of(columns);
        double *behaviour = columns_add(columns, COLUMN_BEHAVIOUR_LOGP),
               *fresh = columns_add(columns, COLUMN_FRESH);
        const size_t last = columns->first[SEQUENCES] - 1;
        assert_ok(step_logp(b.step, &batch, behaviour));
        fresh[0] = fresh[700] = fresh[last] = 1;
        const size_t at = differing ? last : last - 1;
        behaviour[at] = (double)nextafterf((float)behaviour[at], -100);
        assert_ok(step_run(b.step, &batch, &result));
        assert_true(result.compared == 3 && result.differing == (double)differing);
    }
    close_bench(&b);
}

/* Rows beside a reference that is not there, units that no memory was planned for, columns that are
 * not there. */
static void what_cannot_be_trained_is_refused(void **)
{
    struct bench b;
    struct step *step;
    struct step_result result;
    struct objective grouped = *objective_find("grpo"), rows = grouped;
    const struct objective *pairs = objective_find("online_dpo");
    grouped.row.unit = OBJECTIVE_GROUP;
    rows.row.outputs |= OUTPUT_TERM(FORWARD_KL);
    struct step_config config = config_for(pairs, 300), other = config_for(&rows, 300),
                       whole = config_for(&grouped, 300);
    open_bench(&config, &b);
    assert_err(ERR_INVALID, "set learner.reference.kind",
               step_new(trainees_first(&b.trainees), &other, &step));
    SCOPED(columns) others = make_sequences(&grouped);
    const struct step_batch of_groups = batch_of(others);
    assert_err(ERR_INVALID, "a unit has 4 sequences; 2 are allowed",
               step_run(b.step, &of_groups, &result));
    other = config;
    other.longest = INT_MAX / 2 + 1;
    assert_err(ERR_INVALID, "has too many rows", step_configure(b.step, &other));
    whole.completions = INT_MAX; // of a group's sequences one is in memory at a time
    assert_ok(step_configure(b.step, &whole));
    assert_ok(step_configure(b.step, &config));
    SCOPED(columns) columns = make_sequences(pairs);
    const struct step_batch batch = batch_of(columns);
    SCOPED_MEM bf16 *before = flat_of(b.model);
    assert_err(ERR_INVALID, "behaviour_logp", step_run(b.step, &batch, &result));
    SCOPED_MEM bf16 *after = flat_of(b.model);
    assert_memory_equal(before, after, b.model->params->layout->elements * sizeof *after);
    close_bench(&b);
}

TESTS(cmocka_unit_test(stretches_change_no_bit), cmocka_unit_test(groups_change_no_bit),
      cmocka_unit_test(each_token_has_its_own_logp),
      cmocka_unit_test(a_fresh_token_that_differs_is_counted),
      cmocka_unit_test(what_cannot_be_trained_is_refused))
