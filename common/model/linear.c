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
    if (param.bias < 0)
        return OK;
    return m->be->ops->bias_backward(m->be, gradient_at(grad, m, param.bias), dy, N,
                                     m->params->layout->tensor[param.bias].rows);
}

err_t linear_forward(struct model *m, const struct linear *maps, int count, const float *x, int N)
{
    struct product product[PRODUCTS_MAX] = {0};
    assert(count >= 1 && count <= PRODUCTS_MAX);
    for (int i = 0; i < count; i++)
        product[i] = (struct product){maps[i].y, m->weight[maps[i].param.weight]};
    TRY(m->be->ops->matmuls(m->be, product, count, x, N));
    for (int i = 0; i < count; i++)
        TRY(bias_forward(m, maps[i].param, maps[i].y, N));
    return OK;
}

err_t linear_backward(struct model *m, struct gradient *grad, struct param param, float *dx,
                      const float *dy, const float *x, int N, int accumulate)
{
    const struct layout_tensor *w = &m->params->layout->tensor[param.weight];
    const bool tied = grad->head.address && param.weight == m->params->embed.weight;
    float *dw = tied ? grad->head.address : gradient_at(grad, m, param.weight);
    TRY(m->be->ops->matmul_dx(m->be, dx, dy, m->weight[param.weight], N, accumulate));
    TRY(m->be->ops->matmul_dw(m->be, dw, dy, x, N, w->rows, w->cols));
    return bias_backward(m, grad, param, dy, N);
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
