/* The measurements of an objective: sums that add over stretches, micro-batches and ranks, and the
 * figures made of them. Names and formulas are in rl/figure_table.h.
 *
 *     struct rl_tally tally = {0};
 *     TRY(objective_grad(..., &tally));                    -- each stretch
 *     struct rl_figures figures = rl_tally_figures(&tally);
 *     -> figures.clip_frac, or figures.at[FIGURE_clip_frac] */
#pragma once
#include "rl/figure_table.h"

struct rl_tally {
#define TALLY_FIELD(name, how) double name;
    RL_SUMS(TALLY_FIELD)
#undef TALLY_FIELD
};

struct rl_figures {
    union {
        struct {
#define FIGURE_FIELD(name, ...) double name;
            RL_FIGURES(FIGURE_FIELD)
#undef FIGURE_FIELD
        };
        double at[RL_FIGURES_COUNT];
    };
};

/* NaN where nothing was counted. */
struct rl_figures rl_tally_figures(const struct rl_tally *tally);

/* The figures of a round from those of its updates: `into` begins as zeros. */
void rl_figures_add(struct rl_figures *into, const struct rl_figures *update);

/* Means are divided by how many updates had something to train; NaN where none had. */
void rl_figures_average(struct rl_figures *figures, double updates);

const char *rl_figure_name(enum rl_figure figure);
