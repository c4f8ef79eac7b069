/* The backward: d loss / d logp of chosen tokens to gradients of all parameters.
 *
 *     SCOPED(gradient) grad = NULL;
 *     TRY(gradient_new(model, &grad));
 *     for each micro-batch: forward_run, forward_logp, then
 *         TRY(backward_run(fw, row, target, dlogp, rows, 1.0f, grad));   -- adds
 *     TRY(optimizer_step(optimizer, grad, lr, &result));
 *     TRY(gradient_zero(grad));
 *
 * Gradients of micro-batches add up to those of one batch of all their rows, in order, bit for bit.
 * Where a backend sums by sequences (matmul_dw), that holds for cuts between segments, and for
 * head_rows that are a multiple of its chunks.
 * A tied embedding is used twice, by the head and by the look-up. For that reason its head's part
 * is kept apart until gradient_sum. Of a model with an adapter the adapter alone has a gradient.
 *
 * Owner: the thread that owns the model's backend. */
#pragma once
#include "model/forward.h"

enum { TRAINED_HEAD_ROWS = 512 }; // whose logits are in memory at once

struct gradient {
    struct backend *be;
    size_t count;       // elements of flat: the layout's
    struct buffer flat; // float32, at the layout of model_trained(model)
    struct buffer head; // the head's part of a tied embedding; none if untied
    size_t head_at, head_count;
    struct buffer frozen; // beside an adapter: where gradients of norms go that nobody wants
};
err_t gradient_new(const struct model *model, struct gradient **ret); // zeros. EXHAUSTED
err_t gradient_zero(struct gradient *grad);

/* Where the gradient of a tensor of the model's layout is added: in the backend's memory. Those of
 * a model with an adapter stand still. */
static inline float *gradient_at(struct gradient *grad, const struct model *model, int tensor)
{
    if (model->adapter)
        return grad->frozen.address;
    return (float *)grad->flat.address + model->params->layout->tensor[tensor].offset;
}

/* Moves a tied head's part into flat. The optimizer calls it; calling it again adds zeros. */
err_t gradient_sum(struct gradient *grad);
void gradient_free(struct gradient *grad);
DEFINE_SCOPED(gradient)

/* After a forward_run without caches on a workspace that keeps. Adds the gradient of sum_i dlogp[i]
 * * logp[i] to grad; logp is forward_logp's. Logits are computed again, head_rows at a time. Rows
 * may repeat and come in any order. Rows that are not named enter as context alone. */
err_t backward_run(struct forward *fw, const int32_t *row, const int32_t *target,
                   const float *dlogp, int count, float inverse_temperature, struct gradient *grad);

/* The same in steps, so that logits need not be computed twice:
 *
 *     TRY(backward_begin(fw));
 *     for each stretch of at most head_rows rows:
 *         TRY(forward_logp(fw, row, target, count, 1.0f, logp, NULL));
 *         dlogp from logp, then TRY(backward_head(fw, row, target, dlogp, count, 1.0f, grad));
 *     TRY(backward_body(fw, grad));
 *
 * backward_head takes the logits that forward_logp left, if they are of its rows. How rows are cut
 * into stretches changes no bit. PRECONDITION: a workspace that keeps nothing. */
err_t backward_begin(struct forward *fw);
err_t backward_head(struct forward *fw, const int32_t *row, const int32_t *target,
                    const float *dlogp, int count, float inverse_temperature,
                    struct gradient *grad);
err_t backward_body(struct forward *fw, struct gradient *grad);

/* As backward_head, of terms of the rows and of log-probabilities: forward_terms has the other
 * arguments. slopes' arrays have `count` places. */
err_t backward_terms(struct forward *fw, struct forward *reference, const int32_t *row,
                     const int32_t *target, int count, const struct row_call *how,
                     const struct row_slopes *slopes, struct gradient *grad);

/* As backward_head, of sum_i dvalue[i] * value[i], value as forward_value has it of the model `of`:
 * grad is of that model. */
err_t backward_value(struct forward *fw, struct model *of, const int32_t *row, const float *dvalue,
                     int count, struct gradient *grad);
