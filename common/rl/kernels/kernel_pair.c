/* Losses on pairs: how far the chosen completion (the unit's first) is ahead of the rejected one. A
 * pair with a side that is masked whole teaches nothing. Its other side still counts half a pair in
 * the update's mean, and both sides do if the divisors count what is masked. Weights only mask.
 *
 * To a gate a token is one of a policy gradient, and minus the slope of the pair's loss its
 * advantage, a constant. The loss that is reported is the pair's own. */
#include "rl/kernels/kernel.h"

static void count_pair(struct rl_tally *tally, double chosen, double rejected)
{
    tally->pairs += 1;
    tally->pairs_right += chosen > rejected;
    tally->rewards_chosen += chosen;
    tally->rewards_rejected += rejected;
}

/* The slope of one token, limited by its ratio to older weights. */
static double gated(const struct pass *pass, double slope, size_t t)
{
    const struct gate_config *gate = &pass->config->gate;
    const double logp = pass->batch->at[COLUMN_LOGP][t];
    if (gate->gate == GATE_NONE)
        return slope;
    const struct gate_value value = gate_at(gate, -slope, logp - pass->base[t], logp);
    pass->tally->units += 1;
    pass->tally->clipped += value.clipped;
    return value.slope;
}

/* One side of a pair: before the gate its tokens have one slope. */
static void side_pass(const struct pass *pass, const struct stretch *s, double slope)
{
    const double *logp = pass->batch->at[COLUMN_LOGP],
                 *behaviour = pass->batch->at[COLUMN_BEHAVIOUR_LOGP];
    for (size_t t = s->begin; t < s->end; t++) {
        if (columns_weight(pass->batch, t) == 0)
            continue;
        pass->slopes->logp[t] += gated(pass, slope, t);
        if (behaviour)
            pass_count_weight(pass->tally, logp[t] - behaviour[t]);
    }
    pass_divergences(pass, s);
}

static struct pair_side side_of(const struct pass *pass, const struct stretch *s)
{
    return (struct pair_side){pass_implicit_reward(pass, s), (int)s->tokens};
}

void kernel_pair(const struct pass *pass, size_t unit, size_t end)
{
    const struct pair_config *config = &pass->config->pair;
    const struct stretch first = pass_sequence(pass, unit), last = pass_sequence(pass, end - 1);
    const struct pair_side chosen = side_of(pass, &first), rejected = side_of(pass, &last);
    struct pair_value value = {0};
    double per_pair = 0;
    if (chosen.tokens > 0 && rejected.tokens > 0) {
        value = pair_at(config, chosen, rejected);
        per_pair = 2 / pass->totals->sequences;
        pass->tally->policy += per_pair * value.loss;
        count_pair(pass->tally, config->beta * chosen.u, config->beta * rejected.u);
    }
    side_pass(pass, &first, per_pair * value.chosen);
    side_pass(pass, &last, per_pair * value.rejected);
}
