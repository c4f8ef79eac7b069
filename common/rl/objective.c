#include "rl/objective.h"
#include "rl/kernels/coupling.h"
#include "rl/kernels/kernel.h"
#include "rl/policy_check.h"
#include "rl/preference/preference.h"
#include "rl/row_check.h"
#include <math.h>
#include <string.h>

#define OBJECTIVE(name, kernel, unit, data, needs, outputs, figures, help, source, lag, ...)       \
    {{#name, help, source, lag, #kernel, unit, data, needs, outputs, figures, {__VA_ARGS__}},      \
     kernel},
static const struct objective table[] = {OBJECTIVES(OBJECTIVE)};

const struct objective *objective_at(size_t i)
{
    return i < sizeof table / sizeof *table ? &table[i] : NULL;
}

const struct objective *objective_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].row.name, name) == 0)
            return &table[i];
    return NULL;
}

/* A reward model is no policy: nothing holds it near another one's log-probabilities. */
static err_t check_reward(const struct objective *objective, const struct objective_config *config)
{
    const double center = config->reward.center;
    const struct {
        const char *name;
        double value;
    } others[] = {{"kl_coef", config->kl_coef},
                  {"behaviour_coef", config->behaviour_coef},
                  {"nll coef", config->nll.coef},
                  {"entropy coef", config->rows.entropy_coef},
                  {"distance coef", config->rows.coef}};
    if (!(center >= 0 && center <= 1e6))
        return err_new(ERR_INVALID, "reward center is %g; 0 to 1e6 is allowed", center);
    if (!(config->reward.least >= 0))
        return err_new(ERR_INVALID, "reward least is %g; 0 and above is allowed",
                       config->reward.least);
    for (size_t i = 0; objective_is_reward(&objective->row) && i < sizeof others / sizeof *others;
         i++)
        if (others[i].value != 0)
            return err_new(ERR_INVALID, "%s is %g; %s trains scores alone: 0 is allowed",
                           others[i].name, others[i].value, objective->row.name);
    return OK;
}

err_t objective_check(const struct objective *objective, const struct objective_config *config)
{
    TRY(check_reward(objective, config));
    TRY(policy_check(objective, config));
    TRY(row_config_check(config));
    return preference_check(config);
}

uint64_t objective_needs(const struct objective *objective, const struct objective_config *config)
{
    uint64_t needs = objective->row.needs & ~COLUMN_BIT(COLUMN_ADVANTAGE);
    if (!objective_has_critic(&objective->row))
        needs &= ~COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE);
    if (config->advantage > ADVANTAGE_GAE)
        needs |= COLUMN_BIT(config->advantage == ADVANTAGE_TO_GO ? COLUMN_TOKEN_ADVANTAGE
                                                                 : COLUMN_ADVANTAGE);
    if (config->reduce == REDUCE_GROUP_LENGTH)
        needs |= COLUMN_BIT(COLUMN_GROUP_TOKENS);
    if (config->nll.coef > 0)
        needs |= COLUMN_BIT(COLUMN_IMITATED);
    if (config->advantage == ADVANTAGE_GAE && config->gae.bootstrap)
        needs |= COLUMN_BIT(COLUMN_BOOTSTRAP_VALUE);
    if (objective_has_ratio(config) && config->gate.base == BASE_REFERENCE)
        needs |= NEEDS_OF_KL;
    else if (objective_has_ratio(config) || config->mask.mask != MASK_NONE ||
             config->behaviour_coef > 0 || (config->kl_coef > 0 && config->kl == KL_K3_UNBIASED))
        needs |= NEEDS_OF_RATIO;
    if (config->correction.correction != CORRECTION_NONE)
        needs |= NEEDS_OF_CORRECTION;
    if (config->kl_coef > 0)
        needs |= NEEDS_OF_KL;
    return needs | preference_needs(config);
}

bool objective_is_coupled(const struct objective *objective, const struct objective_config *config)
{
    const bool group =
        objective->row.unit == OBJECTIVE_GROUP && !objective_is_reward(&objective->row);
    return group || coupling_is_needed(config);
}

/* Where another column may stand in for the one that is needed. */
static uint64_t stand_ins(uint64_t there)
{
    if (there & COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE))
        there |= COLUMN_BIT(COLUMN_ADVANTAGE);
    return there;
}

static err_t check_missing(const struct objective *objective, uint64_t missing)
{
    for (unsigned c = 0; c < COLUMNS; c++)
        if (missing & COLUMN_BIT(c))
            return err_new(ERR_INVALID, "%s needs the column %s (%s)", objective->row.name,
                           column_name(c), column_row(c)->help);
    return OK;
}

/* Slopes that have a place. */
static err_t check_rows(const struct objective *objective, unsigned terms,
                        const struct rl_slopes *slopes)
{
    for (int k = 0; k < ROW_TERMS; k++)
        if (terms >> k & 1 && !slopes->row[k])
            return err_new(ERR_INVALID, "%s: slopes of %s have no place", objective->row.name,
                           column_name(row_term_column((enum row_term)k)));
    return OK;
}

static err_t check_columns(const struct objective *objective, const struct objective_config *config,
                           const struct columns *update)
{
    const uint64_t there = columns_there(update),
                   needs = objective_needs(objective, config) | COLUMN_BIT(COLUMN_LOGP) |
                           objective_term_columns(objective_terms(&objective->row, config));
    uint64_t missing = needs & ~stand_ins(there);
    if (config->correction.correction == CORRECTION_NONE && config->gate.base == BASE_OLDER &&
        config->mask.mask == MASK_NONE && !(config->behaviour_coef > 0) &&
        there & COLUMN_BIT(COLUMN_PROXIMAL_LOGP) && !(objective->row.needs & NEEDS_OF_RATIO))
        missing &= ~COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP); // ratios are taken to proximal_logp
    if (needs & COLUMN_BIT(COLUMN_MISMATCHED_REFERENCE))
        missing |= COLUMN_BIT(COLUMN_MISMATCHED) & ~there;
    TRY(check_missing(objective, missing));
    if (there & COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE) && config->ratio != RATIO_TOKEN &&
        objective_has_ratio(config))
        return err_new(ERR_INVALID, "%s: a ratio of whole sequences takes one advantage for each",
                       objective->row.name);
    return OK;
}

/* The unit that begins with sequence i; units: none does. */
static size_t unit_at(const struct columns *update, size_t i)
{
    size_t low = 0, high = update->units;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (update->unit[middle] < i)
            low = middle + 1;
        else
            high = middle;
    }
    return low < update->units && update->unit[low] == i ? low : update->units;
}

static bool whole_units(const struct columns *update, struct range range)
{
    const bool ends = range.end == update->sequences || unit_at(update, range.end) < update->units;
    return range.begin <= range.end && range.end <= update->sequences && ends &&
           (range.begin == range.end || unit_at(update, range.begin) < update->units);
}

static err_t check_range_of(const struct objective *objective, const struct columns *update,
                            struct range range, const struct rl_totals *totals)
{
    const char *name = objective->row.name;
    if (!whole_units(update, range))
        return err_new(ERR_INVALID, "%s: sequences %zu to %zu are not whole units", name,
                       range.begin, range.end);
    for (size_t u = unit_at(update, range.begin); u < update->units && update->unit[u] < range.end;
         u++)
        if (objective->row.unit == OBJECTIVE_PAIR && update->unit[u + 1] - update->unit[u] != 2)
            return err_new(ERR_INVALID, "%s: a unit has %zu sequences; it is a pair of them", name,
                           update->unit[u + 1] - update->unit[u]);
    for (size_t i = range.begin; i < range.end; i++)
        if (!(totals->sequences > 0 && totals->tokens > 0) && columns_tokens(update, i) > 0)
            return err_new(ERR_INVALID, "%s: the update's totals are 0", name);
    return OK;
}

/* Runs the kernel over the range's units; `slope` is the slopes that it writes. */
static err_t run_kernel(const struct objective *objective, const struct pass *pass,
                        struct range range, double *slope,
                        void (*kernel)(const struct pass *pass, size_t unit, size_t end))
{
    const struct columns *update = pass->batch;
    TRY(check_range_of(objective, update, range, pass->totals));
    for (size_t t = update->first[range.begin]; t < update->first[range.end]; t++) {
        slope[t] = 0;
        for (int k = 0; k < ROW_TERMS; k++)
            if (pass->slopes->row[k])
                pass->slopes->row[k][t] = 0;
    }
    for (size_t u = unit_at(update, range.begin); u < update->units && update->unit[u] < range.end;
         u++)
        kernel(pass, update->unit[u], update->unit[u + 1]);
    return OK;
}

/* The column that ratios are taken to. */
static const double *base_of(const struct objective_config *config, const struct columns *update)
{
    const double *proximal = update->at[COLUMN_PROXIMAL_LOGP];
    if (config->gate.base == BASE_REFERENCE)
        return update->at[COLUMN_REFERENCE_LOGP];
    return proximal && config->gate.base == BASE_OLDER ? proximal
                                                       : update->at[COLUMN_BEHAVIOUR_LOGP];
}

err_t objective_grad(const struct objective *objective, const struct objective_config *config,
                     const struct columns *update, struct range range,
                     const struct rl_totals *totals, const struct rl_slopes *slopes,
                     struct rl_tally *tally)
{
    TRY(err_wrap(objective_check(objective, config), "%s", objective->row.name));
    if (objective_is_reward(&objective->row))
        return err_new(ERR_INVALID, "%s has no policy", objective->row.name);
    TRY(check_columns(objective, config, update));
    TRY(check_rows(objective, objective_terms(&objective->row, config), slopes));
    struct rl_totals whole = *totals;
    SCOPED(coupling) coupling = NULL;
    if (!totals->coupling && coupling_is_needed(config))
        whole.coupling = coupling = coupling_new(config, update, NULL);
    const struct pass pass = {.config = config,
                              .batch = update,
                              .totals = &whole,
                              .slopes = slopes,
                              .tally = tally,
                              .base = base_of(config, update)};
    return run_kernel(objective, &pass, range, slopes->logp, objective->kernel);
}

err_t objective_value_grad(const struct objective *objective, const struct objective_config *config,
                           const struct columns *update, struct range range,
                           const struct rl_totals *totals, const struct rl_slopes *slopes,
                           struct rl_tally *tally)
{
    const bool reward = objective_is_reward(&objective->row);
    const uint64_t needs =
        (reward ? objective_needs(objective, config) : NEEDS_OF_VALUE) | COLUMN_BIT(COLUMN_VPRED);
    const struct pass pass = {
        .config = config, .batch = update, .totals = totals, .slopes = slopes, .tally = tally};
    TRY(err_wrap(objective_check(objective, config), "%s", objective->row.name));
    if (!(objective->row.outputs & OUTPUT_VALUE))
        return err_new(ERR_INVALID, "%s has no critic", objective->row.name);
    TRY(check_missing(objective, needs & ~columns_there(update)));
    return run_kernel(objective, &pass, range, slopes->value,
                      reward ? objective->kernel : kernel_value);
}
