/* Private to the sources of a step: step.c, which trains, and passes.c, which computes without
 * gradient.
 *
 * Owner: the compute thread. */
#pragma once
#include "learner/round/rowstep.h"
#include "learner/round/step.h"

struct step {
    struct trainee *trainee;
    struct step_config config;
    /* The most that stays in one micro-batch: sequences, and their rows. */
    size_t unit;
    int rows;
    /* The workspace, and how many there have been. */
    struct pack *pack;
    struct forward *forward;
    struct rowstep *rows_beside;           // NULL: neither terms of rows nor a reference
    float *logp, *entropy, *value, *slope; // (max_rows) of the micro-batch under way
    uint64_t workspaces;
    bool warmup;
};

/* The next micro-batch, from sequence `at` on: packed and forwarded. unit: where its units
 * begin. */
err_t step_forward(struct step *step, const struct step_batch *batch, size_t at,
                   const size_t *unit);

/* logp and entropy of its targets [from, to). */
err_t step_targets(struct step *step, const struct step_batch *batch, int from, int to);

/* The terms of rows that the settings have slopes of, a bit each; whether one of them compares with
 * the reference. */
unsigned step_terms_of(const struct step *step);
bool step_compares_rows(const struct step *step);

/* A stretch of the micro-batch as rowstep.h has it. */
struct row_stretch step_rows(const struct step *step, const struct step_batch *batch, size_t base,
                             int from, int count);
