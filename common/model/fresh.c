/* Weights that a model begins with where no directory has them. */
#include "base/mem.h"
#include "base/rng.h"
#include "model/model.h"
#include <math.h>

/* How far from 0 each matrix begins, by tensor; see model_new. Owned by the caller. */
static double *initial_stds(const struct model *model)
{
    const struct params *params = model->params;
    const int L = model->config.L;
    double *std = mem_array((size_t)params->layout->count, sizeof *std);
    for (int i = 0; i < params->layout->count; i++)
        if (params->layout->tensor[i].cols)
            std[i] = 1 / sqrt(params->layout->tensor[i].cols);
    for (int l = 0; l < L; l++) {
        std[params_layer(params, l, PARAM_O).weight] /= sqrt(2.0 * L);
        std[params_layer(params, l, PARAM_DOWN).weight] /= sqrt(2.0 * L);
    }
    std[params->embed.weight] = 0.02;
    if (params->position.weight >= 0)
        std[params->position.weight] = 0.02;
    for (int i = 0; i < HEADS_MAX; i++)
        if (params->head[i].weight >= 0)
            std[params->head[i].weight] = 0.02;
    return std;
}

static void draw_tensor(const struct layout_tensor *tensor, int i, uint64_t seed, double std,
                        bf16 *flat)
{
    const struct rng rng = rng_keyed(seed, RNG_INIT, (uint64_t)i, 0);
    for (size_t j = 0; j < tensor->count; j++)
        flat[tensor->offset + j] = bf16_from_float((float)(std * rng_normal(&rng, j)));
}

static void set_ones(const struct params *params, struct param norm, bf16 *flat)
{
    if (norm.weight < 0)
        return;
    const struct layout_tensor *tensor = &params->layout->tensor[norm.weight];
    for (size_t j = 0; j < tensor->count; j++)
        flat[tensor->offset + j] = bf16_from_float(1);
}

err_t model_new(struct backend *be, const struct model_config *config, uint64_t seed,
                struct model **ret)
{
    SCOPED(model) model = NULL;
    TRY(model_empty(be, config, &model));
    const struct params *params = model->params;
    const struct layout *layout = params->layout;
    SCOPED_MEM double *std = initial_stds(model);
    SCOPED_MEM bf16 *flat = mem_array(layout->elements, sizeof *flat);
    for (int i = 0; i < layout->count; i++)
        if (layout->tensor[i].cols)
            draw_tensor(&layout->tensor[i], i, seed, std[i], flat);
    for (int l = 0; l < config->L; l++) {
        set_ones(params, params_layer(params, l, PARAM_NORM1), flat);
        set_ones(params, params_layer(params, l, PARAM_NORM2), flat);
        set_ones(params, params_layer(params, l, PARAM_Q_NORM), flat);
        set_ones(params, params_layer(params, l, PARAM_K_NORM), flat);
    }
    set_ones(params, params->norm, flat);
    TRY(model_put(model, flat, NULL));
    *ret = STEAL(model);
    return OK;
}

err_t model_new_value(struct backend *be, const struct model_config *trunk, struct model **ret)
{
    struct model_config config = *trunk;
    config.parts = PART_VALUE;
    config.tied = false;
    return model_empty(be, &config, ret);
}

err_t model_draw_value(struct model *model, uint64_t seed, double std)
{
    const struct layout *layout = model->params->layout;
    const int head = model->params->head[HEAD_VALUE].weight;
    SCOPED_MEM bf16 *flat = mem_array(layout->elements, sizeof *flat);
    SCOPED_MEM bool *changed = mem_array((size_t)layout->count, sizeof *changed);
    changed[head] = true;
    draw_tensor(&layout->tensor[head], head, seed, std, flat);
    return model_put(model, flat, changed);
}
