#include "learner/round/coupled.h"
#include "base/mem.h"
#include <string.h>

struct step_batch coupled_mismatched(const struct step_batch *batch)
{
    const bool there = batch->mismatched && batch->columns->at[COLUMN_MISMATCHED_REFERENCE];
    return (struct step_batch){.sequences = there ? batch->sequences : 0,
                               .sequence = batch->mismatched,
                               .inverse_temperature = batch->inverse_temperature};
}

size_t coupled_targets(const struct step_batch *batch)
{
    size_t targets = 0;
    for (size_t i = 0; i < batch->sequences; i++)
        targets += (size_t)sequence_targets(&batch->sequence[i]);
    return targets;
}

static void fill_mismatched(const struct step_batch *batch, const double *logp)
{
    const struct step_batch other = coupled_mismatched(batch);
    double *sum = other.sequences ? columns_add(batch->columns, COLUMN_MISMATCHED) : NULL;
    for (size_t i = 0; i < other.sequences; i++) {
        sum[i] = -batch->columns->at[COLUMN_MISMATCHED_REFERENCE][i];
        for (int t = sequence_targets(&other.sequence[i]); t > 0; t--)
            sum[i] += *logp++;
    }
}

struct coupling *coupled_fill(const struct step_config *config, const struct step_batch *batch,
                              bool first_weights, const double *logp, size_t **ret_unit)
{
    struct columns *columns = batch->columns;
    size_t *unit = mem_array(batch->sequences + 1, sizeof *unit);
    if (first_weights)
        memcpy(columns->at[COLUMN_PROXIMAL_LOGP], columns->at[COLUMN_LOGP],
               columns->first[columns->sequences] * sizeof(double));
    fill_mismatched(batch, logp);
    for (size_t i = 0; i <= batch->sequences; i++)
        unit[i] = i;
    *ret_unit = unit;
    return coupling_new(&config->settings, columns, config->running);
}
