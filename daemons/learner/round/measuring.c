#include "learner/round/measuring.h"
#include "base/mem.h"
#include "learner/round/rowstep.h"
#include "rl/objective.h"
#include <string.h>

/* Those before the first update. */
static err_t prepare(struct round_run *run)
{
    const struct stage *stage;
    for (size_t i = 0; (stage = stage_at(i)) && strcmp(stage->name, "updates") != 0; i++)
        if (stage_runs(stage, run))
            TRY(stage->run(run));
    return OK;
}

err_t measuring_run(struct round_run *run, struct rl_figures *ret)
{
    TRY(prepare(run));
    SCOPED(round_part) part = round_batch_part(run->batch, 0, 1, 1);
    struct columns *columns = part->batch.columns;
    const size_t tokens = columns->first[columns->sequences];
    SCOPED_MEM double *slope = mem_array(tokens, sizeof *slope);
    struct rl_tally tally = {0};
    if (tokens) {
        TRY(step_columns(run->step, &part->batch));
        const double *logp = columns->at[COLUMN_LOGP];
        if (run->config.proximal && !columns->at[COLUMN_PROXIMAL_LOGP])
            memcpy(columns_add(columns, COLUMN_PROXIMAL_LOGP), logp, tokens * sizeof *logp);
        const struct rl_totals totals = columns_totals(columns);
        struct rl_slopes slopes = {.logp = slope};
        SCOPED_MEM double *terms = rowstep_slopes(
            objective_terms(&run->config.objective->row, run->config.settings), columns, &slopes);
        TRY(objective_grad(run->config.objective, run->config.settings, columns,
                           (struct range){0, columns->sequences}, &totals, &slopes, &tally));
    }
    *ret = rl_tally_figures(&tally);
    return OK;
}
