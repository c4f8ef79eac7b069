/* Weights for the gap between who sampled (behaviour) and the old weights that ratios are taken to: constants on each
 * token's loss. Only where `old` is known apart: a ratio to behaviour corrects by itself, and twice would be wrong.
 *
 *     struct correction_config tis = {CORRECTION_TIS_TOKEN, .high = 2};
 *     double whole = correction_sequence(&tis, old, behaviour, weight, tokens);
 *     double w = correction_token(&tis, whole, old[t] - behaviour[t]);
 *
 * To add one: a case in each of the two. Any thread. */
#pragma once

enum correction {
    CORRECTION_NONE,
    CORRECTION_TIS_TOKEN, // min(w, high), w = exp(old - behaviour): truncated; high = INFINITY: decoupled PPO
    CORRECTION_TIS_SEQ,   // the same of the whole sequence's ratio
    CORRECTION_MIS_TOKEN, // w within [low, high], else 0: masked (IcePop)
    CORRECTION_MIS_SEQ,
    CORRECTION_GEO_MASK, // 1 if exp(mean(old - behaviour)) is within [low, high], else 0
};

struct correction_config {
    enum correction correction;
    double low, high;
};

/* The sequence's factor; 1 for the kinds that look at tokens. weight: 0 masks a token; NULL: none is. */
double correction_sequence(const struct correction_config *config, const double *old,
                           const double *behaviour, const double *weight, int tokens);

/* The token's weight, the sequence's factor included. log_ratio = old - behaviour. */
double correction_token(const struct correction_config *config, double sequence, double log_ratio);
