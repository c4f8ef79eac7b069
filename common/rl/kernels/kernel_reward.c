/* Losses of reward models: of one value of each sequence, that of its last token. A sequence whose
 * last token is masked teaches nothing. */
#include "rl/kernels/kernel.h"
#include "rl/preference/sigmoid.h"
#include <math.h>

/* The value of sequence i, and where its slope is. */
static size_t place(const struct pass *pass, size_t i)
{
    return pass->batch->first[i + 1] - 1;
}

static bool is_there(const struct pass *pass, size_t i)
{
    return pass->batch->first[i + 1] > pass->batch->first[i] &&
           columns_weight(pass->batch, place(pass, i)) != 0;
}

static double column_or(const struct pass *pass, enum column column, size_t i, double none)
{
    const double *at = pass->batch->at[column];
    return at && !isnan(at[i]) ? at[i] : none;
}

static bool is_pair(const struct pass *pass, size_t better, size_t worse)
{
    const double *reward = pass->batch->at[COLUMN_REWARD];
    return reward[better] - reward[worse] > pass->config->reward.least && is_there(pass, better) &&
           is_there(pass, worse);
}

static double pairs_of(const struct pass *pass, size_t unit, size_t end)
{
    double pairs = 0;
    for (size_t i = unit; i < end; i++)
        for (size_t j = unit; j < end; j++)
            pairs += is_pair(pass, i, j);
    return pairs;
}

/* Right is what most people say; where they are split, as the row has it. */
static void count_pair(struct rl_tally *tally, double better, double worse, double preferred)
{
    tally->pairs += 1;
    tally->pairs_right += preferred < 0.5 ? worse > better : better > worse;
    tally->rewards_chosen += better;
    tally->rewards_rejected += worse;
}

/* per_pair: its factor in the update's mean. The margin holds for either side. */
static void add_pair(const struct pass *pass, size_t better, size_t worse, double per_pair)
{
    const double *value = pass->batch->at[COLUMN_VPRED], high = value[place(pass, better)],
                 low = value[place(pass, worse)],
                 margin = column_or(pass, COLUMN_MARGIN, better, 0),
                 preferred = column_or(pass, COLUMN_PREFERRED, better, 1), z = high - low,
                 center = pass->config->reward.center * per_pair,
                 slope = preferred * sigmoid(margin - z) - (1 - preferred) * sigmoid(margin + z);
    pass->tally->policy -= per_pair * (preferred * log_sigmoid(z - margin) +
                                       (1 - preferred) * log_sigmoid(-z - margin));
    pass->tally->terms += center * (high + low) * (high + low);
    pass->slopes->value[place(pass, better)] += 2 * center * (high + low) - per_pair * slope;
    pass->slopes->value[place(pass, worse)] += 2 * center * (high + low) + per_pair * slope;
    count_pair(pass->tally, high, low, preferred);
}

void kernel_bradley_terry(const struct pass *pass, size_t unit, size_t end)
{
    const double pairs = pairs_of(pass, unit, end);
    for (size_t i = unit; i < end; i++)
        for (size_t j = unit; j < end; j++)
            if (is_pair(pass, i, j))
                add_pair(pass, i, j, 1 / (pairs * pass->totals->units));
}

static void count_value(struct rl_tally *tally, double v, double target)
{
    const double error = target - v;
    tally->values += 1;
    tally->vpred += v;
    tally->vpred_square += v * v;
    tally->returns += target;
    tally->returns_square += target * target;
    tally->error += error;
    tally->error_square += error * error;
}

void kernel_reward_regression(const struct pass *pass, size_t unit, size_t end)
{
    for (size_t i = unit; i < end; i++) {
        if (!is_there(pass, i))
            continue;
        const double v = pass->batch->at[COLUMN_VPRED][place(pass, i)],
                     target = pass->batch->at[COLUMN_REWARD][i];
        pass->tally->policy += (v - target) * (v - target) / pass->totals->sequences;
        pass->slopes->value[place(pass, i)] += 2 * (v - target) / pass->totals->sequences;
        count_value(pass->tally, v, target);
    }
}
