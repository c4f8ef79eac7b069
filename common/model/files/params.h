/* The parameter table of a model: Hugging Face's names, laid out in one flat array.
 *
 *     SCOPED(params) params = params_new(&config);
 *     int q = params_layer(params, l, PARAM_Q);
 *     const struct layout_tensor *t = &params->layout->tensor[q];
 *
 * A tied head has no tensor of its own: params->head is then params->embed. Any thread: nothing
 * changes once made. */
#pragma once
#include "model/files/config.h"
#include "tensor/layout.h"

/* A layer's tensors, in the order they lie. */
enum param_role {
    PARAM_NORM1, // input_layernorm (C)
    PARAM_Q,     // (H*D, C)
    PARAM_K,     // (K*D, C)
    PARAM_V,     // (K*D, C)
    PARAM_O,     // (C, H*D)
    PARAM_NORM2, // post_attention_layernorm (C)
    PARAM_GATE,  // (F, C)
    PARAM_UP,    // (F, C)
    PARAM_DOWN,  // (C, F)
    PARAM_ROLES
};

struct params {
    struct layout *layout;
    int embed, norm, head; // indices into layout->tensor
};

struct params *params_new(const struct model_config *config);
int params_layer(const struct params *params, int layer,
                 enum param_role role); // index into layout->tensor
void params_free(struct params *params);
DEFINE_SCOPED(params)
