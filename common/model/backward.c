#include "model/backward.h"
#include "base/mem.h"
#include "model/workspace.h"
#include <stdlib.h>

err_t gradient_new(const struct model *model, struct gradient **ret)
{
    SCOPED(gradient) grad = mem_new(sizeof *grad);
    const struct layout *layout = model->params->layout;
    grad->be = model->be;
    grad->count = layout->elements;
    grad->flat = mem_aligned(grad->count * sizeof *grad->flat);
    if (model->config.tied) {
        grad->head_at = layout->tensor[model->params->head].offset;
        grad->head_count = layout->tensor[model->params->head].count;
        grad->head = mem_aligned(grad->head_count * sizeof *grad->head);
    }
    *ret = STEAL(grad);
    return OK;
}

err_t gradient_zero(struct gradient *grad)
{
    TRY(grad->be->ops->zero(grad->be, grad->flat, grad->count * sizeof *grad->flat));
    if (!grad->head)
        return OK;
    return grad->be->ops->zero(grad->be, grad->head, grad->head_count * sizeof *grad->head);
}

err_t gradient_sum(struct gradient *grad)
{
    if (!grad->head)
        return OK;
    TRY(grad->be->ops->add(grad->be, grad->flat + grad->head_at, grad->head, grad->head_count));
    return grad->be->ops->zero(grad->be, grad->head, grad->head_count * sizeof *grad->head);
}

void gradient_free(struct gradient *grad)
{
    if (!grad)
        return;
    free(grad->flat);
    free(grad->head);
    free(grad);
}

static float *gradient_of(const struct forward *fw, struct gradient *grad, int tensor)
{
    return grad->flat + fw->model->params->layout->tensor[tensor].offset;
}

/* Of y = x W^T: dx (+)= dy W, dW += dy^T x. */
static err_t linear_backward(struct forward *fw, struct gradient *grad, int tensor, float *dx,
                             const float *dy, const float *x, int accumulate)
{
    struct model *m = fw->model;
    const struct layout_tensor *w = &m->params->layout->tensor[tensor];
    TRY(m->be->ops->matmul_dx(m->be, dx, dy, model_tensor(m, tensor), fw->N, w->rows, w->cols,
                              accumulate));
    return m->be->ops->matmul_dw(m->be, gradient_of(fw, grad, tensor), dy, x, fw->N, w->rows,
                                 w->cols);
}

static err_t norm_backward(struct forward *fw, struct gradient *grad, int tensor, const float *dy,
                           const float *x, const float *r)
{
    struct model *m = fw->model;
    return m->be->ops->rmsnorm_backward(m->be, fw->dx, gradient_of(fw, grad, tensor), dy, x, r,
                                        model_tensor(m, tensor), fw->N, m->config.C);
}

/* One chunk of rows: logits, in place their gradient, then the head's and the rows'. */
static err_t head_chunk(struct forward *fw, const int32_t *row, const int32_t *target,
                        const float *dlogp, int rows, float inverse_temperature, float *dhead)
{
    struct model *m = fw->model;
    const struct backend_ops *ops = m->be->ops;
    const int C = m->config.C, V = m->config.V;
    TRY(forward_head(fw, row, rows, fw->logits));
    fw->head_there = 0;
    TRY(ops->token_logp_backward(m->be, fw->logits, dlogp, target, inverse_temperature, rows, V));
    TRY(ops->matmul_dx(m->be, fw->d_head_in, fw->logits, model_tensor(m, m->params->head), rows, V,
                       C, 0));
    TRY(ops->matmul_dw(m->be, dhead, fw->logits, fw->head_in, rows, V, C));
    TRY(ops->sync(m->be));
    for (int i = 0; i < rows; i++) {
        float *to = fw->dh + (size_t)row[i] * (size_t)C;
        const float *from = fw->d_head_in + (size_t)i * (size_t)C;
        for (int c = 0; c < C; c++)
            to[c] += from[c];
    }
    return OK;
}

err_t backward_begin(struct forward *fw)
{
    struct backend *be = fw->model->be;
    const size_t bytes = (size_t)fw->N * (size_t)fw->model->config.C * sizeof(float);
    if (!fw->keep)
        return err_new(ERR_PRECONDITION, "backward: the workspace keeps no activations");
    TRY(be->ops->zero(be, fw->dh, bytes));
    return be->ops->zero(be, fw->dx, bytes);
}

err_t backward_head(struct forward *fw, const int32_t *row, const int32_t *target,
                    const float *dlogp, int count, float inverse_temperature, struct gradient *grad)
{
    float *dhead = grad->head ? grad->head : gradient_of(fw, grad, fw->model->params->head);
    TRY(forward_check_rows(fw, row, target, count));
    for (int at = 0; at < count; at += fw->head_rows) {
        int rows = count - at < fw->head_rows ? count - at : fw->head_rows;
        TRY(head_chunk(fw, row + at, target + at, dlogp + at, rows, inverse_temperature, dhead));
    }
    return OK;
}

/* fw->dx comes in as the gradient of the layer's output and leaves as that of its middle. */
static err_t mlp_backward(struct forward *fw, const struct activations *a, int l,
                          struct gradient *grad)
{
    struct model *m = fw->model;
    const int norm = params_layer(m->params, l, PARAM_NORM2);
    const size_t count = (size_t)fw->N * (size_t)m->config.F;
    TRY(linear_backward(fw, grad, norm + PARAM_DOWN - PARAM_NORM2, fw->d_act, fw->dx, a->act, 0));
    TRY(m->be->ops->swiglu_backward(m->be, fw->dgate, fw->dup, fw->d_act, a->gate, a->up, count));
    TRY(linear_backward(fw, grad, norm + PARAM_GATE - PARAM_NORM2, fw->dh, fw->dgate, a->h2, 0));
    TRY(linear_backward(fw, grad, norm + PARAM_UP - PARAM_NORM2, fw->dh, fw->dup, a->h2, 1));
    return norm_backward(fw, grad, norm, fw->dh, a->x2, a->r2);
}

/* Likewise from the middle to the layer's input. */
static err_t attention_backward(struct forward *fw, const struct activations *a, int l,
                                struct gradient *grad)
{
    struct model *m = fw->model;
    const struct model_config *c = &m->config;
    const struct backend_ops *ops = m->be->ops;
    const int q = params_layer(m->params, l, PARAM_Q), N = fw->N;
    TRY(linear_backward(fw, grad, q + PARAM_O - PARAM_Q, fw->d_o, fw->dx, a->o, 0));
    TRY(ops->attention_backward(m->be, fw->dq, fw->dk, fw->dv, fw->d_o, a->q, a->k, a->v, a->o,
                                a->lse, fw->segment, fw->segments, &m->shape));
    TRY(ops->rope(m->be, fw->dq, fw->position, m->cos, m->sin, N, c->H, c->D, 1));
    TRY(ops->rope(m->be, fw->dk, fw->position, m->cos, m->sin, N, c->K, c->D, 1));
    TRY(linear_backward(fw, grad, q, fw->dh, fw->dq, a->h1, 0));
    TRY(linear_backward(fw, grad, q + PARAM_K - PARAM_Q, fw->dh, fw->dk, a->h1, 1));
    TRY(linear_backward(fw, grad, q + PARAM_V - PARAM_Q, fw->dh, fw->dv, a->h1, 1));
    return norm_backward(fw, grad, params_layer(m->params, l, PARAM_NORM1), fw->dh, a->x, a->r1);
}

err_t backward_body(struct forward *fw, struct gradient *grad)
{
    struct model *m = fw->model;
    if (fw->N == 0)
        return OK;
    TRY(norm_backward(fw, grad, m->params->norm, fw->dh, fw->last, fw->r));
    for (int l = m->config.L - 1; l >= 0; l--) {
        TRY(forward_layer(fw, l));
        TRY(mlp_backward(fw, &fw->layer[l], l, grad));
        TRY(attention_backward(fw, &fw->layer[l], l, grad));
    }
    return m->be->ops->embed_backward(m->be, gradient_of(fw, grad, m->params->embed), fw->dx,
                                      fw->token, fw->N, m->config.C);
}

err_t backward_run(struct forward *fw, const int32_t *row, const int32_t *target,
                   const float *dlogp, int count, float inverse_temperature, struct gradient *grad)
{
    TRY(backward_begin(fw));
    TRY(backward_head(fw, row, target, dlogp, count, inverse_temperature, grad));
    return backward_body(fw, grad);
}
