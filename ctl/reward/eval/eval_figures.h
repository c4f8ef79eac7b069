/* The figures of a reward model from scored lines, with their intervals: PPE's (Frick 2024).
 *
 *     SCOPED_VALUE(eval_figures) figures = {0};
 *     eval_figures_of(&data, &(struct bootstrap){.draws = 1000, .seed = 1}, &figures);
 *     figures.pairs.accuracy.value, .low, .high
 *
 * The bootstrap draws prompts. Owner: one thread; pure. */
#pragma once
#include "ctl/reward/eval/best_of.h"
#include "ctl/reward/eval/drift.h"
#include "ctl/reward/eval/eval_data.h"
#include "ctl/reward/eval/league.h"
#include "ctl/reward/eval/statistics.h"
#include <stdbool.h>

/* Pairs with people's choice. A tie of scores is half right; pairs whose annotators are split in
 * halves do not count in accuracy and longer. */
struct pair_figures {
    size_t pairs, ties, split;
    struct estimate accuracy, auc; // auc: chosen answers of all prompts above rejected ones
    struct estimate longer;        // accuracy of choosing the longer answer
    /* Of the chance logistic(margin) that the chosen one is preferred. */
    struct estimate log_loss, brier;
    double margin;                  // mean
    double scale, scaled_log_loss;  // the factor of margins with the least log loss, and that loss
    struct calibration calibration; // of the better scored answer of each pair, of its mirror, too
    /* (groups) accuracy of each; their mean, and the lowest (PPE: the pessimistic figure). */
    struct estimate *group;
    size_t *group_pairs, groups;
    struct estimate group_mean, group_lowest;
};

/* Answers with a gold score. */
struct answer_figures {
    size_t answers, prompts; // prompts: with two answers and more
    bool labels;             // all gold scores are 0 or 1
    struct estimate pearson, spearman, kendall, auc;
    /* Means over prompts for which they are defined. */
    struct estimate prompt_pearson, prompt_spearman, prompt_kendall, prompt_auc;
    struct estimate prompt_accuracy; // of the pairs of a prompt's answers whose gold differs
    /* Spearman of lengths with scores, and with gold. */
    struct estimate length_score, length_gold;
};

/* Best of 1 to `most` of the prompts that have so many answers: half of all, or more. */
struct best_figures {
    size_t most, prompts;
    struct estimate *gold, *pessimistic, *oracle, *regret; // (most)
    double *score;                                         // (most) mean score of the picked
    struct estimate share; // (gold[most] - gold[1]) / (oracle[most] - gold[1])
    struct estimate loss;  // mean over k and prompts of (oracle - gold)^2
    size_t best;           // the k of the highest gold
    struct drift drift;    // of gold above gold[1] by best_of_kl
};

/* A group's answers alone. */
struct group_figures {
    struct answer_figures answers;
    struct best_figures best;
};

struct eval_figures {
    struct pair_figures pairs;     // pairs 0: none
    struct answer_figures answers; // answers 0: none
    struct best_figures best;      // most 0: no prompt has two answers
    struct group_figures *group;   // (groups) of the data; NULL: no answers, or no groups
    size_t groups;
    struct league league; // models 0: fewer than two, or no battle
    size_t battles;
};

/* bootstrap: without clusters, which are the data's. data: after eval_data_end. */
void eval_figures_of(const struct eval_data *data, const struct bootstrap *bootstrap,
                     struct eval_figures *ret);
void eval_figures_done(struct eval_figures *figures);

/* The parts of eval_figures_of. */
void pair_figures_of(const struct eval_data *data, const struct bootstrap *bootstrap,
                     struct pair_figures *ret);
void answer_figures_of(const struct eval_data *data, const struct bootstrap *bootstrap,
                       struct answer_figures *ret);
void best_figures_of(const struct eval_data *data, const struct bootstrap *bootstrap,
                     struct best_figures *ret);
