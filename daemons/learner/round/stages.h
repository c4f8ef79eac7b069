/* The stages of a round, in order: gather columns, fill columns, choose sequences, make updates,
 * report. Columns are gathered from the round's groups. More are filled by passes without gradient
 * and from rewards.
 *
 *     SCOPED_VALUE(round_run) run = {.round = round, .groups = groups, .recipe = recipe, .step = step, ...};
 *     TRY(stages_run(&run));                           -- the model has the round's weights, *run.report its figures
 *
 * A stage names the columns that it fills, and runs if the round needs one of them
 * (round_run_needs). Some stages decide by other settings. Owner: the compute thread. To add one: a
 * row of the table in stages.c. */
#pragma once
#include "learner/round/report.h"
#include "learner/round/roundbatch.h"
#include "rl/running.h"
#include "svc/recipe/recipe.h"

struct referee;

/* A round under way. Everything but batch is borrowed. */
struct round_run {
    const struct round *round;
    struct group *const *groups;
    /* Says how many epochs there are, and which scores are a success. */
    const struct recipe *recipe;
    struct round_config config;
    struct model *model; // the policy's, as config has it
    /* mismatching.h; NULL: the learner's own reference. */
    const struct referee *referee;
    /* Moved by stages and by the updates; NULL: none is kept. */
    struct running *running;
    struct step *step;
    /* The step that computes values: `step` itself, or a critic's own; NULL: there is no critic. */
    struct step *critic;
    /* The critic alone is trained. */
    bool warmup;
    /* Called after update u = 0, 1, ...; an error ends the round. */
    err_t (*done)(void *arg, uint32_t u);
    void *arg;
    struct round_report *report;
    /* The first stage makes it. */
    struct round_batch *batch;
};
void round_run_done(struct round_run *run);

/* The columns that must be there before the first update: those that the objective needs, and the
 * one that its ratios are taken to. Columns that the step itself fills are not among them. */
uint64_t round_run_needs(const struct round_run *run);

struct stage {
    const char *name;
    /* Columns, a bit each. */
    uint64_t fills;
    /* Whether the stage runs; NULL: it does if one of its columns is needed. */
    bool (*wanted)(const struct round_run *run);
    err_t (*run)(struct round_run *run);
};

/* NULL: past the last. */
const struct stage *stage_at(size_t i);
bool stage_runs(const struct stage *stage, const struct round_run *run);

/* Adds to *run->report: loss, rewards, lag, lengths, logp_differing. INVALID: a column is missing,
 * or a gradient is not finite; the weights of the updates before it stay. */
err_t stages_run(struct round_run *run);
