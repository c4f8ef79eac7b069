/* Two rankings of the models whose answers were compared, by people's choices and by a reward
 * model's. The figures say how well one tells the other (PPE, Frick 2024; Arena-Hard, Li 2024).
 *
 *     struct league league;
 *     league_of(battles, n, models, &bootstrap, &league);
 *     league.agreement, league.spearman.value
 *     league_done(&league);
 *
 * A model's strength is that of bradley_terry.h. Two models are separated where the intervals of
 * their strengths lie apart. Owner: one thread; pure. */
#pragma once
#include "ctl/reward/eval/bootstrap.h"
#include "ctl/reward/eval/bradley_terry.h"

struct battle {
    size_t a, b;          // models, different ones
    double people, score; // a won: 1, b won: 0, nobody: 0.5; by people, by the reward model
    size_t cluster;       // of the bootstrap
};

struct league {
    size_t models;
    struct estimate *people, *score; // (models) strengths
    /* Of strengths; the mean over models of Pearson's correlation of their shares won against each
     * other one. */
    struct estimate spearman, kendall, row_pearson;
    double separated_people, separated_score; // shares of pairs of models
    /* Mean over pairs: 1 where both separate them and agree on the better one, -1 where they do not
     * agree, 0 where one of them does not separate. */
    double agreement;
    /* Mean over pairs of (share - truth)^2. share: of the draws in which the reward model has the
     * one above the other; truth: 1 if people have. */
    double brier;
};

/* models: 2 to BRADLEY_TERRY_PLAYERS. Without draws the last four are NaN. */
void league_of(const struct battle *battle, size_t n, size_t models,
               const struct bootstrap *bootstrap, struct league *ret);
void league_done(struct league *league);
