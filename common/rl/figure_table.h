/* THE table of what objectives measure on the way: sums that add over stretches, micro-batches and ranks, and the figures that
 * they come to. metrics.jsonl, /metrics and the docs take names and help from here.
 *
 *     S(name, how)                    a sum of struct rl_tally; how: ADD, or MAX of the parts
 *     X(name, over, of, what)         a figure; over a round's updates it is their MEAN or their SUM; of: from `t`, an
 *                                     rl_tally, where SHARE(part, whole) is NaN if there is no whole
 *
 * Header-only: the learner's report and the docs include it. To add a figure: a row (and the sums that it needs), and the line of
 * a kernel that counts it. */
#pragma once
#include <stdint.h>

// clang-format off
#define RL_SUMS(S) \
    S(policy, ADD)             /* The loss without the KL term, reduced as the objective says. */ \
    S(kl, ADD)                 /* The KL term, reduced likewise. */ \
    S(rows, ADD)               /* The terms of whole rows, reduced likewise. */ \
    S(distances, ADD) S(distance, ADD)     /* How many tokens have a distance of rows; sum over them. */ \
    S(terms, ADD)              /* Other terms beside it: the distance from behaviour, the likelihood of some completions. */ \
    S(units, ADD)              /* How many tokens, or sequences where ratios are theirs. */ \
    S(clipped, ADD)            /* How many of those the gate held. */ \
    S(masked, ADD)             /* How many tokens a mask or a correction left out. */ \
    S(compared, ADD)           /* How many tokens have a behaviour logp. */ \
    S(k1, ADD) S(k3, ADD)      /* Both estimates, summed over them. */ \
    S(weights, ADD)            /* How many units have an importance weight exp(logp - behaviour); sums over them. */ \
    S(weight, ADD) S(weight_square, ADD) S(weight_max, MAX) \
    S(wholes, ADD) S(whole, ADD) S(whole_square, ADD) /* Completions, and their importance weights: products over the tokens. */ \
    S(referred, ADD)           /* How many tokens have a reference logp. */ \
    S(reference_k1, ADD) S(reference_k3, ADD) \
    S(pairs, ADD) S(pairs_right, ADD) \
    S(rewards_chosen, ADD) S(rewards_rejected, ADD)     /* Implicit rewards beta * u (rl/kernels/pair.h). */ \
    S(gaps, ADD)               /* How many tokens have a lag weight w = exp(proximal logp - behaviour); sums over them. */ \
    S(gap, ADD) S(gap_square, ADD) S(gap_max, MAX) S(gaps_low, ADD) S(gaps_high, ADD) \
    S(gaps_over_rho, ADD)      /* How many weigh more than the correction allows. */ \
    S(traced, ADD) S(gaps_over_c, ADD)     /* How many have an advantage by GAE, and w above c_bar. */ \
    S(value, ADD)              /* The critic's loss without its coefficient. */ \
    S(values, ADD) S(value_clipped, ADD)   /* How many tokens have a value, and how many the limit held. */ \
    S(vpred, ADD) S(vpred_square, ADD) S(returns, ADD) S(returns_square, ADD) S(error, ADD) S(error_square, ADD)

#define RL_FIGURES(X) \
    X(loss, MEAN, t->policy + t->kl + t->rows + t->terms, \
      "the objective's loss, mean over the round's updates") \
    X(loss_kl, MEAN, t->kl, \
      "the part of it that is the KL term") \
    X(loss_rows, MEAN, t->rows, \
      "the part of it that is terms of whole rows: the entropy's bonus, the distance from the reference's rows") \
    X(row_distance, MEAN, SHARE(t->distance, t->distances), \
      "mean distance of a token's row from the reference's (learner.rows.distance), nats") \
    X(kl_behaviour, MEAN, SHARE(t->k1, t->compared), \
      "mean of behaviour logp - current logp per token: how far the weights moved") \
    X(kl_behaviour_k3, MEAN, SHARE(t->k3, t->compared), \
      "the same by the estimate that is never negative") \
    X(kl_token, MEAN, SHARE(t->reference_k1, t->referred), \
      "mean of current logp - reference logp per token trained") \
    X(kl_token_k3, MEAN, SHARE(t->reference_k3, t->referred), \
      "the same by the estimate that is never negative") \
    X(clip_frac, MEAN, SHARE(t->clipped, t->units), \
      "share of tokens (or sequences, where ratios are theirs) whose ratio was clipped") \
    X(mask_frac, MEAN, SHARE(t->masked, t->weights), \
      "share of tokens that learner.mask or a masking correction left out") \
    X(ess, MEAN, SHARE(t->weight * t->weight, t->weights * t->weight_square), \
      "effective sample size of the importance weights, share of the tokens: 1 on policy") \
    X(ess_sequences, MEAN, SHARE(t->whole * t->whole, t->wholes * t->whole_square), \
      "the same of whole completions' weights, the products of their tokens', share of the completions") \
    X(weight_max, MEAN, t->weights > 0 ? t->weight_max : NAN, \
      "the largest importance weight") \
    X(pairs, SUM, t->pairs, \
      "pairs trained, over the round's passes") \
    X(rewards_chosen, MEAN, SHARE(t->rewards_chosen, t->pairs), \
      "implicit reward of the chosen completion, mean over pairs") \
    X(rewards_rejected, MEAN, SHARE(t->rewards_rejected, t->pairs), \
      "implicit reward of the rejected completion, mean over pairs") \
    X(rewards_margin, MEAN, SHARE(t->rewards_chosen - t->rewards_rejected, t->pairs), \
      "implicit reward of the chosen - the rejected, mean over pairs") \
    X(rewards_accuracy, MEAN, SHARE(t->pairs_right, t->pairs), \
      "share of pairs whose chosen has the higher implicit reward") \
    X(lag_weight, MEAN, SHARE(t->gap, t->gaps), \
      "mean over tokens of w = exp(proximal logp - behaviour logp): 1 where the round's first weights drew the token") \
    X(lag_weight_max, MEAN, t->gaps > 0 ? t->gap_max : NAN, \
      "the largest w") \
    X(lag_weight_low, MEAN, SHARE(t->gaps_low, t->gaps), \
      "share of tokens with w below 1/2") \
    X(lag_weight_high, MEAN, SHARE(t->gaps_high, t->gaps), \
      "share of tokens with w above 2") \
    X(lag_ess, MEAN, SHARE(t->gap * t->gap, t->gaps * t->gap_square), \
      "effective sample size of w, share of the tokens") \
    X(rho_clip_frac, MEAN, SHARE(t->gaps_over_rho, t->gaps), \
      "share of tokens whose w is above the correction's limit (rho_bar of V-trace)") \
    X(c_clip_frac, MEAN, SHARE(t->gaps_over_c, t->traced), \
      "share of tokens whose w is above c_bar of V-trace") \
    X(value_loss, MEAN, t->values > 0 ? t->value : NAN, \
      "the critic's loss without its coefficient, mean over the round's updates") \
    X(value_clip_frac, MEAN, SHARE(t->value_clipped, t->values), \
      "share of tokens whose value was clipped") \
    X(value_mean, MEAN, SHARE(t->vpred, t->values), \
      "mean value of the critic, or score of the reward model, being trained") \
    X(returns_mean, MEAN, SHARE(t->returns, t->values), \
      "mean of its targets") \
    X(explained_variance, MEAN, \
      1 - SHARE(t->error_square - t->error * t->error / t->values, t->returns_square - t->returns * t->returns / t->values), \
      "share of the variance of the targets that it explains: 1 at best, 0 for a constant") \
    X(value_correlation, MEAN, \
      SHARE((t->vpred_square + t->returns_square - t->error_square) / 2 - t->vpred * t->returns / t->values, \
            sqrt((t->vpred_square - t->vpred * t->vpred / t->values) * (t->returns_square - t->returns * t->returns / t->values))), \
      "Pearson's correlation of a critic's values, or a reward model's scores, with their targets")
// clang-format on

enum rl_figure {
#define FIGURE_ENUM(name, ...) FIGURE_##name,
    RL_FIGURES(FIGURE_ENUM)
#undef FIGURE_ENUM
        RL_FIGURES_COUNT
};
#define FIGURE_BIT(figure) (UINT64_C(1) << FIGURE_##figure)
