/* RUN/evals.jsonl: one JSON object per evaluated version, in the order in which they ended, on disk
 * when evals_write returns.
 *
 *     {"version", "round", "lineage", "time", "prompts", "failed", "skipped", "temperature", "success", "reward_mean",
 *      "reward_std", "length_mean", "ended", "seconds", "scores": {NAME: mean, ...}}
 *
 *     SCOPED(evals) evals = NULL;
 *     TRY(evals_open("run/evals.jsonl", &evals));      -- a torn last line is dropped, a damaged one stays
 *     if (!evals_has(evals, lineage, version))
 *         ...
 *
 * failed: prompts that could not be decoded or scored, which count in no mean. skipped: versions
 * that were due since the line before and gave way to a newer one. ended: share that an end token
 * ended. A mean of nothing is null. One thread. */
#pragma once
#include "learner/publish/evaluation.h"
#include "svc/recipe/recipe.h"

struct evals;
err_t evals_open(const char *path, struct evals **ret);

/* The file's last line when it was opened; false: there was none. NaN: null. */
struct evals_last {
    double version, success, reward;
};
bool evals_last(const struct evals *evals, struct evals_last *ret);
bool evals_has(const struct evals *evals, uint32_t lineage, uint64_t version);
err_t evals_write(struct evals *evals, const struct evaluation_options *what,
                  const struct evaluation_figures *figures, const struct recipe_scorers *scorers,
                  uint64_t skipped);
void evals_free(struct evals *evals);
DEFINE_SCOPED(evals)
