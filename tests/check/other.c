/* The rest of a file: scans of advantages, the critic's loss, advantages of groups, the controller
 * of a KL coefficient. */
#include "base/mem.h"
#include "check/check.h"
#include "rl/advantages/advantage.h"
#include "rl/advantages/gae.h"
#include "rl/kl_control.h"
#include <math.h>
#include <string.h>

/* ---- pieces */

static void count(struct check_score *score, bool agrees)
{
    score->all++;
    score->agree += agrees;
}

static bool all_near(const double *is, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!check_near(is[i], want[i]))
            return false;
    return true;
}

static err_t number(const json_t *object, const char *name, const char *key, double *ret)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value) || !isfinite(json_number_value(value)))
        return err_new(ERR_INVALID, "%s.%s: a finite number is allowed", name, key);
    *ret = json_number_value(value);
    return OK;
}

/* A list of that many numbers, or the one that it says; (count) or more in ret. */
static err_t list(const json_t *object, const char *name, const char *key, size_t count,
                  double *ret)
{
    SCOPED_MEM char *where = mem_printf("%s.%s", name, key);
    return check_numbers(json_object_get(object, key), where, count, ret);
}

/* ---- scans: one sequence, by a critic's values */

enum { MOST = 65536 };

static struct columns *scan_columns(size_t tokens, const double *reward, const double *value,
                                    const double *rho)
{
    struct columns *columns = columns_new(1, &tokens);
    memcpy(columns_add(columns, COLUMN_TOKEN_REWARD), reward, tokens * sizeof *reward);
    memcpy(columns_add(columns, COLUMN_VALUE), value, tokens * sizeof *value);
    columns_add(columns, COLUMN_BEHAVIOUR_LOGP);
    double *proximal = columns_add(columns, COLUMN_PROXIMAL_LOGP);
    for (size_t t = 0; t < tokens; t++)
        proximal[t] = rho ? log(rho[t]) : 0;
    return columns;
}

static void gae_of(struct columns *columns, double gamma, double lambda, double c_bar,
                   double rho_bar)
{
    const struct gae_config config = {
        .gamma = gamma, .lambda = lambda, .c_bar = c_bar, .rho_bar = rho_bar};
    gae_fill(&config, columns);
}

static err_t check_scan(const json_t *scans, const char *key, const double *const at[3],
                        size_t tokens, struct check_score *score)
{
    struct check_args args;
    SCOPED_MEM double *want = mem_array(2 * tokens, sizeof *want);
    if (check_match("gae(g=#,lam=#)", key, &args)) {
        SCOPED(columns) columns = scan_columns(tokens, at[0], at[1], NULL);
        TRY(list(scans, "scans", key, tokens, want));
        gae_of(columns, args.number[0], args.number[1], 1, 1);
        count(score, all_near(columns->at[COLUMN_TOKEN_ADVANTAGE], want, tokens));
    } else if (check_match("vtrace(#,#,#) vs,adv", key, &args)) {
        SCOPED(columns) columns = scan_columns(tokens, at[0], at[1], at[2]);
        const json_t *both = json_object_get(scans, key);
        TRY(check_numbers(json_array_get(both, 0), key, tokens, want));
        TRY(check_numbers(json_array_get(both, 1), key, tokens, want + tokens));
        gae_of(columns, 1, 1, args.number[1], args.number[0]);
        double *advantage = columns->at[COLUMN_TOKEN_ADVANTAGE];
        for (size_t t = 0; t < tokens; t++) // the token's own weight is the loss's
            advantage[t] *= fmin(args.number[2], at[2][t]);
        count(score, all_near(columns->at[COLUMN_RETURNS], want, tokens) &&
                         all_near(advantage, want + tokens, tokens));
    } else
        count(score, false);
    return OK;
}

static err_t check_scans(const json_t *scans, struct check_score *score)
{
    static const char *const inputs[] = {"rewards", "values", "rho"};
    const size_t tokens = json_array_size(json_object_get(scans, "rewards"));
    const char *key;
    json_t *entry;
    if (tokens == 0 || tokens > MOST)
        return err_new(ERR_INVALID, "scans.rewards: 1 to %d numbers are allowed", MOST);
    SCOPED_MEM double *values = mem_array(3 * tokens, sizeof *values);
    const double *const at[] = {values, values + tokens, values + 2 * tokens};
    for (size_t i = 0; i < 3; i++)
        TRY(list(scans, "scans", inputs[i], tokens, values + i * tokens));
    for (size_t t = 0; t < tokens; t++)
        if (!(at[2][t] > 0))
            return err_new(ERR_INVALID, "scans.rho[%zu]: a number above 0 is allowed", t);
    json_object_foreach ((json_t *)scans, key, entry)
        if (strcmp(key, "rewards") != 0 && strcmp(key, "values") != 0 && strcmp(key, "rho") != 0)
            TRY(check_scan(scans, key, at, tokens, score));
    return OK;
}

/* ---- the critic's loss, of one token */

static err_t check_value(const json_t *entry, struct check_score *score)
{
    const size_t one = 1;
    const struct objective *ppo = objective_find("ppo");
    struct objective_config config = ppo->row.defaults;
    struct rl_tally tally = {0};
    double want[2], slope;
    SCOPED(columns) columns = columns_new(1, &one);
    TRY(number(entry, "value_clip", "v", columns_add(columns, COLUMN_VPRED)));
    TRY(number(entry, "value_clip", "v_old", columns_add(columns, COLUMN_VALUE)));
    TRY(number(entry, "value_clip", "R", columns_add(columns, COLUMN_RETURNS)));
    TRY(list(entry, "value_clip", "loss,dv", 2, want));
    const struct rl_totals totals = columns_totals(columns);
    config.value = (struct value_config){.coef = 1, .clip = 0.2};
    TRY(objective_value_grad(ppo, &config, columns, (struct range){0, 1}, &totals,
                             &(struct rl_slopes){.value = &slope}, &tally));
    count(score,
          check_near(rl_tally_figures(&tally).value_loss, want[0]) && check_near(slope, want[1]));
    return OK;
}

static err_t check_values(const json_t *values, struct check_score *score)
{
    if (!json_is_array(values))
        return err_new(ERR_INVALID, "value_clip: a list is allowed");
    for (size_t i = 0; i < json_array_size(values); i++)
        TRY(check_value(json_array_get(values, i), score));
    return OK;
}

/* ---- advantages of one group */

static const struct {
    const char *pattern;
    enum advantage advantage;
} estimators[] = {{"loo", ADVANTAGE_LOO},
                  {"grpo eps# unbiased std", ADVANTAGE_GROUP_Z},
                  {"drgrpo", ADVANTAGE_GROUP_MEAN},
                  {"maxrl (r-mean)/mean", ADVANTAGE_MAXRL},
                  {"V* beta=#", ADVANTAGE_SOFT_VALUE}};

/* A soft value is a number: the reward less the advantage. */
static err_t compare_estimator(const json_t *want, const char *key, enum advantage advantage,
                               const double *reward, const double *is, size_t n,
                               struct check_score *score)
{
    SCOPED_MEM double *wanted = mem_array(n, sizeof *wanted);
    if (advantage != ADVANTAGE_SOFT_VALUE) {
        TRY(check_numbers(want, key, n, wanted));
        count(score, all_near(is, wanted, n));
        return OK;
    }
    if (!json_is_number(want))
        return err_new(ERR_INVALID, "advantages.%.100s: a number is allowed", key);
    count(score, check_near(reward[0] - is[0], json_number_value(want)));
    return OK;
}

static err_t check_estimator(const json_t *advantages, const char *key, const double *reward,
                             size_t n, struct check_score *score)
{
    const struct advantage_in in = {.groups = 1, .first = (size_t[]){0, n}, .reward = reward};
    SCOPED_MEM double *is = mem_array(n, sizeof *is);
    struct check_args args;
    for (size_t i = 0; i < sizeof estimators / sizeof *estimators; i++)
        if (check_match(estimators[i].pattern, key, &args)) {
            const struct objective_config config = {.advantage = estimators[i].advantage,
                                                    .advantage_epsilon = args.number[0],
                                                    .advantage_beta = args.number[0]};
            advantage_compute(&config, &in, is);
            return compare_estimator(json_object_get(advantages, key), key, estimators[i].advantage,
                                     reward, is, n, score);
        }
    count(score, false);
    return OK;
}

static err_t check_advantages(const json_t *advantages, struct check_score *score)
{
    const size_t n = json_array_size(json_object_get(advantages, "R"));
    const char *key;
    json_t *entry;
    if (n == 0 || n > MOST)
        return err_new(ERR_INVALID, "advantages.R: 1 to %d numbers are allowed", MOST);
    SCOPED_MEM double *reward = mem_array(n, sizeof *reward);
    TRY(list(advantages, "advantages", "R", n, reward));
    json_object_foreach ((json_t *)advantages, key, entry)
        if (strcmp(key, "R") != 0)
            TRY(check_estimator(advantages, key, reward, n, score));
    return OK;
}

/* ---- the controller */

static err_t check_control(const json_t *kl, struct check_score *score)
{
    static const char *const keys[] = {"beta", "kl", "target", "n", "horizon", "next"};
    double at[6];
    for (size_t i = 0; i < 6; i++)
        TRY(number(kl, "adaptive_kl", keys[i], &at[i]));
    struct kl_control control = {.coef = at[0]};
    kl_control_update(&control, at[2], at[4], at[1], at[3]);
    count(score, check_near(control.coef, at[5]));
    return OK;
}

err_t check_other(const json_t *root, const char *name, struct check_score *ret)
{
    static const struct {
        const char *key;
        err_t (*check)(const json_t *part, struct check_score *score);
    } parts[] = {{"scans", check_scans},
                 {"value_clip", check_values},
                 {"advantages", check_advantages},
                 {"adaptive_kl", check_control}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const json_t *part = json_object_get(root, parts[i].key);
        if (part)
            TRY(err_wrap(parts[i].check(part, ret), "%s", name));
    }
    return OK;
}
