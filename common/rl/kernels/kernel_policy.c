/* Policy gradients: a ratio, limited by a gate, times an advantage; each token or each whole
 * sequence is one loss. */
#include "rl/kernels/kernel.h"
#include "rl/kernels/mask.h"
#include <math.h>

static double advantage_of(const struct pass *pass, size_t i, size_t t)
{
    const double *each = pass->batch->at[COLUMN_TOKEN_ADVANTAGE],
                 *whole = pass->batch->at[COLUMN_ADVANTAGE];
    const double advantage = each ? each[t] : whole ? whole[i] : 1;
    return pass->config->positive_only ? fmax(advantage, 0) : advantage;
}

/* old - behaviour of the token: what a correction looks at. */
static double gap(const struct pass *pass, size_t t)
{
    return pass->batch->at[COLUMN_PROXIMAL_LOGP][t] - pass->batch->at[COLUMN_BEHAVIOUR_LOGP][t];
}

/* The sequence's factor; 0: a mask leaves it out. */
static double whole_correction(const struct pass *pass, const struct stretch *s)
{
    const double *const *at = (const double *const *)pass->batch->at;
    if (!mask_keeps(pass, s, advantage_of(pass, s->index, s->begin)))
        return 0;
    if (pass->config->correction.correction == CORRECTION_NONE)
        return 1;
    return correction_sequence(&pass->config->correction, at[COLUMN_PROXIMAL_LOGP] + s->begin,
                               at[COLUMN_BEHAVIOUR_LOGP] + s->begin,
                               at[COLUMN_WEIGHT] ? at[COLUMN_WEIGHT] + s->begin : NULL,
                               (int)(s->end - s->begin));
}

static double corrected(const struct pass *pass, double whole, size_t t)
{
    const struct correction_config *correction = &pass->config->correction;
    if (correction->correction == CORRECTION_NONE || whole == 0)
        return whole;
    return correction_token(correction, whole, gap(pass, t));
}

/* For the record: the token's lag weight, whatever becomes of it. */
static void count_gap(const struct pass *pass, size_t t)
{
    const struct columns *batch = pass->batch;
    const struct objective_config *config = pass->config;
    struct rl_tally *tally = pass->tally;
    if (!batch->at[COLUMN_PROXIMAL_LOGP] || !batch->at[COLUMN_BEHAVIOUR_LOGP])
        return;
    const double w = exp(log_ratio_clamp(gap(pass, t)));
    tally->gaps += 1;
    tally->gap += w;
    tally->gap_square += w * w;
    tally->gap_max = fmax(tally->gap_max, w);
    tally->gaps_low += w < 0.5;
    tally->gaps_high += w > 2;
    tally->gaps_over_rho +=
        config->correction.correction != CORRECTION_NONE && w > config->correction.high;
    tally->traced += config->advantage == ADVANTAGE_GAE;
    tally->gaps_over_c += config->advantage == ADVANTAGE_GAE && w > config->gae.c_bar;
}

static void count_unit(struct rl_tally *tally, const struct gate_value *value)
{
    tally->units += 1;
    tally->clipped += value->clipped;
}

/* The log of the sequence's ratio. */
static double whole_ratio(const struct pass *pass, const struct stretch *s)
{
    const double mean = pass->config->ratio == RATIO_GEOMETRIC ? 1.0 / s->tokens : 1;
    return pass_sum(pass, s, pass->batch->at[COLUMN_LOGP], pass->base) * mean;
}

/* whole: the factor of the sequence; ratio: the log of its ratio, NULL: each token has its own. */
static void token_units(const struct pass *pass, const struct stretch *s, double whole,
                        const double *ratio)
{
    const struct columns *batch = pass->batch;
    const double *logp = batch->at[COLUMN_LOGP], *behaviour = batch->at[COLUMN_BEHAVIOUR_LOGP];
    for (size_t t = s->begin; t < s->end; t++) {
        const double weight = columns_weight(batch, t);
        if (weight == 0)
            continue;
        const double log_ratio = ratio ? *ratio : pass->base ? logp[t] - pass->base[t] : 0;
        const struct gate_value value =
            gate_at(&pass->config->gate, advantage_of(pass, s->index, t), log_ratio, logp[t]);
        const double factor = corrected(pass, whole, t), c = s->per_token * weight * factor;
        pass->tally->policy += c * value.loss;
        pass->slopes->logp[t] += c * value.slope;
        pass->tally->masked += factor == 0;
        count_unit(pass->tally, &value);
        count_gap(pass, t);
        if (behaviour)
            pass_count_weight(pass->tally, logp[t] - behaviour[t]);
    }
}

/* For the record: a sequence with one ratio. */
static void count_sequence(const struct pass *pass, const struct stretch *s, double whole,
                           const struct gate_value *value)
{
    const double *behaviour = pass->batch->at[COLUMN_BEHAVIOUR_LOGP];
    const double mean = pass->config->ratio == RATIO_GEOMETRIC ? 1.0 / s->tokens : 1;
    count_unit(pass->tally, value);
    pass->tally->masked += whole == 0;
    if (behaviour)
        pass_count_weight(pass->tally,
                          pass_sum(pass, s, pass->batch->at[COLUMN_LOGP], behaviour) * mean);
}

/* One ratio for the sequence. A token correction weighs its own token's slope; the loss counts
 * their mean. */
static void sequence_unit(const struct pass *pass, const struct stretch *s, double whole)
{
    const struct columns *batch = pass->batch;
    const double *logp = batch->at[COLUMN_LOGP];
    const double mean = pass->config->ratio == RATIO_GEOMETRIC ? 1.0 / s->tokens : 1;
    const struct gate_value value =
        gate_at(&pass->config->gate, advantage_of(pass, s->index, s->begin), whole_ratio(pass, s),
                pass_sum(pass, s, logp, NULL) * mean);
    for (size_t t = s->begin; t < s->end; t++) {
        if (columns_weight(batch, t) == 0)
            continue;
        const double c = s->per_sequence * corrected(pass, whole, t);
        pass->tally->policy += c * value.loss / s->tokens;
        pass->slopes->logp[t] += c * value.slope * mean;
    }
    count_sequence(pass, s, whole, &value);
}

/* The token's log ratio, held from one side; the other side is the one that a step must leave. */
static double held_ratio(const struct gate_config *gate, double advantage, double log_ratio)
{
    return advantage >= 0 ? fmin(log_ratio, gate->epsilon_high)
                          : fmax(log_ratio, -gate->epsilon_low);
}

/* The geometric mean of ratios that are held one by one (GMPO): a token that is has no slope. */
static void held_unit(const struct pass *pass, const struct stretch *s, double whole)
{
    const struct columns *batch = pass->batch;
    const double *logp = batch->at[COLUMN_LOGP];
    const double advantage = advantage_of(pass, s->index, s->begin);
    struct gate_value value = {0};
    double sum = 0;
    for (size_t t = s->begin; t < s->end; t++)
        if (columns_weight(batch, t) != 0)
            sum += held_ratio(&pass->config->gate, advantage, logp[t] - pass->base[t]);
    value.loss = -advantage * exp(log_ratio_clamp(sum / s->tokens));
    for (size_t t = s->begin; t < s->end; t++) {
        if (columns_weight(batch, t) == 0)
            continue;
        const double c = s->per_sequence * corrected(pass, whole, t) / s->tokens,
                     x = logp[t] - pass->base[t];
        const bool free = held_ratio(&pass->config->gate, advantage, x) == x;
        pass->tally->policy += c * value.loss;
        pass->slopes->logp[t] += free ? c * value.loss : 0;
        value.clipped = value.clipped || !free;
    }
    count_sequence(pass, s, whole, &value);
}

/* For the record, whatever the gate is. */
static void count_whole(const struct pass *pass, const struct stretch *s)
{
    const double *behaviour = pass->batch->at[COLUMN_BEHAVIOUR_LOGP];
    if (!behaviour)
        return;
    const double w =
        exp(log_ratio_clamp(pass_sum(pass, s, pass->batch->at[COLUMN_LOGP], behaviour)));
    pass->tally->wholes += 1;
    pass->tally->whole += w;
    pass->tally->whole_square += w * w;
}

void kernel_policy(const struct pass *pass, size_t unit, size_t end)
{
    const enum gate gate = pass->config->gate.gate;
    for (size_t i = unit; i < end; i++) {
        const struct stretch s = pass_sequence(pass, i);
        if (s.tokens == 0)
            continue;
        const double whole = whole_correction(pass, &s);
        count_whole(pass, &s);
        if (pass->config->ratio == RATIO_TOKEN || gate == GATE_NONE)
            token_units(pass, &s, whole, NULL);
        else if (gate_weighs(gate))
            token_units(pass, &s, whole, &(double){whole_ratio(pass, &s)});
        else if (gate == GATE_GEO_CLIP)
            held_unit(pass, &s, whole);
        else
            sequence_unit(pass, &s, whole);
        pass_divergences(pass, &s);
    }
}
