#include "model/backward.h"
#include "base/mem.h"
#include "model/linear.h"
#include "model/workspace.h"
#include <stdlib.h>

/* Of the widest norm. */
static size_t widest_norm(const struct model_config *config)
{
    return (size_t)(config->C > config->D ? config->C : config->D);
}

err_t gradient_new(const struct model *model, struct gradient **ret)
{
    SCOPED(gradient) grad = mem_new(sizeof *grad);
    grad->be = model->be;
    grad->count = model_trained(model)->params->layout->elements;
    TRY(buffer_alloc(grad->be, grad->count * sizeof(float), &grad->flat));
    if (model->adapter) {
        TRY(buffer_alloc(grad->be, widest_norm(&model->config) * sizeof(float), &grad->frozen));
    } else if (model->config.tied) {
        grad->head_at = model_head(model, HEAD_VOCABULARY)->offset;
        grad->head_count = model_head(model, HEAD_VOCABULARY)->count;
        TRY(buffer_alloc(grad->be, grad->head_count * sizeof(float), &grad->head));
    }
    *ret = STEAL(grad);
    return OK;
}

static err_t zero_head(struct gradient *grad)
{
    return grad->be->ops->zero(grad->be, grad->head.address, grad->head.bytes);
}

err_t gradient_zero(struct gradient *grad)
{
    TRY(grad->be->ops->zero(grad->be, grad->flat.address, grad->flat.bytes));
    return grad->head.address ? zero_head(grad) : OK;
}

err_t gradient_sum(struct gradient *grad)
{
    if (!grad->head.address)
        return OK;
    TRY(grad->be->ops->add(grad->be, (float *)grad->flat.address + grad->head_at,
                           grad->head.address, grad->head_count));
    return zero_head(grad);
}

void gradient_free(struct gradient *grad)
{
    if (!grad)
        return;
    buffer_done(&grad->flat);
    buffer_done(&grad->head);
    buffer_done(&grad->frozen);
    free(grad);
}

/* The segment that has the row; `near` is often it. */
static int segment_of(const struct forward *fw, int row, int near)
{
    int i = near;
    while (i > 0 && row < fw->segment[i].first)
        i--;
    while (row >= fw->segment_end[i])
        i++;
    return i;
}

/* How many of the rows are one sequence's from the first on: of one segment, ascending. */
static int same_sequence(const struct forward *fw, const int32_t *row, int count, int *segment)
{
    int n = 1;
    *segment = segment_of(fw, row[0], *segment);
    while (n < count && row[n] > row[n - 1] && row[n] < fw->segment_end[*segment])
        n++;
    return n;
}

/* The next rows of a head that one call takes, at most head_rows, and their cuts. A piece ends with
 * a sequence, or has head_rows of one that is longer. So the sums of a sequence's rows do not
 * depend on what stands beside it. */
static struct row_cuts head_piece(struct forward *fw, const int32_t *row, int count, int *ret_rows)
{
    struct row_cuts cuts = {0, fw->head_end};
    int rows = 0, segment = 0;
    while (rows < count) {
        const int more = same_sequence(fw, row + rows, count - rows, &segment);
        if (rows && rows + more > fw->head_rows)
            break;
        rows += more < fw->head_rows ? more : fw->head_rows;
        fw->head_end[cuts.count++] = rows;
    }
    *ret_rows = rows;
    return cuts;
}

/* From the gradient of a head's outputs, which lies in fw->head_out, to that of its parameters and,
 * by their rows, of the hidden states. The head and grad are of the model `of`. */
static err_t head_backward(struct forward *fw, struct model *of, int head, const int32_t *row,
                           int rows, const struct row_cuts *cuts, struct gradient *grad)
{
    struct model *m = fw->model;
    const struct linear map = {fw->head_out, of->params->head[head]};
    fw->head_there = 0;
    TRY(linear_backward(of, grad, &map, 1, fw->d_head_in, fw->head_in, rows, cuts, NULL));
    return m->be->ops->scatter_add(m->be, fw->dh, fw->d_head_in, row, rows, m->config.C);
}

/* One chunk of rows: logits, then in their place the gradient of them. */
static err_t logp_backward(struct forward *fw, const int32_t *row, const int32_t *target,
                           const float *dlogp, int rows, const struct row_cuts *cuts,
                           float inverse_temperature, struct gradient *grad)
{
    struct model *m = fw->model;
    TRY(forward_head_chunk(fw, HEAD_VOCABULARY, row, rows, fw->head_out));
    fw->head_there = 0;
    TRY(m->be->ops->token_logp_backward(m->be, fw->head_out, dlogp, target, inverse_temperature,
                                        rows, m->config.V));
    return head_backward(fw, m, HEAD_VOCABULARY, row, rows, cuts, grad);
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
    TRY(forward_check_rows(fw, row, target, count));
    for (int at = 0, rows; at < count; at += rows) {
        const struct row_cuts cuts = head_piece(fw, row + at, count - at, &rows);
        TRY(logp_backward(fw, row + at, target + at, dlogp + at, rows, &cuts, inverse_temperature,
                          grad));
    }
    return OK;
}

/* Of `rows` rows, whose slopes begin at `at`. */
static err_t terms_backward(struct forward *fw, struct forward *reference, const int32_t *row,
                            const struct row_call *call, const struct row_slopes *all, int at)
{
    struct backend *be = fw->model->be;
    struct row_slopes slopes;
    for (int k = 0; k < TERM_SLOPES; k++)
        slopes.at[k] = all->at[k] ? all->at[k] + at : NULL;
    TRY(forward_head_chunk(fw, HEAD_VOCABULARY, row, call->N, fw->head_out));
    TRY(forward_reference_chunk(fw, reference, row, call->N));
    fw->head_there = 0;
    return be->ops->row_terms_backward(be, fw->head_out, reference ? reference->head_out : NULL,
                                       call, &slopes);
}

err_t backward_terms(struct forward *fw, struct forward *reference, const int32_t *row,
                     const int32_t *target, int count, const struct row_call *how,
                     const struct row_slopes *slopes, struct gradient *grad)
{
    TRY(forward_check_rows(fw, row, target, count));
    for (int at = 0, rows; at < count; at += rows) {
        const struct row_cuts cuts = head_piece(fw, row + at, count - at, &rows);
        const struct row_call call = forward_row_call(fw, how, target + at, rows);
        TRY(terms_backward(fw, reference, row + at, &call, slopes, at));
        TRY(head_backward(fw, fw->model, HEAD_VOCABULARY, row + at, rows, &cuts, grad));
    }
    return OK;
}

err_t backward_value(struct forward *fw, struct model *of, const int32_t *row, const float *dvalue,
                     int count, struct gradient *grad)
{
    struct backend *be = fw->model->be;
    TRY(forward_check_rows(fw, row, NULL, count));
    for (int at = 0, rows; at < count; at += rows) {
        const struct row_cuts cuts = head_piece(fw, row + at, count - at, &rows);
        fw->head_there = 0;
        TRY(be->ops->gather(be, fw->head_in, fw->hidden, row + at, rows, fw->model->config.C));
        TRY(be->ops->put(be, fw->head_out, dvalue + at, (size_t)rows * sizeof *dvalue));
        TRY(head_backward(fw, model_valued(of), HEAD_VALUE, row + at, rows, &cuts, grad));
    }
    return OK;
}

/* The last run's rows, by their sequences. */
static struct row_cuts body_cuts(const struct forward *fw)
{
    return (struct row_cuts){fw->segments, fw->segment_end};
}

/* From fw->dx, the gradient of the layer's output, to that of the activation's output. */
static err_t down_backward(struct forward *fw, const struct activations *a, int l,
                           struct gradient *grad)
{
    const struct linear map = {fw->dx, params_layer(fw->model->params, l, PARAM_DOWN)};
    const struct row_cuts cuts = body_cuts(fw);
    return linear_backward(fw->model, grad, &map, 1, fw->d_act, a->act, fw->N, &cuts, fw->low);
}

/* From there to the feed-forward's input, whose gradient is added to fw->dx. */
static err_t mlp_backward(struct forward *fw, const struct activations *a, int l,
                          struct gradient *grad)
{
    struct model *m = fw->model;
    const struct params *p = m->params;
    const struct backend_ops *ops = m->be->ops;
    const int N = fw->N;
    const size_t count = (size_t)N * (size_t)m->config.F;
    switch (m->config.activation) {
    case ACTIVATION_SWIGLU:
        TRY(ops->swiglu_backward(m->be, fw->dgate, fw->dup, fw->d_act, a->gate, a->up, count));
        break;
    case ACTIVATION_GELU:
    case ACTIVATION_GELU_TANH:
        TRY(ops->gelu_backward(m->be, fw->dup, fw->d_act, a->up, count,
                               m->config.activation == ACTIVATION_GELU_TANH));
        break;
    case ACTIVATIONS:
        __builtin_unreachable();
    }
    const struct linear maps[] = {{fw->dgate, params_layer(p, l, PARAM_GATE)},
                                  {fw->dup, params_layer(p, l, PARAM_UP)}};
    const int first = a->gate ? 0 : 1;
    const struct row_cuts cuts = body_cuts(fw);
    TRY(linear_backward(m, grad, maps + first, 2 - first, fw->dh, a->h2, N, &cuts, fw->low));
    return norm_backward(m, grad, params_layer(p, l, PARAM_NORM2), fw->dx, fw->dh,
                         forward_mlp_input(fw, a), a->r2, N);
}

/* From fw->dx, the gradient of the stream after attention, to that of attention's output. */
static err_t out_backward(struct forward *fw, const struct activations *a, int l,
                          struct gradient *grad)
{
    const struct linear map = {fw->dx, params_layer(fw->model->params, l, PARAM_O)};
    const struct row_cuts cuts = body_cuts(fw);
    return linear_backward(fw->model, grad, &map, 1, fw->d_o, a->o, fw->N, &cuts, fw->low);
}

/* Back through the norm of each head of q or k: dy of `in`, whose gradient is written to dx. */
static err_t head_norm_backward(struct forward *fw, struct param param, float *dx, const float *dy,
                                const float *in, const float *r, int heads, struct gradient *grad)
{
    struct model *m = fw->model;
    const size_t bytes = (size_t)fw->N * (size_t)heads * (size_t)m->config.D * sizeof *dx;
    TRY(m->be->ops->zero(m->be, dx, bytes));
    return norm_backward(m, grad, param, dx, dy, in, r, fw->N * heads);
}

/* From attention's output to the layer's input, whose gradient is added to fw->dx. */
static err_t attention_backward(struct forward *fw, const struct activations *a, int l,
                                struct gradient *grad)
{
    struct model *m = fw->model;
    const struct model_config *c = &m->config;
    const struct params *p = m->params;
    const struct attention_shape shape = layer_shape(m, l);
    const struct linear qkv[] = {{a->q0 ? fw->dq0 : fw->dq, params_layer(p, l, PARAM_Q)},
                                 {a->k0 ? fw->dk0 : fw->dk, params_layer(p, l, PARAM_K)},
                                 {fw->dv, params_layer(p, l, PARAM_V)}};
    const int N = fw->N;
    TRY(m->be->ops->attention_backward(m->be, fw->dq, fw->dk, fw->dv, fw->d_o, a->q, a->k, a->v,
                                       a->o, a->lse, fw->segment, fw->segments, &shape));
    TRY(forward_rotate(fw, fw->dq, fw->dk, 1));
    if (a->q0)
        TRY(head_norm_backward(fw, params_layer(p, l, PARAM_Q_NORM), fw->dq0, fw->dq, a->q0, a->rq,
                               c->H, grad));
    if (a->k0)
        TRY(head_norm_backward(fw, params_layer(p, l, PARAM_K_NORM), fw->dk0, fw->dk, a->k0, a->rk,
                               c->K, grad));
    const struct row_cuts cuts = body_cuts(fw);
    TRY(linear_backward(m, grad, qkv, 3, fw->dh, a->h1, N, &cuts, fw->low));
    return norm_backward(m, grad, params_layer(p, l, PARAM_NORM1), fw->dx, fw->dh, a->x, a->r1, N);
}

/* fw->dx comes in as the gradient of the layer's output and leaves as that of its input. The
 * feed-forward adds its part to it. In a sequential layer that part has passed through attention,
 * which therefore takes the sum. In a parallel layer attention takes fw->dx as it came in. */
static err_t layer_backward(struct forward *fw, int l, struct gradient *grad)
{
    const struct activations *a = &fw->layer[l];
    const bool parallel = fw->model->config.order == LAYER_PARALLEL;
    TRY(down_backward(fw, a, l, grad));
    if (parallel)
        TRY(out_backward(fw, a, l, grad));
    TRY(mlp_backward(fw, a, l, grad));
    if (!parallel)
        TRY(out_backward(fw, a, l, grad));
    return attention_backward(fw, a, l, grad);
}

err_t backward_body(struct forward *fw, struct gradient *grad)
{
    struct model *m = fw->model;
    if (fw->N == 0)
        return OK;
    TRY(norm_backward(m, grad, m->params->norm, fw->dx, fw->dh, fw->last, fw->r, fw->N));
    for (int l = m->config.L - 1; l >= 0; l--) {
        TRY(forward_layer(fw, l));
        TRY(layer_backward(fw, l, grad));
    }
    if (m->adapter) // nothing below the first layer trains
        return OK;
    if (m->params->position.weight >= 0)
        TRY(m->be->ops->embed_backward(m->be, gradient_at(grad, m, m->params->position.weight),
                                       fw->dx, fw->position, fw->N, m->config.C));
    return m->be->ops->embed_backward(m->be, gradient_at(grad, m, m->params->embed.weight), fw->dx,
                                      fw->token, fw->N, m->config.C);
}

err_t backward_run(struct forward *fw, const int32_t *row, const int32_t *target,
                   const float *dlogp, int count, float inverse_temperature, struct gradient *grad)
{
    TRY(backward_begin(fw));
    TRY(backward_head(fw, row, target, dlogp, count, inverse_temperature, grad));
    return backward_body(fw, grad);
}
