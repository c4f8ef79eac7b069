#include "model/files/params.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 96 };

/* One row of a layer's table; to add a tensor to every layer: a role and a row. */
struct role {
    const char *name;
    int rows, cols;
};

static void add_layer(struct layout *layout, const struct model_config *config, int l)
{
    const int C = config->C, F = config->F, HD = config->H * config->D, KD = config->K * config->D;
    const struct role roles[PARAM_ROLES] = {
        [PARAM_NORM1] = {"input_layernorm", C, 0},
        [PARAM_Q] = {"self_attn.q_proj", HD, C},
        [PARAM_K] = {"self_attn.k_proj", KD, C},
        [PARAM_V] = {"self_attn.v_proj", KD, C},
        [PARAM_O] = {"self_attn.o_proj", C, HD},
        [PARAM_NORM2] = {"post_attention_layernorm", C, 0},
        [PARAM_GATE] = {"mlp.gate_proj", F, C},
        [PARAM_UP] = {"mlp.up_proj", F, C},
        [PARAM_DOWN] = {"mlp.down_proj", C, F},
    };
    for (int role = 0; role < PARAM_ROLES; role++) {
        char name[NAME_MAX_BYTES];
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, roles[role].name);
        layout_add(layout, name, roles[role].rows, roles[role].cols);
    }
}

struct params *params_new(const struct model_config *config)
{
    struct params *params = mem_new(sizeof *params);
    struct layout *layout = params->layout = layout_new();
    params->embed = layout_add(layout, "model.embed_tokens.weight", config->V, config->C);
    for (int l = 0; l < config->L; l++)
        add_layer(layout, config, l);
    params->norm = layout_add(layout, "model.norm.weight", config->C, 0);
    params->head =
        config->tied ? params->embed : layout_add(layout, "lm_head.weight", config->V, config->C);
    return params;
}

int params_layer(const struct params *params, int layer, enum param_role role)
{
    return params->embed + 1 + layer * PARAM_ROLES + (int)role;
}

void params_free(struct params *params)
{
    if (!params)
        return;
    layout_free(params->layout);
    free(params);
}
