#include "model/files/params.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 128 };

static int dim_of(const struct model_config *config, enum dim dim)
{
    switch (dim) {
    case DIM_NONE:
        return 0;
    case DIM_ONE:
        return 1;
    case DIM_V:
        return config->V;
    case DIM_C:
        return config->C;
    case DIM_F:
        return config->F;
    case DIM_HD:
        return config->H * config->D;
    case DIM_KD:
        return config->K * config->D;
    }
    __builtin_unreachable();
}

/* l takes the place of the name's %d, if it has one. */
static struct param add(struct layout *layout, const struct model_config *config,
                        const struct family_module *module, int l)
{
    const int rows = dim_of(config, module->rows), cols = dim_of(config, module->cols);
    struct param param = {.bias = -1};
    char name[NAME_MAX_BYTES], tensor[NAME_MAX_BYTES + 8];
    snprintf(name, sizeof name, module->name, l);
    snprintf(tensor, sizeof tensor, "%s.weight", name);
    param.weight = layout_add(layout, tensor, rows, cols);
    snprintf(tensor, sizeof tensor, "%s.bias", name);
    if (module->bias)
        param.bias = layout_add(layout, tensor, rows, 0);
    return param;
}

static void add_trunk(struct params *params, const struct model_config *config)
{
    const struct model_family *family = config->family;
    struct layout *layout = params->layout;
    params->embed = add(layout, config, &family->embed, 0);
    for (int i = 0; i < config->L * PARAM_ROLES; i++)
        params->layer[i] = add(layout, config, &family->layer[i % PARAM_ROLES], i / PARAM_ROLES);
    params->norm = add(layout, config, &family->final_norm, 0);
}

struct params *params_new(const struct model_config *config)
{
    const struct model_family *family = config->family;
    const struct param none = {.weight = -1, .bias = -1};
    struct params *params = mem_new(sizeof *params);
    params->layout = layout_new();
    params->layer = mem_array((size_t)config->L * PARAM_ROLES, sizeof *params->layer);
    params->embed = params->norm = none;
    if (config->parts & PART_TRUNK)
        add_trunk(params, config);
    for (int i = 0; i < HEADS_MAX; i++)
        if (!family->head[i].name || !(config->parts & (unsigned)PART_VOCABULARY << i))
            params->head[i] = none;
        else
            params->head[i] = i == HEAD_VOCABULARY && config->tied
                                  ? params->embed
                                  : add(params->layout, config, &family->head[i], 0);
    return params;
}

struct param params_layer(const struct params *params, int layer, enum param_role role)
{
    return params->layer[layer * PARAM_ROLES + (int)role];
}

void params_free(struct params *params)
{
    if (!params)
        return;
    layout_free(params->layout);
    free(params->layer);
    free(params);
}
