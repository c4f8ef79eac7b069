/* The modules of a family that have parameters: linear maps and norms, and their gradients.
 * forward.c and backward.c reach every matrix but the embedding's through these calls.
 *
 *     const struct linear qkv[] = {{q, params_layer(m->params, l, PARAM_Q)}, {k, ...}, {v, ...}};
 *     TRY(linear_forward(m, qkv, 3, x, N, low));        -- q = x Wq^T + bq, ... in one pass over x
 *     TRY(linear_backward(m, grad, dqkv, 3, dx, x, N, &cuts, low));
 *
 * A model with an adapter (adapter.h) has its products added here, in generation and training
 * alike. Its own parameters stand still then: they get no gradient. Owner: the thread that owns the
 * model's backend. */
#pragma once
#include "model/backward.h"

/* One of several maps of the same input. */
struct linear {
    float *y; // (N, rows of the weight); in the backward its gradient
    struct param param;
};

/* y = x W^T, plus the bias where the family has one, plus scale * (x A^T) B^T where there is an
 * adapter. x (N, columns of the weights). One to PRODUCTS_MAX maps. low: room for (N,r) of an
 * adapter; NULL: there is none. */
err_t linear_forward(struct model *model, const struct linear *maps, int count, const float *x,
                     int N, float *low);

/* dx = the sum over the maps of dy W; in grad, dW += dy^T x and dbias += the sum of dy's rows.
 * cuts: the rows by their sequences. A tied head's dW goes to grad->head. With an adapter dx has
 * its part, and grad is the adapter's: dA and dB alone. Maps that share an A are neighbours in one
 * call. */
err_t linear_backward(struct model *model, struct gradient *grad, const struct linear *maps,
                      int count, float *dx, const float *x, int N, const struct row_cuts *cuts,
                      float *low);

/* y = norm of x (N, width of the weight) by the family's kind, plus the bias. r is kept for the
 * backward: of each row its factor (N), or with NORM_LAYER its mean and its factor (N,2). */
err_t norm_forward(struct model *model, struct param param, float *y, float *r, const float *x,
                   int N);

/* dx += the gradient of x; the parameters' are added to grad. */
err_t norm_backward(struct model *model, struct gradient *grad, struct param param, float *dx,
                    const float *dy, const float *x, const float *r, int N);
