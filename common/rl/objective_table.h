/* THE table of objectives: each row says all that others have to know of it. Recipe words, checks, docs, what a round gathers and
 * what is reported come from here; nothing else compares an objective's name.
 *
 *     X(name, kernel, unit, needs, outputs, figures, help, settings...)
 *
 * kernel: the function of rl/kernels/kernel.h that computes it. unit: what one loss is of; the sequences of a unit stay in one
 * micro-batch, neighbours in the order that the kernel names. needs: columns that must be there whatever the settings are; a
 * ratio, a correction and a KL term add theirs (NEEDS_OF_...). outputs: what its slopes are of. figures: what it measures
 * beside the loss. settings: struct objective_config's defaults, each of them a key of the recipe.
 *
 *   sft likelihood of the targets: every logp weighs -1/N (token_mean).
 *   rloo  A = R - mean of the others (Ahmadian 2024), token ratios to the behaviour logp with PPO's clip of 0.2, tokens
 *         summed and sequences averaged: without a clip and at lag 0 it is plain REINFORCE, -A/B for each token. TRL's form
 *         is ratio = RATIO_SEQUENCE: exact as an importance weight, but it leaves [0.8, 1.2] after a few dozen tokens and then
 *         trains nothing; so tokens are the default. For larger lags gate = GATE_CAP, cap 2: no token goes dead.
 *   grpo  A = (R - mean)/(std + 1e-4), token ratios with clip 0.2, seq_mean_token_mean, k3 to the reference where
 *         kl_coef > 0 (DeepSeekMath; TRL's default coefficient is 0). TRL's "dapo" loss is reduce = REDUCE_TOKEN_MEAN.
 *   online_dpo  pairs of completions of the weights being trained (Guo 2024): -log sigma(beta (u_w - u_l)), u = sum of
 *         logp - reference; rl/kernels/pair.h has the other losses. Where older weights drew a pair, PPO's clip stops tokens that have
 *         moved far enough (rl/kernels/kernel_pair.c); where the same weights did, it changes no bit. gate = GATE_NONE is TRL's form.
 *   ppo   A by GAE from a critic's values, token ratios with clip 0.2 to the weights that the round began with, each token's
 *         loss times min(1, w) for the lag, token_mean; beside it the critic's loss (rl/kernels/kernel_value.c).
 *
 * Header-only: svc includes it. To add one: a row here, a kernel if it needs a new one, its vectors in
 * tests/golden/objectives.py. */
#pragma once
#include "rl/column_table.h"
#include "rl/figure_table.h"
#include "rl/objective_config.h"

#define OBJECTIVE_UNITS(W)                                                                         \
    W(OBJECTIVE_TOKEN, "token", "a token")                                                         \
    W(OBJECTIVE_SEQUENCE, "sequence", "a completion")                                              \
    W(OBJECTIVE_PAIR, "pair", "two completions of a prompt: the chosen, then the rejected one")    \
    W(OBJECTIVE_GROUP, "group", "all completions of a prompt")
enum objective_unit { OBJECTIVE_UNITS(WORD_ENUM) };
WORD_TYPE(objective_unit, OBJECTIVE_UNITS)

/* The quantities that an objective has slopes of, a bit each: the target's log-probability, the entropy of the next-token distribution, a value head, the
 * whole row of the vocabulary. */
enum objective_output {
    OUTPUT_LOGP = 1,
    OUTPUT_ENTROPY = 2,
    OUTPUT_VALUE = 4,
    OUTPUT_VOCABULARY = 8
};

/* Columns that settings need beside a row's own: a ratio, a correction of it, a KL term in the loss or in the reward. */
#define NEEDS_OF_RATIO      COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP)
#define NEEDS_OF_CORRECTION (COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP) | COLUMN_BIT(COLUMN_PROXIMAL_LOGP))
#define NEEDS_OF_KL         COLUMN_BIT(COLUMN_REFERENCE_LOGP)

/* The columns of advantages from a critic (rl/advantages/gae.h), and those of the critic's loss beside vpred. */
#define NEEDS_OF_GAE                                                                               \
    (NEEDS_OF_CORRECTION | COLUMN_BIT(COLUMN_VALUE) | COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE) |         \
     COLUMN_BIT(COLUMN_RETURNS))
#define NEEDS_OF_VALUE (COLUMN_BIT(COLUMN_VALUE) | COLUMN_BIT(COLUMN_RETURNS))

// clang-format off
#define FIGURES_OF_RATIOS \
    (FIGURE_BIT(clip_frac) | FIGURE_BIT(ess) | FIGURE_BIT(weight_max) | \
     FIGURE_BIT(kl_behaviour) | FIGURE_BIT(kl_behaviour_k3))
#define FIGURES_OF_PAIRS \
    (FIGURE_BIT(pairs) | FIGURE_BIT(rewards_chosen) | FIGURE_BIT(rewards_rejected) | FIGURE_BIT(rewards_margin) | \
     FIGURE_BIT(rewards_accuracy))

#define FIGURES_OF_LAG \
    (FIGURE_BIT(lag_weight) | FIGURE_BIT(lag_weight_max) | FIGURE_BIT(lag_weight_low) | FIGURE_BIT(lag_weight_high) | \
     FIGURE_BIT(lag_ess) | FIGURE_BIT(rho_clip_frac) | FIGURE_BIT(c_clip_frac))
#define FIGURES_OF_VALUES \
    (FIGURE_BIT(value_loss) | FIGURE_BIT(value_clip_frac) | FIGURE_BIT(value_mean) | FIGURE_BIT(returns_mean) | \
     FIGURE_BIT(explained_variance))

#define OBJECTIVES(X) \
    X(rloo, kernel_policy, OBJECTIVE_SEQUENCE, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_RATIOS, \
      "REINFORCE, the others of the group as baseline, ratios clipped", \
      .advantage = ADVANTAGE_LOO, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(grpo, kernel_policy, OBJECTIVE_SEQUENCE, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_RATIOS, \
      "rewards normalised within the group, ratios clipped", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl = KL_K3) \
    X(online_dpo, kernel_pair, OBJECTIVE_PAIR, COLUMN_BIT(COLUMN_REFERENCE_LOGP), OUTPUT_LOGP, FIGURES_OF_RATIOS | FIGURES_OF_PAIRS, \
      "the best and the worst of a group as a pair, the reference as the base, ratios clipped", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3, \
      .pair = {PAIR_SIGMOID, .beta = 0.1}) \
    X(ppo, kernel_policy, OBJECTIVE_SEQUENCE, NEEDS_OF_GAE, OUTPUT_LOGP | OUTPUT_VALUE, \
      FIGURES_OF_RATIOS | FIGURES_OF_LAG | FIGURES_OF_VALUES, \
      "a critic's advantages for each token, ratios clipped; a token that older weights drew counts by its importance weight", \
      .advantage = ADVANTAGE_GAE, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .correction = {CORRECTION_TIS_TOKEN, .high = 1}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .gae = {.gamma = 1, .lambda = 0.95, .c_bar = 1, .rho_bar = 1, .whiten_advantages = true}, \
      .value = {.coef = 1, .clip = 0.2}) \
    X(sft, kernel_policy, OBJECTIVE_TOKEN, 0, OUTPUT_LOGP, 0, \
      "likelihood of the targets", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3)
// clang-format on

struct objective_row {
    const char *name, *help;
    enum objective_unit unit;
    uint64_t needs;
    unsigned outputs;
    uint64_t figures;
    struct objective_config defaults;
};

/* In the table's order; NULL: past the last. */
static inline const struct objective_row *objective_row_at(size_t i)
{
#define OBJECTIVE_ROW(name, kernel, unit, needs, outputs, figures, help, ...)                      \
    {#name, help, unit, needs, outputs, figures, {__VA_ARGS__}},
    static const struct objective_row rows[] = {OBJECTIVES(OBJECTIVE_ROW)};
#undef OBJECTIVE_ROW
    return i < sizeof rows / sizeof *rows ? &rows[i] : NULL;
}

/* NULL: no such objective. */
static inline const struct objective_row *objective_row(const char *name)
{
    const struct objective_row *row;
    for (size_t i = 0; (row = objective_row_at(i)); i++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

/* A policy gradient weighs completions by advantages and may take ratios; others have neither. */
static inline bool objective_is_policy(const struct objective_row *row)
{
    return row->needs & (COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE));
}

/* Whether a critic is trained beside the policy. */
static inline bool objective_has_critic(const struct objective_row *row)
{
    return row->outputs & OUTPUT_VALUE;
}

/* Sequences whose loss is one: they stay in one micro-batch. completions: of a group. */
static inline int objective_sequences(const struct objective_row *row, int completions)
{
    if (row->unit == OBJECTIVE_PAIR)
        return 2;
    return row->unit == OBJECTIVE_GROUP ? completions : 1;
}

/* Whether a gate may limit its slopes. */
static inline bool objective_takes_gate(const struct objective_row *row)
{
    return objective_is_policy(row) || row->unit == OBJECTIVE_PAIR;
}

/* Whether it compares completions of a prompt, which must be two or more then. */
static inline bool objective_compares(const struct objective_row *row, enum advantage advantage)
{
    return row->unit == OBJECTIVE_PAIR || row->unit == OBJECTIVE_GROUP || advantage > ADVANTAGE_RAW;
}

/* The rows that a recipe without learner.objective takes, and supervised training (rlhfctl sft). */
#define OBJECTIVE_DEFAULT    "rloo"
#define OBJECTIVE_SUPERVISED "sft"

/* "rloo|grpo|...": the words of learner.objective. */
#define OBJECTIVE_WORD(name, ...) "|" #name
#define OBJECTIVE_WORDS           (OBJECTIVES(OBJECTIVE_WORD) + 1)
