/* Inside rl only: how a kernel of the table of objectives sees the batch, and helpers of kernels.
 *
 * A kernel computes one unit, sequences unit..end-1 of the batch. Its results are added to the
 * slopes of its tokens, which are 0, and to the tally. Values of
 * other sequences are in totals->coupling. */
#pragma once
#include "rl/objective.h"

struct pass {
    const struct objective_config *config;
    const struct columns *batch;
    const struct rl_totals *totals;
    const struct rl_slopes *slopes;
    struct rl_tally *tally;
    const double *base; // log-probabilities that ratios are taken to; NULL: no ratios
};

/* One sequence of it. */
struct stretch {
    size_t begin, end;              // its tokens in the batch
    size_t index;                   // its number in the batch
    double tokens;                  // unmasked
    double per_token, per_sequence; // factors of their losses
};
struct stretch pass_sequence(const struct pass *pass, size_t i);

/* Sum over the sequence's unmasked tokens of x - y; y may be NULL. */
double pass_sum(const struct pass *pass, const struct stretch *s, const double *x, const double *y);

/* An importance weight exp(log_ratio) of a unit, for the record. */
void pass_count_weight(struct rl_tally *tally, double log_ratio);

/* divergence.c: adds the terms beside the objective's loss (KL, the distance from behaviour, the
 * likelihood of a completion), and both divergences to the record. */
void pass_divergences(const struct pass *pass, const struct stretch *s);

/* row_part.c: adds the terms of rows of the sequence (pass_divergences does); one more slope of a
 * token's row. */
void pass_rows(const struct pass *pass, const struct stretch *s);
void pass_row(const struct pass *pass, enum row_term term, size_t t, double slope);

/* reference_kl.c: the KL term alone and its record; the sum over the sequence's unmasked tokens of
 * logp - reference logp. */
void pass_refer(const struct pass *pass, const struct stretch *s);
double pass_implicit_reward(const struct pass *pass, const struct stretch *s);

/* The same, where unmasked tokens from the whole-th on count `rest`. */
double pass_weighed_reward(const struct pass *pass, const struct stretch *s, double whole,
                           double rest);

/* divergence.c: adds the same slope to each of the sequence's tokens, counts its importance weights
 * and adds its divergences. */
void pass_spread(const struct pass *pass, const struct stretch *s, double slope);

void kernel_policy(const struct pass *pass, size_t unit, size_t end);
void kernel_pair(const struct pass *pass, size_t unit, size_t end);
void kernel_label(const struct pass *pass, size_t unit, size_t end);
void kernel_list(const struct pass *pass, size_t unit, size_t end);
void kernel_residual(const struct pass *pass, size_t unit, size_t end);
void kernel_residual_pair(const struct pass *pass, size_t unit, size_t end);
void kernel_residual_group(const struct pass *pass, size_t unit, size_t end);

/* kernel_row.c */
void kernel_distance(const struct pass *pass, size_t unit, size_t end);
void kernel_best(const struct pass *pass, size_t unit, size_t end);
void kernel_tdpo(const struct pass *pass, size_t unit, size_t end);
void kernel_contrast(const struct pass *pass, size_t unit, size_t end);
void kernel_ift(const struct pass *pass, size_t unit, size_t end);

/* The critic's loss: slopes of the value instead. Reward models have those, too
 * (kernel_reward.c). */
void kernel_value(const struct pass *pass, size_t unit, size_t end);
void kernel_bradley_terry(const struct pass *pass, size_t unit, size_t end);
void kernel_reward_regression(const struct pass *pass, size_t unit, size_t end);
