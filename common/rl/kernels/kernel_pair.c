/* Losses on pairs: how far the chosen completion (the unit's first) is ahead of the rejected one. A
 * pair with a side that is masked whole teaches nothing. Its other side still counts half a pair in
 * the update's mean, and both sides do if the divisors count what is masked. Weights only mask.
 *
 * To a gate a token is one of a policy gradient, and minus the slope of the pair's loss its
 * advantage, a constant. The loss that is reported is the pair's own. */
#include "rl/kernels/coupling.h"
#include "rl/kernels/kernel.h"
#include "rl/preference/pair_score.h"
#include <math.h>

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

/* One side of a pair: before the gate its tokens have one slope, and a share of it beyond the
 * shorter completion's length. */
static void side_pass(const struct pass *pass, const struct stretch *s, double slope, double whole)
{
    const double *logp = pass->batch->at[COLUMN_LOGP],
                 *behaviour = pass->batch->at[COLUMN_BEHAVIOUR_LOGP];
    const double rest = pass->config->pair.score == SCORE_LENGTH ? pass->config->pair.alpha : 1;
    double counted = 0;
    for (size_t t = s->begin; t < s->end; t++) {
        if (columns_weight(pass->batch, t) == 0)
            continue;
        pass->slopes->logp[t] += gated(pass, counted < whole ? slope : slope * rest, t);
        counted++;
        if (behaviour)
            pass_count_weight(pass->tally, logp[t] - behaviour[t]);
    }
    pass_divergences(pass, s);
}

/* The slopes of a side's score become those of its tokens. */
static struct score_value score_of(const struct pass *pass, const struct stretch *s, double whole)
{
    const struct pair_config *config = &pass->config->pair;
    const double *logp = pass->batch->at[COLUMN_LOGP];
    const double u = config->score == SCORE_LENGTH
                         ? pass_weighed_reward(pass, s, whole, config->alpha)
                     : score_refers(config->score) ? pass_implicit_reward(pass, s)
                                                   : 0;
    return score_at(config, u, score_refers(config->score) ? 0 : pass_sum(pass, s, logp, NULL),
                    (int)s->tokens);
}

static struct pair_side side_of(const struct pass *pass, const struct stretch *s,
                                const struct score_value *score, size_t i)
{
    const double *reward = pass->batch->at[COLUMN_REWARD];
    const struct coupling *coupling = pass->totals->coupling;
    return (struct pair_side){.u = score->value,
                              .tokens = (int)s->tokens,
                              .reward = reward ? reward[i] : 0,
                              .anchor = coupling ? coupling->anchor : 0};
}

/* The pair's terms beside its loss: the chosen one's likelihood, and the rejected one's. */
static void add_terms(const struct pass *pass, const struct stretch *chosen,
                      const struct stretch *rejected, double per_pair, struct pair_value *value)
{
    const struct pair_config *config = &pass->config->pair;
    const double *logp = pass->batch->at[COLUMN_LOGP];
    const double nll = config->nll_mean == NLL_PAIRS ? config->nll * per_pair
                                                     : config->nll / pass->totals->chosen_tokens,
                 optimism = config->optimism * per_pair;
    if (config->nll > 0) {
        value->loss -= nll * pass_sum(pass, chosen, logp, NULL);
        value->chosen -= nll;
    }
    if (config->optimism > 0) {
        value->loss += optimism * pass_sum(pass, rejected, logp, NULL);
        value->rejected += optimism;
    }
}

/* Where pairs of the update meet one another by their ranks (AOT). */
static struct pair_value ranked(const struct pair_config *config, const struct coupling *coupling,
                                size_t first, size_t last, struct pair_side chosen,
                                struct pair_side rejected)
{
    struct pair_side other = chosen;
    if (config->loss == PAIR_AOT) {
        chosen.u = coupling->gap[first];
        other.u = coupling->other[first];
        return pair_at(config, chosen, other);
    }
    other.u = coupling->other[first];
    struct pair_value value = pair_at(config, chosen, other);
    other.u = coupling->other[last];
    value.rejected = pair_at(config, other, rejected).rejected;
    return value;
}

/* Divided by the update's pairs; those that the coupling dropped are none. */
static double per_pair_of(const struct pass *pass, size_t first)
{
    const struct coupling *coupling = pass->totals->coupling;
    if (!coupling || !coupling->dropped)
        return 2 / pass->totals->sequences;
    return coupling->dropped[first] != 0 ? 0 : 1 / coupling->kept;
}

static struct pair_value pair_of(const struct pass *pass, size_t first, size_t last,
                                 struct pair_side chosen, struct pair_side rejected)
{
    const struct coupling *coupling = pass->totals->coupling;
    struct pair_config config = pass->config->pair;
    if (coupling && coupling->beta > 0)
        config.beta = coupling->beta;
    count_pair(pass->tally, config.beta * chosen.u, config.beta * rejected.u);
    if (coupling && coupling->other)
        return ranked(&config, coupling, first, last, chosen, rejected);
    return pair_at(&config, chosen, rejected);
}

void kernel_pair(const struct pass *pass, size_t unit, size_t end)
{
    const struct stretch first = pass_sequence(pass, unit), last = pass_sequence(pass, end - 1);
    const double whole = fmin(first.tokens, last.tokens), per_pair = per_pair_of(pass, unit);
    struct pair_value value = {0};
    if (whole > 0 && per_pair > 0) {
        const struct score_value high = score_of(pass, &first, whole),
                                 low = score_of(pass, &last, whole);
        value = pair_of(pass, unit, end - 1, side_of(pass, &first, &high, unit),
                        side_of(pass, &last, &low, end - 1));
        value = (struct pair_value){per_pair * value.loss, per_pair * value.chosen * high.slope,
                                    per_pair * value.rejected * low.slope};
        add_terms(pass, &first, &last, per_pair, &value);
        pass->tally->policy += value.loss;
    }
    side_pass(pass, &first, value.chosen, whole);
    side_pass(pass, &last, value.rejected, whole);
}
