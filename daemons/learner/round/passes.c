/* Passes of a step without gradient, and what they share with those that have one. */
#include "base/heartbeat.h"
#include "learner/round/step_inner.h"

err_t step_forward(struct step *step, const struct step_batch *batch, size_t at, const size_t *unit)
{
    struct pack *pack = step->pack;
    heartbeat_step(); // of a device's backend no op is one
    pack_fill(pack, batch->sequence + at, batch->sequences - at, unit);
    return forward_run(step->forward, pack->token, pack->position, pack->rows, pack->segment,
                       pack->segments);
}

err_t step_targets(struct step *step, const struct step_batch *batch, int from, int to)
{
    const struct pack *pack = step->pack;
    return forward_logp(step->forward, pack->row + from, pack->target + from, to - from,
                        batch->inverse_temperature, step->logp + from, step->entropy + from);
}

unsigned step_terms_of(const struct step *step)
{
    return objective_terms(&step->config.objective->row, &step->config.settings);
}

bool step_compares_rows(const struct step *step)
{
    return step_terms_of(step) & ROW_TERMS_OF_REFERENCE;
}

struct row_stretch step_rows(const struct step *step, const struct step_batch *batch, size_t base,
                             int from, int count)
{
    return (struct row_stretch){.pack = step->pack,
                                .from = from,
                                .count = count,
                                .base = base,
                                .terms = step_terms_of(step),
                                .inverse_temperature = batch->inverse_temperature,
                                .beta = step->config.settings.rows.beta};
}

err_t step_logp(struct step *step, const struct step_batch *batch, double *ret)
{
    for (size_t at = 0; at < batch->sequences; at += (size_t)step->pack->sequences) {
        TRY(step_forward(step, batch, at, NULL));
        TRY(step_targets(step, batch, 0, step->pack->targets));
        for (int t = 0; t < step->pack->targets; t++)
            *ret++ = (double)step->logp[t];
    }
    return OK;
}

err_t step_values(struct step *step, const struct step_batch *batch, double *ret)
{
    const struct pack *pack = step->pack;
    for (size_t at = 0; at < batch->sequences; at += (size_t)pack->sequences) {
        TRY(step_forward(step, batch, at, NULL));
        TRY(forward_value(step->forward, step->config.critic->model, pack->row, pack->targets,
                          step->value));
        for (int t = 0; t < pack->targets; t++)
            *ret++ = (double)step->value[t];
    }
    return OK;
}

bool step_has_reference(const struct step *step)
{
    return step->config.reference;
}

/* The reference alone runs. */
err_t step_reference_logp(struct step *step, const struct step_batch *batch, double *ret)
{
    struct pack *pack = step->pack;
    if (!step->config.reference)
        return err_new(ERR_INVALID, "the learner has no reference");
    for (size_t at = 0; at < batch->sequences; at += (size_t)pack->sequences) {
        heartbeat_step();
        pack_fill(pack, batch->sequence + at, batch->sequences - at, NULL);
        const struct row_stretch all = step_rows(step, batch, 0, 0, pack->targets);
        TRY(rowstep_forward(step->rows_beside, step->forward, pack));
        TRY(rowstep_reference_logp(step->rows_beside, step->forward, &all, ret));
        ret += pack->targets;
    }
    return OK;
}

err_t step_columns(struct step *step, const struct step_batch *batch)
{
    struct columns *columns = batch->columns;
    const unsigned terms = step_terms_of(step);
    double *logp = columns_add(columns, COLUMN_LOGP);
    for (int k = 0; k < ROW_TERMS; k++)
        if (terms >> k & 1)
            columns_add(columns, row_term_column((enum row_term)k));
    for (size_t at = 0, base = 0; at < batch->sequences; at += (size_t)step->pack->sequences) {
        TRY(step_forward(step, batch, at, NULL));
        const int targets = step->pack->targets;
        const struct row_stretch all = step_rows(step, batch, base, 0, targets);
        TRY(step_targets(step, batch, 0, targets));
        if (step_compares_rows(step))
            TRY(rowstep_forward(step->rows_beside, step->forward, step->pack));
        if (terms)
            TRY(rowstep_values(step->rows_beside, step->forward, &all, columns));
        for (int t = 0; t < targets; t++)
            logp[base + (size_t)t] = (double)step->logp[t];
        base += (size_t)targets;
    }
    return OK;
}
