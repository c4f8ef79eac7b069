/* The modules of a family that have parameters: linear maps and norms, and their gradients.
 * forward.c and backward.c reach every matrix but the embedding's through these calls.
 *
 *     const struct linear qkv[] = {{q, params_layer(m->params, l, PARAM_Q)}, {k, ...}, {v, ...}};
 *     TRY(linear_forward(m, qkv, 3, x, N));             -- q = x Wq^T + bq, ... in one pass over x
 *     TRY(linear_backward(m, grad, param, dx, dq, x, N, 0));
 *
 * Owner: the thread that owns the model's backend. */
#pragma once
#include "model/backward.h"

/* One of several maps of the same input. */
struct linear {
    float *y; // (N, rows of the weight)
    struct param param;
};

/* y = x W^T, plus the bias where the family has one. x (N, columns of the weights). One to
 * PRODUCTS_MAX maps. An adapter's product would be added to y here. */
err_t linear_forward(struct model *model, const struct linear *maps, int count, const float *x,
                     int N);

/* dx (+)= dy W; in grad, dW += dy^T x and dbias += the sum of dy's rows. A tied head's dW goes to
 * grad->head. An adapter's gradients would be added here. */
err_t linear_backward(struct model *model, struct gradient *grad, struct param param, float *dx,
                      const float *dy, const float *x, int N, int accumulate);

/* y = norm of x (N, width of the weight) by the family's kind, plus the bias. r is kept for the
 * backward: of each row its factor (N), or with NORM_LAYER its mean and its factor (N,2). */
err_t norm_forward(struct model *model, struct param param, float *y, float *r, const float *x,
                   int N);

/* dx += the gradient of x; the parameters' are added to grad. */
err_t norm_backward(struct model *model, struct gradient *grad, struct param param, float *dx,
                    const float *dy, const float *x, const float *r, int N);
