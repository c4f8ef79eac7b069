/* Objectives: arrays per token in; loss and d loss / d logp out. Pure: no device, clock, thread or file; double precision.
 *
 *     const struct objective *objective = objective_find("rloo");
 *     struct objective_config config = objective->defaults;
 *     advantage_compute(config.advantage, &groups, config.advantage_epsilon, advantage);    -- rl/advantage.h: the round
 *     TRY(objective_grad(objective, &config, &micro, &totals, dlogp, &tally));              -- each micro-batch
 *
 * An objective is a row of one table, advantage x gate (ratio, clip) x correction x KL x reduction; all may be set apart.
 *
 *   sft   likelihood of the targets: every logp weighs -1/N (token_mean)
 *   rloo  A = R - mean of the others (Ahmadian 2024), token ratios to the behaviour logp with PPO's clip of 0.2, tokens
 *         summed and sequences averaged: without a clip and at lag 0 it is plain REINFORCE, -A/B for each token. TRL's form
 *         (one ratio of the whole sequence) is ratio = RATIO_SEQUENCE: exact as an importance weight, but it leaves
 *         [0.8, 1.2] after a few dozen tokens, and then trains nothing; so tokens are the default. For larger lags
 *         gate = GATE_CAP, cap 2: truncated importance weights, no token goes dead.
 *   grpo  A = (R - mean)/(std + 1e-4), token ratios with clip 0.2, seq_mean_token_mean, k3 to the reference where
 *         kl_coef > 0 (DeepSeekMath; TRL's default coefficient is 0). TRL's "dapo" loss is reduce = REDUCE_TOKEN_MEAN.
 *   online_dpo  pairs of completions of the weights being trained (Guo 2024): -log sigma(beta (u_w - u_l)), u = sum of
 *         logp - reference; rl/pair.h has the other losses. Sequences come as neighbours, 2i the chosen and 2i + 1 the
 *         rejected one (rl/pairs.h picks them), both in one micro-batch. Mean over the update's pairs, totals.sequences / 2;
 *         reduce is of the KL term alone. Weights only mask. A pair with a side that is masked whole teaches nothing (and the
 *         other side still counts half a pair: better left out of the update). No advantages and no behaviour are needed,
 *         the reference always is; gate, ratio and correction have no meaning.
 *
 * Any thread. To add one: a row of the table in objective.c and its vector in tests/golden/objectives.py. */
#pragma once
#include "base/err.h"
#include "rl/advantage.h"
#include "rl/correction.h"
#include "rl/gate.h"
#include "rl/kl.h"
#include "rl/pair.h"
#include "rl/reduce.h"
#include "rl/rl_batch.h"
#include "rl/tally.h"
#include <stddef.h>

/* What one ratio is of. */
enum ratio {
    RATIO_TOKEN,     // a token
    RATIO_SEQUENCE,  // a whole sequence: the product of its tokens' (proximal RLOO)
    RATIO_GEOMETRIC, // a whole sequence: their geometric mean (GSPO)
};

struct objective_config {
    enum advantage advantage;
    double advantage_epsilon;
    enum ratio ratio;
    struct gate_config gate;
    struct correction_config correction; // needs batch->old
    enum reduce reduce;
    double reduce_length; // L of REDUCE_CONST_NORM, > 0
    double kl_coef;       // of the KL term in the loss; 0: none
    enum kl kl;
    struct pair_config pair; // of objectives on pairs
};

struct objective {
    const char *name, *help;
    struct objective_config defaults;
};

const struct objective *objective_find(const char *name); // NULL: no such row
const struct objective *objective_at(size_t i);           // NULL: past the last

/* INVALID: settings that make no sense; the message names the field. */
err_t objective_check(const struct objective_config *config);

/* Whether batch->behaviour (or old) has to be there. */
bool objective_needs_behaviour(const struct objective_config *config);

/* Whether sequences come as pairs and the reference has to be there. */
bool objective_pairs(const struct objective_config *config);

/* Writes dlogp (tokens) and adds to *tally. INVALID: settings, an array that they need is NULL, or an empty update; then
 * dlogp is as it was. Masked tokens get 0. */
err_t objective_grad(const struct objective *objective, const struct objective_config *config,
                     const struct rl_batch *batch, const struct rl_totals *totals, double *dlogp,
                     struct rl_tally *tally);
