/* The critic's loss: the squared distance of its new values from their targets, where a limit holds
 * each near the value that the round began with (PPO2's value clipping). Mean over tokens. */
#include "rl/kernels/kernel.h"
#include <math.h>

struct value_loss {
    double loss, slope;
    bool clipped;
};

/* 0.5 max((v - R)^2, (clip(v) - R)^2). Outside of the limit the second has no slope. */
static struct value_loss loss_of(double limit, double v, double old, double target)
{
    const double free = v - target;
    const struct value_loss loss = {0.5 * free * free, free, false};
    if (!(limit > 0))
        return loss;
    const double clipped = fmax(old - limit, fmin(old + limit, v)), held = clipped - target;
    if (held * held <= free * free)
        return loss;
    return (struct value_loss){0.5 * held * held, 0, true};
}

static void count(struct rl_tally *tally, double v, double target, bool clipped)
{
    const double error = target - v;
    tally->values += 1;
    tally->value_clipped += clipped;
    tally->vpred += v;
    tally->vpred_square += v * v;
    tally->returns += target;
    tally->returns_square += target * target;
    tally->error += error;
    tally->error_square += error * error;
}

void kernel_value(const struct pass *pass, size_t unit, size_t end)
{
    const struct columns *batch = pass->batch;
    const struct value_config *config = &pass->config->value;
    for (size_t t = batch->first[unit]; t < batch->first[end]; t++) {
        const double weight = columns_weight(batch, t);
        if (weight == 0)
            continue;
        const double v = batch->at[COLUMN_VPRED][t], target = batch->at[COLUMN_RETURNS][t];
        const struct value_loss loss = loss_of(config->clip, v, batch->at[COLUMN_VALUE][t], target);
        const double c = weight / pass->totals->tokens;
        pass->tally->value += c * loss.loss;
        pass->slopes->value[t] += config->coef * c * loss.slope;
        count(pass->tally, v, target, loss.clipped);
    }
}
