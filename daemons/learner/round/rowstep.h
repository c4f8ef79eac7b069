/* Whole rows of the vocabulary in a step: the reference's pass over each micro-batch, terms of its
 * rows as columns, and from their slopes the gradient.
 *
 *     TRY(rowstep_new(model, reference, rows, &step->rowstep));
 *     TRY(rowstep_forward(rowstep, fw, pack));                       -- a micro-batch
 *     TRY(rowstep_values(rowstep, fw, &stretch, columns));           -- a stretch of it
 *     TRY(rowstep_backward(rowstep, fw, &stretch, dlogp, slopes, gradient));
 *
 * Owner: the compute thread. */
#pragma once
#include "model/backward.h"
#include "model/pack.h"
#include "rl/objective.h"

struct rowstep;

/* Targets [from, from + count) of the pack; the first target of the pack is token `base` of the
 * columns. */
struct row_stretch {
    const struct pack *pack;
    int from, count;
    size_t base;
    /* Of rl/row_term.h, a bit each. */
    unsigned terms;
    float inverse_temperature;
    double beta;
};

/* Both are borrowed. reference: of the same vocabulary; the model itself, to take it without its
 * adapter; NULL: none. rows: of the largest micro-batch. EXHAUSTED: memory. */
err_t rowstep_new(struct model *model, struct model *reference, int rows, struct rowstep **ret);

/* Runs the reference, if there is one. */
err_t rowstep_forward(struct rowstep *rowstep, const struct forward *fw, const struct pack *pack);

/* The targets' log-probabilities under the reference, behind rowstep_forward. */
err_t rowstep_reference_logp(struct rowstep *rowstep, const struct forward *fw,
                             const struct row_stretch *stretch, double *ret);

/* Fills the terms' columns. */
err_t rowstep_values(struct rowstep *rowstep, struct forward *fw, const struct row_stretch *stretch,
                     struct columns *columns);

/* *ret_flat becomes false where there is a slope. */
err_t rowstep_backward(struct rowstep *rowstep, struct forward *fw,
                       const struct row_stretch *stretch, const struct rl_slopes *slopes,
                       struct gradient *gradient, bool *ret_flat);

/* Places for the terms' slopes, of all tokens of the columns, in memory that the caller frees. */
double *rowstep_slopes(unsigned terms, const struct columns *columns, struct rl_slopes *ret);

size_t rowstep_bytes(const struct rowstep *rowstep); // NULL: 0
void rowstep_free(struct rowstep *rowstep);
DEFINE_SCOPED(rowstep)
