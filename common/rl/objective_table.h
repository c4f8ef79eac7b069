/* THE table of objectives: each row says all that others have to know of it. Recipe words, checks, docs, what a round gathers and
 * what is reported come from here; nothing else compares an objective's name. The rows are in rl/rows_policy.h,
 * rl/rows_preference.h, rl/rows_reward.h and rl/rows_vocabulary.h.
 *
 *     X(name, kernel, unit, data, needs, outputs, figures, help, source, lag, settings...)
 *
 * kernel: the function of rl/kernels/kernel.h that computes it. unit: what one loss is of; the sequences of a unit stay in one
 * micro-batch, neighbours in the order that the kernel names. data: what it trains from. needs: columns that must be there
 * whatever the settings are; a ratio, a correction and a KL term add theirs (NEEDS_OF_...). outputs: what its slopes are of.
 * figures: what it measures beside the loss. source: the paper, its year and number; "[recalled]" where nobody read the formula
 * there or in its authors' code. lag: what becomes of it where older weights drew the completions. settings: struct
 * objective_config's defaults, each of them a key of the recipe.
 *
 * Header-only: svc includes it. To add one: a row, a kernel if it needs a new one, its vectors in
 * tests/golden/objectives.py; common/rl/README.md has an example. */
#pragma once
#include "rl/column_table.h"
#include "rl/figure_table.h"
#include "rl/objective_config.h"
#include "rl/rows_policy.h"
#include "rl/rows_preference.h"
#include "rl/rows_reward.h"
#include "rl/rows_vocabulary.h"

#define OBJECTIVE_UNITS(W)                                                                         \
    W(OBJECTIVE_TOKEN, "token", "a token")                                                         \
    W(OBJECTIVE_SEQUENCE, "sequence", "a completion")                                              \
    W(OBJECTIVE_PAIR, "pair", "two completions of a prompt: the chosen, then the rejected one")    \
    W(OBJECTIVE_GROUP, "group", "all completions of a prompt")
enum objective_unit { OBJECTIVE_UNITS(WORD_ENUM) };
WORD_TYPE(objective_unit, OBJECTIVE_UNITS)

/* The data of an objective. */
#define OBJECTIVE_DATA(W)                                                                          \
    W(DATA_REWARDS, "rewards", "completions of a prompt and their rewards")                        \
    W(DATA_PAIRS, "pairs", "a chosen and a rejected completion of a prompt")                       \
    W(DATA_LABELS, "labels", "completions that are labelled good or bad, each by itself")          \
    W(DATA_MIXTURE, "mixture",                                                                     \
      "completions and their opponents, which the reference draws, or a mixture with it: no "      \
      "generator does")                                                                            \
    W(DATA_LISTS, "lists", "the completions of a prompt, ranked")                                  \
    W(DATA_COMPARISONS, "comparisons",                                                             \
      "two answers of a prompt, shown beside each other, and the label of the better one")         \
    W(DATA_DEMONSTRATIONS, "demonstrations", "answers to imitate")
enum objective_data { OBJECTIVE_DATA(WORD_ENUM) };
WORD_TYPE(objective_data, OBJECTIVE_DATA)

/* The quantities that an objective has slopes of, a bit each: the target's log-probability, a value head; from the fifth bit on
 * terms of whole rows of the vocabulary (rl/row_term.h). */
enum objective_output { OUTPUT_LOGP = 1, OUTPUT_VALUE = 4 };
#define OUTPUT_TERM(term)     (ROW_TERM_BIT(term) << 4)
#define OUTPUT_TERMS(outputs) ((outputs) >> 4)

/* The column of a term, which the step fills. */
static inline enum column row_term_column(enum row_term term)
{
    static const enum column columns[] = {
#define ROW_TERM_COLUMN(TERM, name, help) COLUMN_##TERM,
        ROW_TERMS_TABLE(ROW_TERM_COLUMN)
#undef ROW_TERM_COLUMN
    };
    return columns[term];
}

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
#define FIGURES_OF_GATE FIGURE_BIT(clip_frac)
#define FIGURES_OF_POLICY (FIGURES_OF_RATIOS | FIGURE_BIT(mask_frac) | FIGURE_BIT(ess_sequences))
#define FIGURES_OF_PAIRS \
    (FIGURE_BIT(pairs) | FIGURE_BIT(rewards_chosen) | FIGURE_BIT(rewards_rejected) | FIGURE_BIT(rewards_margin) | \
     FIGURE_BIT(rewards_accuracy))

#define FIGURES_OF_LAG \
    (FIGURE_BIT(lag_weight) | FIGURE_BIT(lag_weight_max) | FIGURE_BIT(lag_weight_low) | FIGURE_BIT(lag_weight_high) | \
     FIGURE_BIT(lag_ess) | FIGURE_BIT(rho_clip_frac) | FIGURE_BIT(c_clip_frac))
#define FIGURES_OF_VALUES \
    (FIGURE_BIT(value_loss) | FIGURE_BIT(value_clip_frac) | FIGURE_BIT(value_mean) | FIGURE_BIT(returns_mean) | \
     FIGURE_BIT(explained_variance) | FIGURE_BIT(value_correlation))

#define OBJECTIVES(X) ROWS_POLICY(X) ROWS_PREFERENCE(X) ROWS_VOCABULARY(X) ROWS_REWARD(X)
// clang-format on

struct objective_row {
    const char *name, *help, *source, *lag, *kernel;
    enum objective_unit unit;
    enum objective_data data;
    uint64_t needs;
    unsigned outputs;
    uint64_t figures;
    struct objective_config defaults;
};

/* In the table's order; NULL: past the last. */
static inline const struct objective_row *objective_row_at(size_t i)
{
#define OBJECTIVE_ROW(name, kernel, unit, data, needs, outputs, figures, help, source, lag, ...)   \
    {#name, help, source, lag, #kernel, unit, data, needs, outputs, figures, {__VA_ARGS__}},
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

/* A policy gradient weighs completions by advantages and may take ratios; others have neither. To a
 * residual the advantage is a target. */
static inline bool objective_is_policy(const struct objective_row *row)
{
    return row->needs & (COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE)) &&
           !(row->defaults.residual.factor > 0);
}

/* Whether a critic is trained beside the policy. */
static inline bool objective_has_critic(const struct objective_row *row)
{
    return row->outputs & OUTPUT_VALUE && row->outputs & OUTPUT_LOGP;
}

/* Whether it trains a reward model: one value of a whole sequence, at its end, and no policy. */
static inline bool objective_is_reward(const struct objective_row *row)
{
    return row->outputs & OUTPUT_VALUE && !(row->outputs & OUTPUT_LOGP);
}

/* Whether it trains a model that judges completions, a reward model or a pairwise preference model:
 * rlhfctl reward train's. A ring has a policy to train. */
static inline bool objective_is_judge(const struct objective_row *row)
{
    return objective_is_reward(row) || row->data == DATA_COMPARISONS;
}

/* The terms of rows that a row with these settings has slopes of, a bit each; and their columns. */
static inline unsigned objective_terms(const struct objective_row *row,
                                       const struct objective_config *config)
{
    return OUTPUT_TERMS(row->outputs) | row_config_terms(&config->rows);
}
static inline uint64_t objective_term_columns(unsigned terms)
{
    uint64_t columns = 0;
    for (int k = 0; k < ROW_TERMS; k++)
        columns |= terms >> k & 1 ? COLUMN_BIT(row_term_column((enum row_term)k)) : 0;
    return columns;
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
    return objective_is_policy(row) || row->defaults.pair.loss != PAIR_NONE;
}

/* Whether there is a ratio to other weights. */
static inline bool objective_has_ratio(const struct objective_config *config)
{
    return config->gate.gate != GATE_NONE && config->gate.gate != GATE_PROBABILITY;
}

/* Whether advantages are of tokens, from what a pass or the rewards of tokens say. */
static inline bool objective_of_tokens(const struct objective_config *config)
{
    return config->advantage == ADVANTAGE_GAE || config->advantage == ADVANTAGE_TO_GO;
}

/* Whether it compares completions of a prompt, which must be two or more then. */
static inline bool objective_compares(const struct objective_row *row, enum advantage advantage)
{
    return row->unit == OBJECTIVE_PAIR || row->unit == OBJECTIVE_GROUP ||
           advantage > ADVANTAGE_TO_GO;
}

/* The rows that a recipe without learner.objective takes, and supervised training (rlhfctl sft). */
#define OBJECTIVE_DEFAULT    "rloo"
#define OBJECTIVE_SUPERVISED "sft"

/* "rloo|grpo|...": the words of learner.objective. */
#define OBJECTIVE_WORD(name, ...) "|" #name
#define OBJECTIVE_WORDS           (OBJECTIVES(OBJECTIVE_WORD) + 1)
