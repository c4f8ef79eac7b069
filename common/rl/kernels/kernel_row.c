/* Losses that read whole rows of the vocabulary, and those that weigh the tokens of one completion
 * by one another. */
#include "rl/kernels/kernel.h"
#include <math.h>

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

/* ---- GKD: nothing but the distance of the rows */

void kernel_distance(const struct pass *pass, size_t unit, size_t end)
{
    for (size_t i = unit; i < end; i++) {
        const struct stretch s = pass_sequence(pass, i);
        if (s.tokens > 0)
            pass_divergences(pass, &s);
    }
}

/* ---- SuperHF: the likelihood of the chosen one, whose rows stay near the reference's */

void kernel_best(const struct pass *pass, size_t unit, size_t end)
{
    (void)end;
    struct stretch s = pass_sequence(pass, unit);
    const double *logp = pass->batch->at[COLUMN_LOGP];
    if (!(s.tokens > 0))
        return;
    s.per_token = 2 / (pass->totals->sequences * s.tokens);
    for (size_t t = s.begin; t < s.end; t++) {
        if (columns_weight(pass->batch, t) == 0)
            continue;
        pass->tally->policy -= s.per_token * logp[t];
        pass->slopes->logp[t] -= s.per_token;
    }
    pass->tally->pairs += 1;
    pass_divergences(pass, &s);
}

/* ---- TDPO: a pair, each side with the forward KL of its rows (Zeng 2024) */

/* The slope of one side's log-probabilities, and of its rows' divergence. */
static void side(const struct pass *pass, const struct stretch *s, double logp, double rows)
{
    for (size_t t = s->begin; t < s->end; t++) {
        if (columns_weight(pass->batch, t) == 0)
            continue;
        pass->slopes->logp[t] += logp;
        pass->slopes->row[ROW_FORWARD_KL][t] += rows;
    }
    pass_divergences(pass, s);
}

static void count_pair(struct rl_tally *tally, double chosen, double rejected)
{
    tally->pairs += 1;
    tally->pairs_right += chosen > rejected;
    tally->rewards_chosen += chosen;
    tally->rewards_rejected += rejected;
}

/* z = beta (u_w - u_l - alpha (D_l - D_w)). TDPO2 takes D_w for a constant. */
void kernel_tdpo(const struct pass *pass, size_t unit, size_t end)
{
    const struct tdpo_config *config = &pass->config->tdpo;
    const struct stretch w = pass_sequence(pass, unit), l = pass_sequence(pass, end - 1);
    const double *kl = pass->batch->at[COLUMN_FORWARD_KL];
    double slope = 0;
    if (w.tokens > 0 && l.tokens > 0) {
        const double chosen = pass_implicit_reward(pass, &w),
                     rejected = pass_implicit_reward(pass, &l),
                     per_pair = 2 / pass->totals->sequences,
                     gap = pass_sum(pass, &l, kl, NULL) - pass_sum(pass, &w, kl, NULL),
                     z = config->beta * (chosen - rejected - config->alpha * gap);
        pass->tally->policy += per_pair * softplus(-z);
        slope = -per_pair * config->beta * sigmoid(-z);
        count_pair(pass->tally, config->beta * chosen, config->beta * rejected);
    }
    side(pass, &w, slope, config->through_chosen ? config->alpha * slope : 0);
    side(pass, &l, -slope, -config->alpha * slope);
}

/* ---- tokens to avoid: unlikelihood (Welleck 2019) and CRINGE (Adolphs 2022) */

/* The loss of one token of a bad completion, and its slopes. */
struct avoided {
    double loss, logp, rival;
};

/* log(1 - p), where p may be near 0 or 1. */
static double log_other(double logp)
{
    return logp > -0.6931471805599453 ? log(-expm1(logp)) : log1p(-exp(logp));
}

static struct avoided avoid(const struct contrast_config *config, const struct pass *pass, size_t t)
{
    const double logp = pass->batch->at[COLUMN_LOGP][t];
    if (config->loss == CONTRAST_COMPLEMENT) {
        const double held = fmin(logp, -1e-6); // p = 1 has no other token to go to
        return (struct avoided){-log_other(held), exp(held - log_other(held)), 0};
    }
    const double over = logp - pass->batch->at[COLUMN_RIVAL_LOGP][t], q = sigmoid(over);
    return (struct avoided){softplus(over), q, -q};
}

static void avoid_all(const struct pass *pass, const struct stretch *s)
{
    const struct contrast_config *config = &pass->config->contrast;
    for (size_t t = s->begin; t < s->end; t++) {
        const double c = config->coef * s->per_token * columns_weight(pass->batch, t);
        if (c == 0)
            continue;
        const struct avoided at = avoid(config, pass, t);
        pass->tally->policy += c * at.loss;
        pass->slopes->logp[t] += c * at.logp;
        if (config->loss == CONTRAST_RIVAL)
            pass_row(pass, ROW_RIVAL_LOGP, t, c * at.rival);
    }
}

static void imitate_all(const struct pass *pass, const struct stretch *s)
{
    for (size_t t = s->begin; t < s->end; t++) {
        const double c = s->per_token * columns_weight(pass->batch, t);
        pass->tally->policy -= c * pass->batch->at[COLUMN_LOGP][t];
        pass->slopes->logp[t] -= c;
    }
}

/* A completion that is neither good nor bad counts in the divisor alone. */
void kernel_contrast(const struct pass *pass, size_t unit, size_t end)
{
    const double *label = pass->batch->at[COLUMN_LABEL];
    for (size_t i = unit; i < end; i++) {
        const struct stretch s = pass_sequence(pass, i);
        if (!(s.tokens > 0))
            continue;
        if (label[i] > 0)
            imitate_all(pass, &s);
        else if (label[i] < 0)
            avoid_all(pass, &s);
        pass_divergences(pass, &s);
    }
}

/* ---- IFT: early tokens weigh more (Hua 2024) */

/* With a_t = -logp_t: c_t = sum over s >= t of gamma^(s-t) a_s, the loss is sum(a c) / sum(c), the
 * mean over completions. The authors' code lets the slope go through c. */
void kernel_ift(const struct pass *pass, size_t unit, size_t end)
{
    const struct ift_config *config = &pass->config->ift;
    const double *logp = pass->batch->at[COLUMN_LOGP];
    for (size_t i = unit; i < end; i++) {
        const struct stretch s = pass_sequence(pass, i);
        double *const slope = pass->slopes->logp, ahead = 0, sum = 0, dot = 0, past = 0, ones = 0;
        if (!(s.tokens > 0))
            continue;
        for (size_t t = s.end; t-- > s.begin;) { // c_t waits in the slope
            if (columns_weight(pass->batch, t) == 0)
                continue;
            ahead = config->gamma * ahead - logp[t];
            slope[t] = ahead;
            sum += ahead;
            dot -= logp[t] * ahead;
        }
        const double whole = 1 / pass->totals->sequences;
        if (!(sum > 0)) // every token is certain: nothing to learn
            dot = 0, sum = INFINITY;
        pass->tally->policy += whole * dot / sum;
        for (size_t t = s.begin; t < s.end; t++) {
            if (columns_weight(pass->batch, t) == 0)
                continue;
            past = config->gamma * past - logp[t];
            ones = config->gamma * ones + 1;
            const double through = config->detached ? 0 : past - dot / sum * ones;
            slope[t] = -whole * (slope[t] + through) / sum;
        }
        pass_divergences(pass, &s);
    }
}
