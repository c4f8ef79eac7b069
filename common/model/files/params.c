#include "model/files/params.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 128 };
static const struct param none = {.weight = -1, .bias = -1, .a = -1, .b = -1};

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
    struct param param = none;
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

/* PEFT's names: those of the module in its wrappers. Its matrices lie as they are multiplied by,
 * whatever form the module's own has in the files. */
static int add_low(struct params *params, const struct model_config *config,
                   const struct family_module *module, const char *suffix, int l, int rows,
                   int cols)
{
    char name[NAME_MAX_BYTES], within[NAME_MAX_BYTES], tensor[NAME_MAX_BYTES + 32];
    struct family_module low = {.name = name,
                                .fused = module->fused,
                                .part = module->part,
                                .within = module->within ? within : NULL};
    snprintf(name, sizeof name, "base_model.model.%s", module->name);
    snprintf(within, sizeof within, "base_model.model.%s", module->within ? module->within : "");
    snprintf(tensor, sizeof tensor, name, l);
    snprintf(tensor + strlen(tensor), sizeof tensor - strlen(tensor), "%s", suffix);
    const int i = layout_add(params->layout, tensor, rows, cols);
    params->stored = mem_grow(params->stored, (size_t)i + 1, sizeof *params->stored);
    params->stored[i] = stored_of(config->family, &low, suffix, l, config->D, rows, cols);
    return i;
}

/* The A of a fused map stands with its first part. */
static int add_a(struct params *params, const struct model_config *config, int l, int role)
{
    const struct family_module *module = &config->family->layer[role];
    struct family_module whole = *module;
    for (int i = 0; module->fused && i < role; i++) {
        const struct family_module *other = &config->family->layer[i];
        if (other->fused && strcmp(other->within, module->within) == 0)
            return params->layer[l * PARAM_ROLES + i].a;
    }
    if (module->fused)
        whole.name = module->within;
    whole.fused = FUSED_NOT;
    whole.part = 0;
    return add_low(params, config, &whole, ".lora_A.weight", l, config->lora.r,
                   dim_of(config, module->cols));
}

/* PEFT keeps a head that trains beside the As and Bs (modules_to_save), whole. */
static struct param add_saved(struct params *params, const struct model_config *config,
                              const struct family_module *head)
{
    struct param param = none;
    param.weight = add_low(params, config, head, ".weight", 0, dim_of(config, head->rows),
                           dim_of(config, head->cols));
    return param;
}

static void add_adapter(struct params *params, const struct model_config *config)
{
    for (int i = 0; i < config->L * PARAM_ROLES; i++) {
        const int l = i / PARAM_ROLES, role = i % PARAM_ROLES;
        const struct family_module *module = &config->family->layer[role];
        if (!(config->lora.roles >> role & 1))
            continue;
        params->layer[i].a = add_a(params, config, l, role);
        params->layer[i].b = add_low(params, config, module, ".lora_B.weight", l,
                                     dim_of(config, module->rows), config->lora.r);
    }
}

struct params *params_new(const struct model_config *config)
{
    const struct model_family *family = config->family;
    struct params *params = mem_new(sizeof *params);
    params->layout = layout_new();
    params->layer = mem_array((size_t)config->L * PARAM_ROLES, sizeof *params->layer);
    params->embed = params->position = params->norm = none;
    for (int i = 0; i < config->L * PARAM_ROLES; i++)
        params->layer[i] = none;
    if (config->parts & PART_TRUNK)
        add_trunk(params, config);
    if (config->parts & PART_ADAPTER)
        add_adapter(params, config);
    for (int i = 0; i < HEADS_MAX; i++)
        if (!family->head[i].name || !(config->parts & (unsigned)PART_VOCABULARY << i))
            params->head[i] = none;
        else if (config->parts & PART_ADAPTER)
            params->head[i] = add_saved(params, config, &family->head[i]);
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
