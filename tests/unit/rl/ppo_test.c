/* Whole rounds of PPO against TRL's trainer and PyTorch: rewards of tokens, advantages, targets,
 * and each update's losses, shares clipped and slopes. */
#include "base/json.h"
#include "base/scoped.h"
#include "rl/gae.h"
#include "rl/objective.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { MOST = 64 };

/* Relative to 1 where numbers are smaller. PyTorch's cases are double throughout; TRL's whitening
 * has the factor n/(n - 1) in float32, which is off by up to 6e-8. */
#define NEAR     1e-11
#define NEAR_TRL 1e-7

struct scene {
    const json_t *golden; // of the case
    size_t tokens, sequences;
    struct objective_config config;
    struct kl_cost kl;
    struct columns *round;
    double near;
};

static void scene_done(struct scene *s)
{
    columns_free(s->round);
}

static double number(const json_t *of, const char *name)
{
    const json_t *value = json_object_get(of, name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void read_numbers(const json_t *of, const char *name, double *ret, size_t count)
{
    const json_t *array = json_object_get(of, name);
    assert_int_equal(json_array_size(array), count);
    for (size_t i = 0; i < count; i++)
        ret[i] = json_number_value(json_array_get(array, i));
}

static void assert_numbers(const struct scene *s, const char *name, const json_t *of,
                           const double *is, size_t count)
{
    double wanted[MOST];
    read_numbers(of, name, wanted, count);
    for (size_t i = 0; i < count; i++)
        if (!(fabs(is[i] - wanted[i]) <= s->near * fmax(1, fabs(wanted[i]))))
            fail_msg("%s[%zu] is %.17g and not %.17g", name, i, is[i], wanted[i]);
}

static void assert_number(const struct scene *s, const char *name, const json_t *of, double is)
{
    const double wanted = number(of, name);
    if (!(fabs(is - wanted) <= s->near * fmax(1, fabs(wanted))))
        fail_msg("%s is %.17g and not %.17g", name, is, wanted);
}

static void read_settings(struct scene *s)
{
    const json_t *settings = json_object_get(s->golden, "settings");
    const double clip = number(settings, "cliprange");
    s->config = objective_find("ppo")->row.defaults;
    s->config.gae.gamma = number(settings, "gamma");
    s->config.gae.lambda = number(settings, "lambda");
    s->config.gae.c_bar = number(settings, "c_bar");
    s->config.gae.rho_bar = s->config.correction.high = number(settings, "rho_bar");
    s->config.gae.whiten_rewards = json_is_true(json_object_get(settings, "whiten_rewards"));
    s->config.gate.epsilon_low = s->config.gate.epsilon_high = clip;
    s->config.value.clip = number(settings, "cliprange_value");
    s->config.value.coef = number(settings, "vf_coef");
    s->kl = (struct kl_cost){.coef = number(settings, "kl_coef"), .logp = COLUMN_BEHAVIOUR_LOGP};
    assert_true(kl_find(json_string_value(json_object_get(settings, "kl")), &s->kl.kl));
}

static void read_column(struct scene *s, const char *name, enum column column, size_t count)
{
    read_numbers(s->golden, name, columns_add(s->round, column), count);
}

static struct scene scene_of(const json_t *file, const char *name, const json_t *golden)
{
    struct scene s = {.golden = golden,
                      .near = strncmp(name, "trl", 3) == 0 ? NEAR_TRL : NEAR,
                      .tokens = (size_t)number(file, "tokens"),
                      .sequences = (size_t)number(file, "sequences")};
    size_t length[MOST];
    const size_t all = s.tokens * s.sequences;
    assert_true(all <= MOST);
    for (size_t i = 0; i < s.sequences; i++)
        length[i] = s.tokens;
    s.round = columns_new(s.sequences, length);
    read_settings(&s);
    read_column(&s, "behaviour", COLUMN_BEHAVIOUR_LOGP, all);
    read_column(&s, "proximal", COLUMN_PROXIMAL_LOGP, all);
    read_column(&s, "reference", COLUMN_REFERENCE_LOGP, all);
    read_column(&s, "value", COLUMN_VALUE, all);
    read_column(&s, "reward", COLUMN_REWARD, s.sequences);
    return s;
}

static void check_round(struct scene *s)
{
    const size_t all = s->tokens * s->sequences;
    token_reward_fill(&s->config.gae, &s->kl, s->round);
    gae_fill(&s->config.gae, s->round);
    assert_numbers(s, "token_reward", s->golden, s->round->at[COLUMN_TOKEN_REWARD], all);
    assert_numbers(s, "advantage", s->golden, s->round->at[COLUMN_TOKEN_ADVANTAGE], all);
    assert_numbers(s, "returns", s->golden, s->round->at[COLUMN_RETURNS], all);
}

static void check_update(const struct scene *s, const json_t *golden)
{
    const struct objective *ppo = objective_find("ppo");
    const json_t *member = json_object_get(golden, "member");
    const size_t sequences = json_array_size(member), all = sequences * s->tokens;
    size_t at[MOST];
    double logp_slope[MOST], value_slope[MOST];
    struct rl_tally tally = {0};
    for (size_t i = 0; i < sequences; i++)
        at[i] = (size_t)json_integer_value(json_array_get(member, i));
    SCOPED(columns) update = columns_gather(s->round, at, sequences);
    read_numbers(golden, "logp", columns_add(update, COLUMN_LOGP), all);
    read_numbers(golden, "vpred", columns_add(update, COLUMN_VPRED), all);
    const struct rl_totals totals = columns_totals(update);
    const struct rl_slopes slopes = {.logp = logp_slope, .value = value_slope};
    const struct range whole = {0, sequences};
    assert_ok(objective_grad(ppo, &s->config, update, whole, &totals, &slopes, &tally));
    assert_ok(objective_value_grad(ppo, &s->config, update, whole, &totals, &slopes, &tally));
    const struct rl_figures figures = rl_tally_figures(&tally);
    assert_number(s, "policy_loss", golden, figures.loss);
    assert_number(s, "value_loss", golden, figures.value_loss);
    assert_number(s, "clip_frac", golden, figures.clip_frac);
    assert_number(s, "value_clip_frac", golden, figures.value_clip_frac);
    assert_numbers(s, "logp_slope", golden, logp_slope, all);
    assert_numbers(s, "value_slope", golden, value_slope, all);
}

static void rounds_are_those_of_trl_and_torch(void **)
{
    SCOPED_JSON json_t *file = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/ppo.json", 1 << 20, &file));
    const char *name;
    json_t *golden, *update;
    size_t u, cases = 0;
    json_object_foreach (json_object_get(file, "cases"), name, golden) {
        SCOPED_VALUE(scene) s = scene_of(file, name, golden);
        check_round(&s);
        json_array_foreach (json_object_get(golden, "updates"), u, update)
            check_update(&s, update);
        assert_true(u >= 2);
        cases++;
    }
    assert_int_equal(cases, 4);
}

/* What the figures say of lag: 1 at lag 0, else of w itself. */
static void figures_tell_of_the_lag(void **)
{
    const size_t tokens[] = {4};
    const double w[] = {0.4, 1, 1.5, 3};
    SCOPED(columns) update = columns_new(1, tokens);
    struct objective_config config = objective_find("ppo")->row.defaults;
    double slope[4];
    struct rl_tally tally = {0};
    config.gae.c_bar = 2;
    for (unsigned id = 0; id < COLUMNS; id++)
        if (NEEDS_OF_GAE & COLUMN_BIT(id))
            columns_add(update, id);
    columns_add(update, COLUMN_LOGP);
    for (size_t t = 0; t < 4; t++)
        update->at[COLUMN_PROXIMAL_LOGP][t] = log(w[t]);
    const struct rl_totals totals = columns_totals(update);
    assert_ok(objective_grad(objective_find("ppo"), &config, update, (struct range){0, 1}, &totals,
                             &(struct rl_slopes){.logp = slope}, &tally));
    const struct rl_figures figures = rl_tally_figures(&tally);
    assert_near(figures.lag_weight, 5.9 / 4, 1e-15);
    assert_near(figures.lag_weight_max, 3, 1e-15);
    assert_near(figures.lag_ess, 5.9 * 5.9 / (4 * (0.16 + 1 + 2.25 + 9)), 1e-15);
    assert_true(figures.lag_weight_low == 0.25 && figures.lag_weight_high == 0.25);
    assert_true(figures.rho_clip_frac == 0.5 && figures.c_clip_frac == 0.25);
}

/* A critic that is always a little too low explains all of the variance; a constant none. */
static void explained_variance_is_of_the_targets(void **)
{
    const size_t tokens[] = {4};
    for (int constant = 0; constant < 2; constant++) {
        SCOPED(columns) update = columns_new(1, tokens);
        const struct objective_config config = objective_find("ppo")->row.defaults;
        double slope[4];
        struct rl_tally tally = {0};
        columns_add(update, COLUMN_VALUE);
        columns_add(update, COLUMN_RETURNS);
        columns_add(update, COLUMN_VPRED);
        for (size_t t = 0; t < 4; t++) {
            update->at[COLUMN_RETURNS][t] = (double)t;
            update->at[COLUMN_VPRED][t] = constant ? 7 : (double)t - 0.5;
        }
        const struct rl_totals totals = columns_totals(update);
        assert_ok(objective_value_grad(objective_find("ppo"), &config, update, (struct range){0, 1},
                                       &totals, &(struct rl_slopes){.value = slope}, &tally));
        const struct rl_figures figures = rl_tally_figures(&tally);
        assert_near(figures.explained_variance, constant ? 0 : 1, 1e-14);
        assert_true(figures.returns_mean == 1.5 && figures.value_mean == (constant ? 7 : 1));
    }
}

TESTS(cmocka_unit_test(rounds_are_those_of_trl_and_torch),
      cmocka_unit_test(figures_tell_of_the_lag),
      cmocka_unit_test(explained_variance_is_of_the_targets))
