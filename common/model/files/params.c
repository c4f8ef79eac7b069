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
    case DIM_D:
        return config->D;
    case DIM_P:
        return config->max_positions;
    case DIM_HD:
        return config->H * config->D;
    case DIM_KD:
        return config->K * config->D;
    }
    __builtin_unreachable();
}

static int add_tensor(struct params *params, const struct model_config *config,
                      const struct family_module *module, const char *suffix, int l, bool vector)
{
    const int rows = dim_of(config, module->rows), cols = vector ? 0 : dim_of(config, module->cols);
    char name[NAME_MAX_BYTES], tensor[NAME_MAX_BYTES + 8];
    snprintf(name, sizeof name, module->name, l);
    snprintf(tensor, sizeof tensor, "%s%s", name, suffix);
    const int i = layout_add(params->layout, tensor, rows, cols);
    params->stored = mem_grow(params->stored, (size_t)i + 1, sizeof *params->stored);
    params->stored[i] = stored_of(config->family, module, suffix, l, config->D, rows, cols);
    return i;
}

/* l takes the place of the name's %d, if it has one. */
static struct param add(struct params *params, const struct model_config *config,
                        const struct family_module *module, int l)
{
    struct param param = {.weight = -1, .bias = -1};
    if (!module->name)
        return param;
    param.weight = add_tensor(params, config, module, ".weight", l, false);
    if (module->bias)
        param.bias = add_tensor(params, config, module, ".bias", l, true);
    return param;
}

static void add_trunk(struct params *params, const struct model_config *config)
{
    const struct model_family *family = config->family;
    params->embed = add(params, config, &family->embed, 0);
    params->position = add(params, config, &family->position, 0);
    for (int i = 0; i < config->L * PARAM_ROLES; i++)
        params->layer[i] = add(params, config, &family->layer[i % PARAM_ROLES], i / PARAM_ROLES);
    params->norm = add(params, config, &family->final_norm, 0);
}

struct params *params_new(const struct model_config *config)
{
    const struct model_family *family = config->family;
    const struct param none = {.weight = -1, .bias = -1};
    struct params *params = mem_new(sizeof *params);
    params->layout = layout_new();
    params->layer = mem_array((size_t)config->L * PARAM_ROLES, sizeof *params->layer);
    params->embed = params->position = params->norm = none;
    if (config->parts & PART_TRUNK)
        add_trunk(params, config);
    for (int i = 0; i < HEADS_MAX; i++)
        if (!family->head[i].name || !(config->parts & (unsigned)PART_VOCABULARY << i))
            params->head[i] = none;
        else
            params->head[i] = i == HEAD_VOCABULARY && config->tied
                                  ? params->embed
                                  : add(params, config, &family->head[i], 0);
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
    free(params->stored);
    free(params);
}
