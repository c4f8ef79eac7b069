/* Whole rounds of PPO against TRL's trainer and PyTorch: rewards of tokens, advantages, targets,
 * and each update's losses, shares clipped and slopes. Where a completion ends early TRL pays the
 * score one step behind its end, by a formula that is held here. */
#include "base/json.h"
#include "base/scoped.h"
#include "rl/advantages/gae.h"
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
    const json_t *golden;     // of the case
    size_t tokens, sequences; // at most, of each completion
    size_t length[MOST];
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

static void assert_close(const struct scene *s, const char *name, double is, double wanted)
{
    if (!(fabs(is - wanted) <= s->near * fmax(1, fabs(wanted))))
        fail_msg("%s is %.17g and not %.17g", name, is, wanted);
}

static void assert_number(const struct scene *s, const char *name, const json_t *of, double is)
{
    assert_close(s, name, is, number(of, name));
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

/* Of the sequences `member` (NULL: of all), rows of so many tokens as a completion has at most: the
 * tokens that each has. */
static void read_tokens(const struct scene *s, const json_t *of, const char *name,
                        const size_t *member, size_t count, double *ret)
{
    double all[MOST];
    read_numbers(of, name, all, count * s->tokens);
    for (size_t i = 0; i < count; i++)
        for (size_t t = 0; t < s->length[member ? member[i] : i]; t++)
            *ret++ = all[i * s->tokens + t];
}

static void assert_tokens(const struct scene *s, const char *name, const json_t *of,
                          const size_t *member, const struct columns *columns, const double *is)
{
    double wanted[MOST];
    read_tokens(s, of, name, member, columns->sequences, wanted);
    for (size_t i = 0; i < columns->first[columns->sequences]; i++)
        assert_close(s, name, is[i], wanted[i]);
}

static void read_column(struct scene *s, const char *name, enum column column)
{
    read_tokens(s, s->golden, name, NULL, s->sequences, columns_add(s->round, column));
}

static struct scene scene_of(const json_t *file, const char *name, const json_t *golden)
{
    struct scene s = {.golden = golden,
                      .near = strncmp(name, "trl", 3) == 0 ? NEAR_TRL : NEAR,
                      .tokens = (size_t)number(file, "tokens"),
                      .sequences = (size_t)number(file, "sequences")};
    const json_t *length = json_object_get(golden, "length");
    assert_true(s.tokens * s.sequences <= MOST);
    for (size_t i = 0; i < s.sequences; i++)
        s.length[i] = length ? (size_t)json_integer_value(json_array_get(length, i)) : s.tokens;
    s.round = columns_new(s.sequences, s.length);
    read_settings(&s);
    read_column(&s, "behaviour", COLUMN_BEHAVIOUR_LOGP);
    read_column(&s, "proximal", COLUMN_PROXIMAL_LOGP);
    read_column(&s, "reference", COLUMN_REFERENCE_LOGP);
    read_column(&s, "value", COLUMN_VALUE);
    read_numbers(golden, "reward", columns_add(s.round, COLUMN_REWARD), s.sequences);
    return s;
}

static void fill_round(struct scene *s)
{
    token_reward_fill(&s->config.gae, &s->kl, s->round);
    gae_fill(&s->config.gae, s->round);
}

static void check_round(struct scene *s)
{
    const struct columns *round = s->round;
    fill_round(s);
    assert_tokens(s, "token_reward", s->golden, NULL, round, round->at[COLUMN_TOKEN_REWARD]);
    assert_tokens(s, "advantage", s->golden, NULL, round, round->at[COLUMN_TOKEN_ADVANTAGE]);
    assert_tokens(s, "returns", s->golden, NULL, round, round->at[COLUMN_RETURNS]);
}

/* Losses and slopes of one update. */
struct updated {
    size_t sequences, member[MOST];
    struct columns *columns;
    double logp_slope[MOST], value_slope[MOST];
    struct rl_figures figures;
};

static void updated_done(struct updated *u)
{
    columns_free(u->columns);
}

static void run_update(const struct scene *s, const json_t *golden, struct updated *u)
{
    const struct objective *ppo = objective_find("ppo");
    const json_t *member = json_object_get(golden, "member");
    struct rl_tally tally = {0};
    u->sequences = json_array_size(member);
    for (size_t i = 0; i < u->sequences; i++)
        u->member[i] = (size_t)json_integer_value(json_array_get(member, i));
    u->columns = columns_gather(s->round, u->member, u->sequences);
    read_tokens(s, golden, "logp", u->member, u->sequences, columns_add(u->columns, COLUMN_LOGP));
    read_tokens(s, golden, "vpred", u->member, u->sequences, columns_add(u->columns, COLUMN_VPRED));
    const struct rl_totals totals = columns_totals(u->columns);
    const struct rl_slopes slopes = {.logp = u->logp_slope, .value = u->value_slope};
    const struct range whole = {0, u->sequences};
    assert_ok(objective_grad(ppo, &s->config, u->columns, whole, &totals, &slopes, &tally));
    assert_ok(objective_value_grad(ppo, &s->config, u->columns, whole, &totals, &slopes, &tally));
    u->figures = rl_tally_figures(&tally);
}

static void check_policy(const struct scene *s, const json_t *golden, const struct updated *u)
{
    assert_number(s, "policy_loss", golden, u->figures.loss);
    assert_number(s, "clip_frac", golden, u->figures.clip_frac);
    assert_tokens(s, "logp_slope", golden, u->member, u->columns, u->logp_slope);
}

static void check_update(const struct scene *s, const json_t *golden)
{
    SCOPED_VALUE(updated) u = {0};
    run_update(s, golden, &u);
    check_policy(s, golden, &u);
    assert_number(s, "value_loss", golden, u.figures.value_loss);
    assert_number(s, "value_clip_frac", golden, u.figures.value_clip_frac);
    assert_tokens(s, "value_slope", golden, u.member, u.columns, u.value_slope);
}

static void rounds_are_those_of_trl_and_torch(void **)
{
    SCOPED_JSON json_t *file = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/ppo.json", 1 << 20, &file));
    const char *name;
    json_t *golden, *update;
    size_t u, cases = 0;
    json_object_foreach (json_object_get(file, "cases"), name, golden) {
        if (json_object_get(golden, "length"))
            continue;
        SCOPED_VALUE(scene) s = scene_of(file, name, golden);
        check_round(&s);
        json_array_foreach (json_object_get(golden, "updates"), u, update)
            check_update(&s, update);
        assert_true(u >= 2);
        cases++;
    }
    assert_int_equal(cases, 4);
}

/* ---- completions that end early */

/* TRL's next step behind sequence i, where it ends early, pays its score; else it has none. */
static bool ends_early(const struct scene *s, size_t i)
{
    return s->length[i] < s->tokens;
}

/* TRL's number of the token or step at place `at` of sequence i. */
static double theirs(const struct scene *s, const char *name, size_t i, size_t at)
{
    const json_t *all = json_object_get(s->golden, name);
    assert_int_equal(json_array_size(all), s->sequences * s->tokens);
    return json_number_value(json_array_get(all, i * s->tokens + at));
}

/* Our score lies on the last token, TRL's one step behind it, whose value is V. So TRL's advantage
 * of the last token is r + gamma V - V_last + gamma lambda (score - V). Of earlier tokens the
 * difference is less, by gamma lambda a step. */
static void check_early_sequence(const struct scene *s, size_t i)
{
    const struct gae_config *gae = &s->config.gae;
    const double score = s->round->at[COLUMN_REWARD][i];
    const size_t first = s->round->first[i], length = s->length[i];
    const bool early = ends_early(s, i);
    const double behind = early ? theirs(s, "value", i, length) : 0;
    double difference =
        early ? score - gae->gamma * behind - gae->gamma * gae->lambda * (score - behind) : 0;
    if (early)
        assert_close(s, "returns behind", theirs(s, "returns", i, length), score);
    for (size_t t = length; t-- > 0; difference *= gae->gamma * gae->lambda) {
        const bool last = early && t + 1 == length;
        assert_close(s, "token_reward", s->round->at[COLUMN_TOKEN_REWARD][first + t],
                     theirs(s, "token_reward", i, t) + (last ? score : 0));
        assert_close(s, "returns", s->round->at[COLUMN_RETURNS][first + t],
                     theirs(s, "returns", i, t) + difference);
    }
}

/* The part of the steps behind early ends in the sum of TRL's value losses; *ret_steps: how many
 * steps. */
static double loss_behind(const struct scene *s, const json_t *golden, const struct updated *u,
                          size_t *ret_steps)
{
    double vpred[MOST], sum = 0;
    *ret_steps = 0;
    read_numbers(golden, "vpred", vpred, u->sequences * s->tokens);
    for (size_t i = 0; i < u->sequences; i++) {
        const size_t member = u->member[i], length = s->length[member];
        if (!ends_early(s, member))
            continue;
        const double value = theirs(s, "value", member, length), clip = s->config.value.clip,
                     score = s->round->at[COLUMN_REWARD][member],
                     is = vpred[i * s->tokens + length],
                     held = fmin(fmax(is, value - clip), value + clip);
        sum += 0.5 * fmax((is - score) * (is - score), (held - score) * (held - score));
        ++*ret_steps;
    }
    return sum;
}

/* With gamma and lambda 1: the policy's update is TRL's, and the critic's has no further steps. */
static void check_early_update(const struct scene *s, const json_t *golden)
{
    SCOPED_VALUE(updated) u = {0};
    double wanted[MOST];
    size_t steps;
    run_update(s, golden, &u);
    check_policy(s, golden, &u);
    const double behind = loss_behind(s, golden, &u, &steps),
                 tokens = (double)u.columns->first[u.sequences], all = tokens + (double)steps;
    assert_close(s, "value_loss", u.figures.value_loss * tokens + behind,
                 number(golden, "value_loss") * all);
    read_tokens(s, golden, "value_slope", u.member, u.sequences, wanted);
    for (size_t t = 0; t < u.columns->first[u.sequences]; t++)
        assert_close(s, "value_slope", u.value_slope[t] * tokens, wanted[t] * all);
}

static void an_early_end_differs_from_trl_by_a_step(void **)
{
    SCOPED_JSON json_t *file = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/ppo.json", 1 << 20, &file));
    const char *name;
    json_t *golden, *update;
    size_t u, cases = 0, alike = 0;
    json_object_foreach (json_object_get(file, "cases"), name, golden) {
        if (!json_object_get(golden, "length"))
            continue;
        SCOPED_VALUE(scene) s = scene_of(file, name, golden);
        const struct columns *round = s.round;
        fill_round(&s);
        for (size_t i = 0; i < s.sequences; i++)
            check_early_sequence(&s, i);
        cases++;
        if (s.config.gae.gamma * s.config.gae.lambda != 1)
            continue;
        alike++;
        assert_tokens(&s, "advantage", golden, NULL, round, round->at[COLUMN_TOKEN_ADVANTAGE]);
        json_array_foreach (json_object_get(golden, "updates"), u, update)
            check_early_update(&s, update);
    }
    assert_true(cases == 2 && alike == 1);
}

/* ---- figures */

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
      cmocka_unit_test(an_early_end_differs_from_trl_by_a_step),
      cmocka_unit_test(figures_tell_of_the_lag),
      cmocka_unit_test(explained_variance_is_of_the_targets))
