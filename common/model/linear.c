#include "model/linear.h"
#include <assert.h>

/* y (N,C) += the bias, if there is one. */
static err_t bias_forward(struct model *m, struct param param, float *y, int N)
{
    if (param.bias < 0)
        return OK;
    return m->be->ops->bias(m->be, y, model_tensor(m, param.bias), N,
                            m->params->layout->tensor[param.bias].rows);
}

static err_t bias_backward(struct model *m, struct gradient *grad, struct param param,
                           const float *dy, int N)
{
    if (param.bias < 0 || m->adapter)
        return OK;
    return m->be->ops->bias_backward(m->be, gradient_at(grad, m, param.bias), dy, N,
                                     m->params->layout->tensor[param.bias].rows);
}

static bool is_adapted(const struct model *m, struct param param)
{
    return m->adapter && !m->adapter_off && param.a >= 0;
}

static const struct weight *matrix(const struct model *adapter, int tensor)
{
    return adapter->weight[tensor];
}

/* low (N,r) = scale * A x: what B multiplies. */
static err_t make_low(struct model *m, int a, const float *x, int N, float *low)
{
    const struct lora *lora = &m->adapter->config.lora;
    TRY(m->be->ops->matmul(m->be, low, x, matrix(m->adapter, a), N, 0));
    return m->be->ops->scale(m->be, low, lora_scale(lora), (size_t)N * (size_t)lora->r);
}

/* y += B low. Neighbours that share an A have one low. */
static err_t adapters_forward(struct model *m, const struct linear *maps, int count, const float *x,
                              int N, float *low)
{
    for (int i = 0, there = -1; i < count; i++) {
        const struct param p = maps[i].param;
        if (!is_adapted(m, p))
            continue;
        if (p.a != there)
            TRY(make_low(m, p.a, x, N, low));
        there = p.a;
        TRY(m->be->ops->matmul(m->be, maps[i].y, low, matrix(m->adapter, p.b), N, 1));
    }
    return OK;
}

err_t linear_forward(struct model *m, const struct linear *maps, int count, const float *x, int N,
                     float *low)
{
    struct product product[PRODUCTS_MAX] = {0};
    assert(count >= 1 && count <= PRODUCTS_MAX);
    for (int i = 0; i < count; i++)
        product[i] = (struct product){maps[i].y, m->weight[maps[i].param.weight]};
    TRY(m->be->ops->matmuls(m->be, product, count, x, N));
    for (int i = 0; i < count; i++)
        TRY(bias_forward(m, maps[i].param, maps[i].y, N));
    return adapters_forward(m, maps, count, x, N, low);
}

/* The maps from `first` to `end` share an A. Their gradients are summed in low first, so that A's
 * own is one chain over the rows, however these are cut. */
static err_t adapter_backward(struct model *m, struct gradient *grad, const struct linear *maps,
                              int first, int end, float *dx, const float *x, int N,
                              const struct row_cuts *cuts, float *low)
{
    struct model *adapter = m->adapter;
    const struct backend_ops *ops = m->be->ops;
    const struct lora *lora = &adapter->config.lora;
    const int a = maps[first].param.a, cols = adapter->params->layout->tensor[a].cols;
    TRY(make_low(m, a, x, N, low));
    for (int i = first; i < end; i++) {
        const int b = maps[i].param.b, rows = adapter->params->layout->tensor[b].rows;
        TRY(ops->matmul_dw(m->be, gradient_at(grad, adapter, b), maps[i].y, low, N, rows, lora->r,
                           cuts));
    }
    for (int i = first; i < end; i++)
        TRY(ops->matmul_dx(m->be, low, maps[i].y, matrix(adapter, maps[i].param.b), N, i > first));
    TRY(ops->scale(m->be, low, lora_scale(lora), (size_t)N * (size_t)lora->r));
    TRY(ops->matmul_dw(m->be, gradient_at(grad, adapter, a), low, x, N, lora->r, cols, cuts));
    return ops->matmul_dx(m->be, dx, low, matrix(adapter, a), N, 1);
}

static err_t adapters_backward(struct model *m, struct gradient *grad, const struct linear *maps,
                               int count, float *dx, const float *x, int N,
                               const struct row_cuts *cuts, float *low)
{
    for (int i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && maps[end].param.a == maps[i].param.a; end++)
            ;
        if (is_adapted(m, maps[i].param))
            TRY(adapter_backward(m, grad, maps, i, end, dx, x, N, cuts, low));
    }
    return OK;
}

/* The gradient of the matrix itself, which stands still beside an adapter. */
static err_t own_backward(struct model *m, struct gradient *grad, const struct linear *map,
                          const float *x, int N, const struct row_cuts *cuts)
{
    const struct param param = map->param;
    const struct layout_tensor *w = &m->params->layout->tensor[param.weight];
    if (m->adapter)
        return OK;
    const bool tied = grad->head.address && param.weight == m->params->embed.weight;
    float *dw = tied ? grad->head.address : gradient_at(grad, m, param.weight);
    TRY(m->be->ops->matmul_dw(m->be, dw, map->y, x, N, w->rows, w->cols, cuts));
    return bias_backward(m, grad, param, map->y, N);
}

err_t linear_backward(struct model *m, struct gradient *grad, const struct linear *maps, int count,
                      float *dx, const float *x, int N, const struct row_cuts *cuts, float *low)
{
    for (int i = 0; i < count; i++) {
        TRY(m->be->ops->matmul_dx(m->be, dx, maps[i].y, m->weight[maps[i].param.weight], N, i > 0));
        TRY(own_backward(m, grad, &maps[i], x, N, cuts));
    }
    return adapters_backward(m, grad, maps, count, dx, x, N, cuts, low);
}

err_t norm_forward(struct model *m, struct param param, float *y, float *r, const float *x, int N)
{
    const struct backend_ops *ops = m->be->ops;
    const bf16 *weight = model_tensor(m, param.weight);
    const int width = m->params->layout->tensor[param.weight].rows;
    const float eps = (float)m->config.norm_eps;
    switch (m->config.family->norm) {
    case NORM_RMS:
        TRY(ops->rmsnorm(m->be, y, r, x, weight, eps, N, width));
        break;
    case NORM_LAYER:
        TRY(ops->layernorm(m->be, y, r, x, weight, eps, N, width));
        break;
    }
    return bias_forward(m, param, y, N);
}

err_t norm_backward(struct model *m, struct gradient *grad, struct param param, float *dx,
                    const float *dy, const float *x, const float *r, int N)
{
    const struct backend_ops *ops = m->be->ops;
    const bf16 *weight = model_tensor(m, param.weight);
    const int width = m->params->layout->tensor[param.weight].rows;
    float *dweight = gradient_at(grad, m, param.weight);
    switch (m->config.family->norm) {
    case NORM_RMS:
        TRY(ops->rmsnorm_backward(m->be, dx, dweight, dy, x, r, weight, N, width));
        break;
    case NORM_LAYER:
        TRY(ops->layernorm_backward(m->be, dx, dweight, dy, x, r, weight, N, width));
        break;
    }
    return bias_backward(m, grad, param, dy, N);
}
