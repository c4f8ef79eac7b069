/* RUN/evals.jsonl of an offline run: a line for each version that was tried on held-out rows.
 *
 *     {"version", "round", "chunk", "rows", "loss", ...}      -- the objective's figures (rl/figure_table.h)
 *
 *     TRY(trials_open("run/evals.jsonl", &trials));
 *     if (!trials_has(trials, version))
 *         TRY(trials_write(trials, &trial));
 *
 * Lines are in the order of versions. Owner: one thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "rl/tally.h"
#include <stdbool.h>
#include <stdint.h>

struct trial {
    uint64_t version, round, chunk, rows;
    struct rl_figures figures;
};

struct trials;

/* A torn last line is dropped. */
err_t trials_open(const char *path, struct trials **ret);

/* A run that goes on from a checkpoint comes to the same versions again. */
bool trials_has(const struct trials *trials, uint64_t version);
err_t trials_write(struct trials *trials, const struct trial *trial); // NaN: the figure is left out
void trials_free(struct trials *trials);
DEFINE_SCOPED(trials)
