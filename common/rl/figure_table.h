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
    S(units, ADD)              /* How many tokens, or sequences where ratios are theirs. */ \
    S(clipped, ADD)            /* How many of those the gate held. */ \
    S(compared, ADD)           /* How many tokens have a behaviour logp. */ \
    S(k1, ADD) S(k3, ADD)      /* Both estimates, summed over them. */ \
    S(weights, ADD)            /* How many units have an importance weight exp(logp - behaviour); sums over them. */ \
    S(weight, ADD) S(weight_square, ADD) S(weight_max, MAX) \
    S(referred, ADD)           /* How many tokens have a reference logp. */ \
    S(reference_k1, ADD) S(reference_k3, ADD) \
    S(pairs, ADD) S(pairs_right, ADD) \
    S(rewards_chosen, ADD) S(rewards_rejected, ADD)     /* Implicit rewards beta * u (rl/pair.h). */

#define RL_FIGURES(X) \
    X(loss, MEAN, t->policy + t->kl, \
      "the objective's loss, mean over the round's updates") \
    X(loss_kl, MEAN, t->kl, \
      "the part of it that is the KL term") \
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
    X(ess, MEAN, SHARE(t->weight * t->weight, t->weights * t->weight_square), \
      "effective sample size of the importance weights, share of the tokens: 1 on policy") \
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
      "share of pairs whose chosen has the higher implicit reward")
// clang-format on

enum rl_figure {
#define FIGURE_ENUM(name, ...) FIGURE_##name,
    RL_FIGURES(FIGURE_ENUM)
#undef FIGURE_ENUM
        RL_FIGURES_COUNT
};
#define FIGURE_BIT(figure) (UINT64_C(1) << FIGURE_##figure)
