/* The reference of an adapter is the model without it: the bits that a rewarder would send of the
 * same directory, of all sequences or of pairs alone. Afterwards the adapter counts again. */
#include "learner/round/referring.h"
#include "model/adapter.h"
#include "model/likelihood.h"
#include "unit/learner/round_kit.h"
#include <math.h>

struct referred {
    struct recipe *recipe;
    struct backend *be;
    struct model *base, *model; // model: the same with an adapter that has been trained
    struct trainees trainees;
    struct step *step;
    struct objective objective;
    struct objective_config settings;
    struct group *group[GROUPS];
    struct round_group place[GROUPS];
    struct round round;
    struct round_batch *batch;
};

/* Every value drawn, B's too. */
static void draw_adapter(struct model *model)
{
    const struct lora lora = {.r = 4, .alpha = 8, .roles = 1U << PARAM_Q | 1U << PARAM_DOWN};
    const struct rng rng = rng_keyed(9, RNG_TEST, 0, 0);
    assert_ok(adapter_empty(model, "base", &lora));
    const size_t elements = model->adapter->params->layout->elements;
    SCOPED_MEM bf16 *flat = mem_array(elements, sizeof *flat);
    for (size_t i = 0; i < elements; i++)
        flat[i] = bf16_from_float((float)(0.4 * rng_uniform(&rng, i) - 0.2));
    assert_ok(model_put(model->adapter, flat, NULL));
}

static void open_batch(struct referred *r)
{
    for (size_t g = 0; g < GROUPS; g++)
        r->group[g] = kit_random_group(g, 40);
    set_rewards(r->group[1], 1); // no pair
    r->round = (struct round){
        .updates = 1, .round = 20, .first_version = 40, .groups = GROUPS, .group = r->place};
    const struct round_config config = {.objective = &r->objective,
                                        .settings = &r->settings,
                                        .temperature = 0.8f,
                                        .model = r->model};
    r->batch = round_batch_new(&r->round, r->group, &config);
}

static void start(struct referred *r, const char *objective)
{
    SCOPED_MEM char *learner = mem_printf("objective: %s", objective);
    *r = (struct referred){.recipe = kit_recipe(learner, NULL), .be = tiny_backend(1)};
    const struct optimizer_config optimizer = OPTIMIZER_DEFAULTS;
    const struct model_config config = tiny_config(true);
    r->objective = *objective_find(objective);
    r->settings = r->objective.row.defaults;
    assert_ok(model_new(r->be, &config, 3, &r->base));
    assert_ok(model_new(r->be, &config, 3, &r->model));
    draw_adapter(r->model);
    assert_ok(trainees_add(&r->trainees, TRAINEE_POLICY, r->model, &optimizer, NULL));
    const struct step_config step = {.objective = &r->objective,
                                     .settings = r->settings,
                                     .schedule = {.lr = 1e-3},
                                     .micro_tokens = 64,
                                     .longest = 32,
                                     .completions = K};
    assert_ok(step_new(trainees_first(&r->trainees), &step, &r->step));
    open_batch(r);
}

static void shut(struct referred *r)
{
    round_batch_free(r->batch);
    for (size_t g = 0; g < GROUPS; g++)
        group_free(r->group[g]);
    step_free(r->step);
    trainees_done(&r->trainees);
    model_free(r->base);
    backend_free(r->be);
    recipe_free(r->recipe);
}

/* As the rewarder's stage computes it: a model that was loaded by itself, in other batches. */
static void assert_reference(const struct referred *r, size_t s)
{
    SCOPED(likelihood) likelihood = NULL;
    float want[16];
    const struct columns *columns = r->batch->columns;
    assert_ok(likelihood_new(r->base, 32, 32, &likelihood));
    assert_ok(likelihood_run(likelihood, &r->batch->sequence[s], 1, 1 / 0.8f, want));
    const double *got = columns->at[COLUMN_REFERENCE_LOGP] + columns->first[s];
    for (size_t t = 0; t < columns->first[s + 1] - columns->first[s]; t++)
        assert_true(got[t] == (double)want[t]);
}

static void every_sequence_has_the_base_s(void **)
{
    struct referred r;
    start(&r, "grpo");
    const double before = r.batch->columns->at[COLUMN_REFERENCE_LOGP][0]; // the group's own
    assert_ok(referring_fill(r.step, r.model, r.recipe, r.batch));
    assert_false(r.model->adapter_off);
    assert_true(before != r.batch->columns->at[COLUMN_REFERENCE_LOGP][0]);
    for (size_t s = 0; s < GROUPS * K; s++)
        assert_reference(&r, s);
    shut(&r);
}

static void of_pairs_the_two_alone(void **)
{
    struct referred r;
    start(&r, "online_dpo");
    assert_ok(referring_fill(r.step, r.model, r.recipe, r.batch));
    size_t filled = 0, chosen = 0;
    const struct columns *columns = r.batch->columns;
    for (size_t s = 0; s < GROUPS * K; s++) {
        bool is_chosen = false;
        for (size_t i = 0; i < r.batch->first_chosen[GROUPS]; i++)
            is_chosen = is_chosen || r.batch->chosen[i] == s;
        chosen += is_chosen;
        assert_int_equal(isnan(columns->at[COLUMN_REFERENCE_LOGP][columns->first[s]]), !is_chosen);
        if (!is_chosen)
            continue;
        assert_reference(&r, s);
        filled++;
    }
    assert_true(filled == chosen && filled >= 4 && filled <= 2 * (GROUPS - 1));
    shut(&r);
}

static void a_failure_leaves_the_adapter_on(void **)
{
    struct referred r;
    start(&r, "grpo");
    const uint32_t foreign = 99; // a token that the model does not have
    r.batch->sequence[2].token = &foreign;
    r.batch->sequence[2].tokens = 1;
    assert_err(ERR_INVALID, "target 99", referring_fill(r.step, r.model, r.recipe, r.batch));
    assert_false(r.model->adapter_off);
    shut(&r);
}

static void it_is_wanted_where_no_rewarder_refers(void **)
{
    static const struct {
        const char *text;
        bool wanted;
    } cases[] = {{"lora: {r: 4}\nlearner: {kl: {coef: 0.1}}", true},
                 {"lora: {r: 4}\nlearner: {kl: {coef: 0.1}}\nrewarder: {reference: frozen}", false},
                 {"learner: {kl: {coef: 0.1}}\nrewarder: {reference: frozen}", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED(recipe) recipe = NULL;
        const struct recipe_source source = {0};
        assert_ok(
            recipe_parse(cases[i].text, strlen(cases[i].text), "r.yaml", ".", &source, &recipe));
        assert_int_equal(referring_is_wanted(recipe, COLUMN_BIT(COLUMN_REFERENCE_LOGP)),
                         cases[i].wanted);
        assert_false(referring_is_wanted(recipe, COLUMN_BIT(COLUMN_REWARD)));
    }
}

/* Whole rows beside the policy's own base, and beside another model of the base's weights. */
static struct columns *rows_beside(struct referred *r, struct model *reference, double *ret_logp)
{
    const struct objective *gkd = objective_find("gkd");
    const struct step_config config = {.objective = gkd,
                                       .settings = gkd->row.defaults,
                                       .micro_tokens = 64,
                                       .longest = 32,
                                       .completions = K,
                                       .reference = reference};
    SCOPED(step) step = NULL;
    const struct columns *all = r->batch->columns;
    SCOPED_MEM size_t *member = mem_array(all->sequences, sizeof *member);
    for (size_t i = 0; i < all->sequences; i++)
        member[i] = i;
    struct columns *columns = columns_gather(all, member, all->sequences);
    const struct step_batch batch = {.sequences = all->sequences,
                                     .sequence = r->batch->sequence,
                                     .columns = columns,
                                     .inverse_temperature = 1 / 0.8f};
    assert_ok(step_new(trainees_first(&r->trainees), &config, &step));
    assert_ok(step_columns(step, &batch));
    assert_ok(step_reference_logp(step, &batch, ret_logp));
    assert_false(r->model->adapter_off);
    return columns;
}

static void whole_rows_are_beside_the_base_s(void **)
{
    enum { MOST = GROUPS * K * 12 };
    struct referred r;
    double logp[2][MOST], other = 0;
    start(&r, "rloo");
    const size_t tokens = r.batch->columns->first[GROUPS * K];
    SCOPED(columns) own = rows_beside(&r, r.model, logp[0]);
    SCOPED(columns) apart = rows_beside(&r, r.base, logp[1]);
    assert_memory_equal(own->at[COLUMN_JSD], apart->at[COLUMN_JSD], tokens * sizeof(double));
    assert_memory_equal(logp[0], logp[1], tokens * sizeof(double));
    for (size_t t = 0; t < tokens; t++)
        other += own->at[COLUMN_JSD][t];
    assert_true(other > 1e-3);
    assert_ok(referring_fill(r.step, r.model, r.recipe, r.batch));
    assert_memory_equal(r.batch->columns->at[COLUMN_REFERENCE_LOGP], logp[0],
                        tokens * sizeof(double));
    shut(&r);
}

TESTS(cmocka_unit_test(whole_rows_are_beside_the_base_s),
      cmocka_unit_test(every_sequence_has_the_base_s), cmocka_unit_test(of_pairs_the_two_alone),
      cmocka_unit_test(a_failure_leaves_the_adapter_on),
      cmocka_unit_test(it_is_wanted_where_no_rewarder_refers))
