#include "learner/round/rowstep.h"
#include "base/mem.h"
#include <stdlib.h>

_Static_assert((int)TERM_COUNT == (int)ROW_TERMS && (int)TERM_ENTROPY == (int)ROW_ENTROPY &&
                   (int)TERM_FORWARD_KL == (int)ROW_FORWARD_KL &&
                   (int)TERM_REVERSE_KL == (int)ROW_REVERSE_KL && (int)TERM_JSD == (int)ROW_JSD &&
                   (int)TERM_RIVAL_LOGP == (int)ROW_RIVAL_LOGP,
               "the objectives' order is the op's");

struct rowstep {
    struct forward *reference; // NULL: there is none
    int rows;
    float *number[TERM_SLOPES]; // (rows) of a stretch: values, then slopes
};

void rowstep_free(struct rowstep *rowstep)
{
    if (!rowstep)
        return;
    forward_free(rowstep->reference);
    for (int k = 0; k < TERM_SLOPES; k++)
        free(rowstep->number[k]);
    mem_free(rowstep);
}

err_t rowstep_new(struct model *model, struct model *reference, int rows, struct rowstep **ret)
{
    SCOPED(rowstep) rowstep = mem_new(sizeof *rowstep);
    if (reference && reference->config.V != model->config.V)
        return err_new(ERR_INVALID, "the reference has a vocabulary of %d, the policy one of %d",
                       reference->config.V, model->config.V);
    rowstep->rows = rows;
    for (int k = 0; k < TERM_SLOPES; k++)
        if (!(rowstep->number[k] = mem_try_array((size_t)rows, sizeof(float))))
            return err_new(ERR_EXHAUSTED,
                           "no memory for a step of %d rows: lower learner.micro_tokens", rows);
    if (reference)
        TRY(forward_new(reference, rows, TRAINED_HEAD_ROWS, FORWARD_NOTHING, &rowstep->reference));
    *ret = STEAL(rowstep);
    return OK;
}

err_t rowstep_forward(struct rowstep *rowstep, const struct forward *fw, const struct pack *pack)
{
    if (!rowstep->reference)
        return OK;
    return forward_run_reference(rowstep->reference, fw, pack->token, pack->position, pack->rows,
                                 pack->segment, pack->segments);
}

err_t rowstep_reference_logp(struct rowstep *rowstep, const struct forward *fw,
                             const struct row_stretch *stretch, double *ret)
{
    const struct pack *pack = stretch->pack;
    TRY(forward_reference_logp(rowstep->reference, fw, pack->row + stretch->from,
                               pack->target + stretch->from, stretch->count,
                               stretch->inverse_temperature, rowstep->number[0]));
    for (int t = 0; t < stretch->count; t++)
        ret[t] = (double)rowstep->number[0][t];
    return OK;
}

static struct row_call how(const struct row_stretch *stretch)
{
    return (struct row_call){.inverse_temperature = stretch->inverse_temperature,
                             .beta = (float)stretch->beta};
}

err_t rowstep_values(struct rowstep *rowstep, struct forward *fw, const struct row_stretch *stretch,
                     struct columns *columns)
{
    const struct pack *pack = stretch->pack;
    const size_t begin = stretch->base + (size_t)stretch->from;
    const struct row_call call = how(stretch);
    struct row_values values = {0};
    for (int k = 0; k < ROW_TERMS; k++)
        values.at[k] = stretch->terms >> k & 1 ? rowstep->number[k] : NULL;
    TRY(forward_terms(fw, rowstep->reference, pack->row + stretch->from,
                      pack->target + stretch->from, stretch->count, &call, &values));
    for (int k = 0; k < ROW_TERMS; k++)
        for (int t = 0; values.at[k] && t < stretch->count; t++)
            columns->at[row_term_column((enum row_term)k)][begin + (size_t)t] =
                (double)values.at[k][t];
    return OK;
}

/* One of them as float32. */
static bool take(const double *slope, int count, float *ret)
{
    bool any = false;
    for (int t = 0; t < count; t++) {
        ret[t] = (float)slope[t];
        any = any || ret[t] != 0;
    }
    return any;
}

err_t rowstep_backward(struct rowstep *rowstep, struct forward *fw,
                       const struct row_stretch *stretch, const struct rl_slopes *slopes,
                       struct gradient *gradient, bool *ret_flat)
{
    const struct pack *pack = stretch->pack;
    const size_t begin = stretch->base + (size_t)stretch->from;
    const struct row_call call = how(stretch);
    struct row_slopes at = {.at[TERM_LOGP] = rowstep->number[TERM_LOGP]};
    bool any = take(slopes->logp + begin, stretch->count, rowstep->number[TERM_LOGP]);
    for (int k = 0; k < ROW_TERMS; k++)
        if (stretch->terms >> k & 1) {
            any = take(slopes->row[k] + begin, stretch->count, rowstep->number[k]) || any;
            at.at[k] = rowstep->number[k];
        }
    if (!any)
        return OK;
    *ret_flat = false;
    return backward_terms(fw, rowstep->reference, pack->row + stretch->from,
                          pack->target + stretch->from, stretch->count, &call, &at, gradient);
}

double *rowstep_slopes(unsigned terms, const struct columns *columns, struct rl_slopes *ret)
{
    const size_t tokens = columns->first[columns->sequences];
    double *all = terms ? mem_array(tokens * ROW_TERMS, sizeof *all) : NULL;
    for (int k = 0; k < ROW_TERMS; k++)
        ret->row[k] = terms >> k & 1 ? all + (size_t)k * tokens : NULL;
    return all;
}

size_t rowstep_bytes(const struct rowstep *rowstep)
{
    return rowstep && rowstep->reference ? forward_bytes(rowstep->reference) : 0;
}
