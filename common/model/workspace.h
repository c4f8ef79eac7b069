/* The inside of struct forward, for forward.c, backward.c and the test of families. */
#pragma once
#include "model/forward.h"

/* The intermediate results of a layer. Without keep, all layers share one set of buffers; where
 * inputs are kept, all but x. */
struct activations {
    float *x, *h1, *r1;     // (N,C) residual stream in; its norm; (N,1 or 2) what the norm keeps
    float *q, *k, *v;       // (N,H*D), (N,K*D), (N,K*D); q and k rotated
    float *q0, *k0;         // as q and k, before the norms of each head; without such norms NULL
    float *rq, *rk;         // (N,H), (N,K) what those keep
    float *o, *lse;         // (N,H*D), (N,H); lse NULL without keep
    float *x2;              // (N,C) residual stream after attention
    float *h2, *r2;         // (N,C) the feed-forward's input, normed; (N,1 or 2) as r1
    float *gate, *up, *act; // (N,F); gate NULL without one
};

struct forward {
    struct model *model; // borrowed
    int max_rows, head_rows;
    enum forward_keep keep;
    struct buffer memory;      // of what is not said to be the host's
    struct activations *layer; // (L), or (1) without keep
    float *last, *r, *hidden;  // (N,C) residual stream out; (N); its norm
    float *head_in;            // (head_rows,C) gathered rows of hidden
    float *head_out;           // (head_rows, width of the widest head)
    int32_t *head_row;         // (head_rows) the host's: the rows that those two are of
    float *low;                // (N,r) between an adapter's two matrices; NULL without one
    int head, head_there;      // the head of head_out; how many rows are there, 0: none

    /* The last run, for the backward. */
    int N, segments;
    int there; // the layer whose activations lie in the shared buffers
    int32_t *token, *position;
    struct segment *segment; // (max_rows) the host's
    int *segment_end;        // (max_rows) the host's: where each segment's rows end
    int *head_end;           // (head_rows) the host's: likewise, of the rows of a head's call

    /* The backward's own, NULL without keep. */
    float *dx, *dh;             // (N,C)
    float *dq, *dk, *dv, *d_o;  // as q, k, v, o
    float *dq0, *dk0;           // as q0, k0
    float *d_act, *dgate, *dup; // (N,F)
    float *d_head_in;           // (head_rows,C)
};

err_t forward_check_rows(const struct forward *fw, const int32_t *row, const int32_t *target,
                         int count);

/* Layer l's activations, from its input if need be, as the last run computed them. */
err_t forward_layer(struct forward *fw, int l);

/* The shape of layer l's attention, with its window. */
static inline struct attention_shape layer_shape(const struct model *model, int l)
{
    struct attention_shape shape = model->shape;
    shape.window = config_window(&model->config, l);
    return shape;
}

/* q and k (or their gradients, and inverse) are turned by the last run's positions, where the
 * family's are. */
err_t forward_rotate(struct forward *fw, float *q, float *k, int inverse);

/* The input of a layer's feed-forward: the stream after attention; in a parallel layer, the layer's
 * input. */
const float *forward_mlp_input(const struct forward *fw, const struct activations *a);

/* The reference's logits of the same rows, into its head_out; NULL: nothing is done. And the op's
 * call for `rows` of them. */
err_t forward_reference_chunk(struct forward *fw, struct forward *reference, const int32_t *row,
                              int count);
struct row_call forward_row_call(const struct forward *fw, const struct row_call *how,
                                 const int32_t *target, int rows);

/* A head's outputs of count <= head_rows hidden rows into out, the rows themselves into
 * fw->head_in. Where out is fw->head_out and has those already, nothing is computed. */
err_t forward_head_chunk(struct forward *fw, int head, const int32_t *row, int count, float *out);
