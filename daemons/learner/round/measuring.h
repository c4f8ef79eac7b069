/* The figures of an objective on a round that is not trained: of held-out rows.
 *
 *     struct rl_figures figures;
 *     TRY(measuring_run(&run, &figures));
 *
 * Owner: the compute thread. */
#pragma once
#include "learner/round/stages.h"

/* Runs the stages before the updates, and measures under the present weights. NaN: no sequence is
 * chosen. */
err_t measuring_run(struct round_run *run, struct rl_figures *ret);
