/* The inside of struct forward, for forward.c and backward.c alone. */
#pragma once
#include "model/forward.h"

/* What a layer computes on its way. Without keep, all layers share one; where inputs are kept, all but
 * x. */
struct activations {
    float *x, *h1, *r1;     // (N,C) residual stream in; its norm; (N) the norm's factors
    float *q, *k, *v;       // (N,H*D), (N,K*D), (N,K*D); q and k rotated
    float *o, *lse;         // (N,H*D), (N,H); lse NULL without keep
    float *x2, *h2, *r2;    // (N,C) after attention; its norm; (N)
    float *gate, *up, *act; // (N,F)
};

struct forward {
    struct model *model; // borrowed
    int max_rows, head_rows;
    enum forward_keep keep;
    size_t bytes;
    void *memory;
    struct activations *layer; // (L), or (1) without keep
    float *last, *r, *hidden;  // (N,C) residual stream out; (N); its norm
    float *head_in, *logits;   // (head_rows,C) gathered rows of hidden; (head_rows,V)
    int32_t *head_row;         // (head_rows) which rows those two are of,
    int head_there;            // and how many; 0: of none

    /* The last run, for the backward. */
    int N, segments;
    int there; // the layer whose activations are there; all that was not computed again since
    int32_t *token, *position;
    struct segment *segment;

    /* The backward's own, NULL without keep. */
    float *dx, *dh;             // (N,C)
    float *dq, *dk, *dv, *d_o;  // as q, k, v, o
    float *d_act, *dgate, *dup; // (N,F)
    float *d_head_in;           // (head_rows,C)
};

err_t forward_check_rows(const struct forward *fw, const int32_t *row, const int32_t *target,
                         int count);

/* Layer l's activations, from its input if need be, as the last run computed them. */
err_t forward_layer(struct forward *fw, int l);

/* Logits of count <= head_rows hidden rows into `logits`, the rows themselves into fw->head_in. Into fw->logits: unless they
 * are there already. */
err_t forward_head(struct forward *fw, const int32_t *row, int count, float *logits);
