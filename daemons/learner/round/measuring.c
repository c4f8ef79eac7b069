#include "learner/round/measuring.h"
#include "base/mem.h"
#include "learner/round/coupled.h"
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

/* Of a reward model: its scores, each the one value of a sequence. */
static err_t measure_scores(const struct round_run *run, const struct step_batch *batch,
                            struct rl_tally *tally)
{
    struct columns *columns = batch->columns;
    const size_t tokens = columns->first[columns->sequences];
    SCOPED_MEM double *slope = mem_array(tokens, sizeof *slope);
    const struct rl_totals totals = columns_totals(columns);
    const struct rl_slopes slopes = {.value = slope};
    TRY(step_values(run->step, batch, columns_add(columns, COLUMN_VPRED)));
    return objective_value_grad(run->config.objective, run->config.settings, columns,
                                (struct range){0, columns->sequences}, &totals, &slopes, tally);
}

/* As a step's pass before its slopes. */
static err_t measure(const struct round_run *run, const struct step_batch *batch,
                     struct rl_tally *tally)
{
    struct columns *columns = batch->columns;
    const size_t tokens = columns->first[columns->sequences];
    const bool first_weights = run->config.proximal && !columns->at[COLUMN_PROXIMAL_LOGP];
    const struct step_config config = {.settings = *run->config.settings, .running = run->running};
    const struct step_batch other = coupled_mismatched(batch);
    SCOPED_MEM double *slope = mem_array(tokens, sizeof *slope);
    SCOPED_MEM double *logp = mem_array(coupled_targets(&other), sizeof *logp);
    SCOPED_MEM size_t *unit = NULL;
    struct rl_totals totals = columns_totals(columns);
    struct rl_slopes slopes = {.logp = slope};
    if (first_weights)
        columns_add(columns, COLUMN_PROXIMAL_LOGP);
    TRY(step_columns(run->step, batch));
    TRY(step_logp(run->step, &other, logp));
    SCOPED(coupling) coupling = coupled_fill(&config, batch, first_weights, logp, &unit);
    SCOPED_MEM double *terms = rowstep_slopes(
        objective_terms(&run->config.objective->row, run->config.settings), columns, &slopes);
    totals.coupling = coupling;
    return objective_grad(run->config.objective, run->config.settings, columns,
                          (struct range){0, columns->sequences}, &totals, &slopes, tally);
}

err_t measuring_run(struct round_run *run, struct rl_figures *ret)
{
    TRY(prepare(run));
    SCOPED(round_part) part = round_batch_part(run->batch, 0, 1, 1);
    struct rl_tally tally = {0};
    if (part->batch.columns->first[part->batch.sequences])
        TRY(objective_is_reward(&run->config.objective->row)
                ? measure_scores(run, &part->batch, &tally)
                : measure(run, &part->batch, &tally));
    *ret = rl_tally_figures(&tally);
    return OK;
}
