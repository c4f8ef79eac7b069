/* The parameter table of a model: the tensors of its family's modules, laid out in one flat array.
 *
 *     SCOPED(params) params = params_new(&config);
 *     struct param q = params_layer(params, l, PARAM_Q);
 *     const struct layout_tensor *t = &params->layout->tensor[q.weight];
 *
 * Order: embedding, learned positions, layers (roles in order, a weight before its bias), final
 * norm, heads; of those the parts that the config names. A tied vocabulary head has no tensor of
 * its own: its weight is the embedding's. An adapter (PART_ADAPTER) has two matrices, A and B, of
 * each module that the config's lora names; parts of a fused map share their A. Any thread: nothing
 * changes once made. */
#pragma once
#include "model/files/config.h"
#include "model/files/stored.h"
#include "tensor/layout.h"

/* A module's tensors, as indices into layout->tensor; -1: none. */
struct param {
    int weight, bias;
    int a, b; // those of its adapter, into the adapter's own layout; of a model without one -1
};

struct params {
    struct layout *layout;
    struct stored *stored; // per tensor of the layout
    struct param embed, position;
    struct param norm;            // the final one
    struct param head[HEADS_MAX]; // by HEAD_...
    struct param *layer;          // (L, PARAM_ROLES)
};

struct params *params_new(const struct model_config *config);
struct param params_layer(const struct params *params, int layer, enum param_role role);
void params_free(struct params *params);
DEFINE_SCOPED(params)
