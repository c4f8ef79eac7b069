/* Policy gradients: a ratio, limited by a gate, times an advantage; each token or each whole
 * sequence is one loss. */
#include "rl/kernels/kernel.h"
#include <math.h>

static double advantage_of(const struct pass *pass, size_t i, size_t t)
{
    const double *each = pass->batch->at[COLUMN_TOKEN_ADVANTAGE],
                 *whole = pass->batch->at[COLUMN_ADVANTAGE];
    return each ? each[t] : whole ? whole[i] : 1;
}

/* old - behaviour of the token: what a correction looks at. */
static double gap(const struct pass *pass, size_t t)
{
    return pass->batch->at[COLUMN_PROXIMAL_LOGP][t] - pass->batch->at[COLUMN_BEHAVIOUR_LOGP][t];
}

/* The sequence's factor. */
static double whole_correction(const struct pass *pass, const struct stretch *s)
{
    const double *const *at = (const double *const *)pass->batch->at;
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
    if (correction->correction == CORRECTION_NONE)
        return 1;
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

static void token_units(const struct pass *pass, const struct stretch *s, size_t i, double whole)
{
    const struct columns *batch = pass->batch;
    const double *logp = batch->at[COLUMN_LOGP], *behaviour = batch->at[COLUMN_BEHAVIOUR_LOGP];
    for (size_t t = s->begin; t < s->end; t++) {
        const double weight = columns_weight(batch, t);
        if (weight == 0)
            continue;
        const double log_ratio = pass->base ? logp[t] - pass->base[t] : 0;
        const struct gate_value value =
            gate_at(&pass->config->gate, advantage_of(pass, i, t), log_ratio, logp[t]);
        const double c = s->per_token * weight * corrected(pass, whole, t);
        pass->tally->policy += c * value.loss;
        pass->slopes->logp[t] += c * value.slope;
        count_unit(pass->tally, &value);
        count_gap(pass, t);
        if (behaviour)
            pass_count_weight(pass->tally, logp[t] - behaviour[t]);
    }
}

/* One ratio for the sequence. A token correction weighs its own token's slope; the loss counts
 * their mean. */
static void sequence_unit(const struct pass *pass, const struct stretch *s, size_t i, double whole)
{
    const struct columns *batch = pass->batch;
    const double *logp = batch->at[COLUMN_LOGP], *behaviour = batch->at[COLUMN_BEHAVIOUR_LOGP];
    const double mean = pass->config->ratio == RATIO_GEOMETRIC ? 1.0 / s->tokens : 1;
    const double log_ratio = pass_sum(pass, s, logp, pass->base) * mean;
    const struct gate_value value = gate_at(&pass->config->gate, advantage_of(pass, i, s->begin),
                                            log_ratio, pass_sum(pass, s, logp, NULL) * mean);
    for (size_t t = s->begin; t < s->end; t++) {
        if (columns_weight(batch, t) == 0)
            continue;
        const double c = s->per_sequence * corrected(pass, whole, t);
        pass->tally->policy += c * value.loss / s->tokens;
        pass->slopes->logp[t] += c * value.slope * mean;
    }
    count_unit(pass->tally, &value);
    if (behaviour)
        pass_count_weight(pass->tally, pass_sum(pass, s, logp, behaviour) * mean);
}

void kernel_policy(const struct pass *pass, size_t unit, size_t end)
{
    for (size_t i = unit; i < end; i++) {
        const struct stretch s = pass_sequence(pass, i);
        if (s.tokens == 0)
            continue;
        const double whole = whole_correction(pass, &s);
        if (pass->config->ratio == RATIO_TOKEN || pass->config->gate.gate == GATE_NONE)
            token_units(pass, &s, i, whole);
        else
            sequence_unit(pass, &s, i, whole);
        pass_divergences(pass, &s);
    }
}
