#include "model/adapter.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/text/tokenizer.h"
#include <math.h>
#include <string.h>

/* As the base's config, with one part alone; beside a critic with a head of its own. */
static err_t config_of(const struct model *base, const struct lora *lora, struct model_config *ret)
{
    struct model_config config = base->config;
    if (lora->r < 1 || lora->r > ADAPTER_RANK_MAX || !lora->roles || !isfinite(lora_scale(lora)))
        return err_new(ERR_INVALID,
                       "an adapter of rank %d with alpha %g: ranks are 1 to %d, alpha is above 0, "
                       "and some module is named",
                       lora->r, lora->alpha, ADAPTER_RANK_MAX);
    config.parts = PART_ADAPTER | (base->config.parts & PART_VALUE);
    config.tied = false;
    config.lora = *lora;
    *ret = config;
    return OK;
}

/* Each module's As and Bs, where linear.c finds them. */
static void point_at(struct model *model, const struct params *adapter)
{
    for (int i = 0; i < model->config.L * PARAM_ROLES; i++) {
        model->params->layer[i].a = adapter->layer[i].a;
        model->params->layer[i].b = adapter->layer[i].b;
    }
}

struct model *adapter_swap(struct model *model, struct model *adapter)
{
    struct model *before = model->adapter;
    if (adapter)
        point_at(model, adapter->params);
    model->adapter = adapter;
    return before;
}

/* Takes adapter. */
static err_t attach(struct model *model, const char *directory, struct model *adapter)
{
    SCOPED(model) owned = adapter;
    struct base *base = owned->base = mem_new(sizeof *base);
    base->directory = mem_string(directory);
    TRY(model_digest(model, &base->weights));
    model_free(adapter_swap(model, STEAL(owned)));
    return OK;
}

err_t adapter_empty(struct model *base, const char *directory, const struct lora *lora)
{
    struct model_config config;
    SCOPED(model) adapter = NULL;
    TRY(config_of(base, lora, &config));
    TRY((model_values(base) ? model_empty : model_empty_compact)(base->be, &config, &adapter));
    return attach(base, directory, STEAL(adapter));
}

/* Row-major, so that a tensor's draws are a function of its place, whatever form it is held in. */
static void draw_a(const struct layout_tensor *tensor, int i, uint64_t seed, enum lora_init init,
                   bf16 *flat)
{
    const struct rng rng = rng_keyed(seed, RNG_INIT, (uint64_t)i, 1);
    const double bound = 1 / sqrt(tensor->cols), std = 1.0 / tensor->rows;
    for (size_t j = 0; j < tensor->count; j++) {
        const double value = init == LORA_GAUSSIAN ? std * rng_normal(&rng, j)
                                                   : bound * (2 * rng_uniform(&rng, j) - 1);
        flat[tensor->offset + j] = bf16_from_float((float)value);
    }
}

err_t adapter_new(struct model *base, const char *directory, const struct lora *lora,
                  enum lora_init init, uint64_t seed)
{
    TRY(adapter_empty(base, directory, lora));
    struct model *adapter = base->adapter;
    const struct params *params = adapter->params;
    SCOPED_MEM bf16 *flat = mem_array(params->layout->elements, sizeof *flat);
    for (int i = 0, last = -1; i < base->config.L * PARAM_ROLES; i++) {
        const int a = params->layer[i].a;
        if (a > last) // parts of a fused map share theirs
            draw_a(&params->layout->tensor[last = a], a, seed, init, flat);
    }
    if (adapter->config.parts & PART_VALUE) // begins as the base's
        TRY(model_copy(base, model_head(base, HEAD_VALUE)->offset,
                       model_head(base, HEAD_VALUE)->count,
                       flat + model_head(adapter, HEAD_VALUE)->offset));
    return model_put(adapter, flat, NULL);
}

err_t adapter_load(struct model *base, const char *base_directory, const char *directory)
{
    struct lora lora;
    struct model_config config;
    char ours[DIGEST_TEXT];
    SCOPED_MEM char *beside = NULL;
    SCOPED(model) adapter = NULL;
    TRY(adapter_config_read(directory, &base->config, &lora));
    TRY(config_of(base, &lora, &config));
    TRY(model_load_adapter(base->be, directory, &config, !model_values(base), &adapter, &beside));
    TRY(attach(base, base_directory, STEAL(adapter)));
    digest_text(&base->adapter->base->weights, ours);
    if (!*beside || strcmp(beside, ours) == 0)
        return OK;
    return err_new(
        ERR_PRECONDITION,
        "'%s' was trained beside weights of digest %.40s; '%s' has %s: give the base that "
        "it began with",
        directory, beside, base_directory, ours);
}

err_t adapter_under(const char *directory, char **ret)
{
    if (adapter_is(directory))
        return adapter_base(directory, ret);
    *ret = mem_string(directory);
    return OK;
}

err_t adapter_tokenizer(const char *directory, char **ret)
{
    SCOPED_MEM char *own = file_join(directory, tokenizer_file(0));
    if (!file_exists(own))
        return adapter_under(directory, ret);
    *ret = mem_string(directory);
    return OK;
}

err_t adapter_open(struct backend *be, const char *directory, bool compact, struct model **ret)
{
    SCOPED_MEM char *base = NULL;
    SCOPED(model) model = NULL;
    TRY(adapter_under(directory, &base));
    TRY((compact ? model_load_compact : model_load)(be, base, &model));
    if (adapter_is(directory))
        TRY(adapter_load(model, base, directory));
    *ret = STEAL(model);
    return OK;
}

/* Sequences are not padded here; who reads the files pads by this token. Of a policy's directory
 * that the adapter stands beside it may be one that ends texts. */
err_t adapter_reward_pad(const char *directory, struct model_config *config)
{
    SCOPED_MEM char *file = file_join(directory, "tokenizer.json");
    SCOPED(tokenizer) tokenizer = NULL;
    int pad = config->pad;
    if (file_exists(file)) {
        TRY(tokenizer_load(directory, &tokenizer));
        pad = tokenizer_pad(tokenizer) >= 0 ? tokenizer_pad(tokenizer) : pad;
    }
    for (int i = 0; i < config->eos_count; i++)
        pad = pad == config->eos[i] ? -1 : pad;
    config->pad = pad;
    return OK;
}

err_t adapter_open_valued(struct backend *be, const char *directory, bool compact,
                          struct model **ret)
{
    bool fresh;
    SCOPED_MEM char *base = NULL;
    SCOPED(model) model = NULL;
    TRY(adapter_base(directory, &base));
    TRY((compact ? model_load_valued : model_load_critic)(be, base, &model, &fresh));
    TRY(adapter_load(model, base, directory));
    TRY(adapter_reward_pad(directory, &model->config));
    *ret = STEAL(model);
    return OK;
}

err_t adapter_open_reward(struct backend *be, const char *directory, struct model **ret)
{
    return adapter_is(directory) ? adapter_open_valued(be, directory, true, ret)
                                 : model_load_reward(be, directory, ret);
}

/* ---- merging */

/* Tensor i of a model, widened. Owned by the caller. */
static err_t widen(const struct model *model, int i, float **ret)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[i];
    SCOPED_MEM bf16 *value = mem_array(tensor->count, sizeof *value);
    TRY(model_copy(model, tensor->offset, tensor->count, value));
    float *wide = mem_array(tensor->count, sizeof *wide);
    for (size_t j = 0; j < tensor->count; j++)
        wide[j] = bf16_to_float(value[j]);
    *ret = wide;
    return OK;
}

static err_t read_low(const struct model *adapter, const struct buffer *values, int i, float **ret)
{
    const struct layout_tensor *tensor = &adapter->params->layout->tensor[i];
    const size_t size = sizeof(float);
    if (!values)
        return widen(adapter, i, ret);
    SCOPED_MEM float *wide = mem_array(tensor->count, size);
    TRY(buffer_get(values, tensor->offset * size, tensor->count * size, wide));
    *ret = STEAL(wide);
    return OK;
}

/* w (rows,cols) += scale * b (rows,r) a (r,cols), each sum in double. */
static void add_product(float *w, const float *b, const float *a, int rows, int cols,
                        const struct lora *lora)
{
    const double scale = (double)lora_scale(lora);
    for (int n = 0; n < rows; n++)
        for (int k = 0; k < cols; k++) {
            double sum = 0;
            for (int i = 0; i < lora->r; i++)
                sum += (double)b[n * lora->r + i] * (double)a[(size_t)i * (size_t)cols + (size_t)k];
            float *at = &w[(size_t)n * (size_t)cols + (size_t)k];
            *at = (float)((double)*at + scale * sum);
        }
}

static err_t merge_module(const struct model *model, const struct buffer *values,
                          struct param param, float *w)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[param.weight];
    SCOPED_MEM float *a = NULL;
    SCOPED_MEM float *b = NULL;
    TRY(read_low(model->adapter, values, param.a, &a));
    TRY(read_low(model->adapter, values, param.b, &b));
    add_product(w, b, a, tensor->rows, tensor->cols, &model->adapter->config.lora);
    return OK;
}

static struct param adapted_by(const struct model *model, int tensor)
{
    for (int i = 0; i < model->config.L * PARAM_ROLES; i++)
        if (model->params->layer[i].weight == tensor)
            return model->params->layer[i];
    return (struct param){.a = -1};
}

/* The adapter's own value's head stands in for the base's. */
static err_t take_head(const struct model *adapter, const struct buffer *values, size_t count,
                       float *w)
{
    SCOPED_MEM float *head = NULL;
    TRY(read_low(adapter, values, adapter->params->head[HEAD_VALUE].weight, &head));
    memcpy(w, head, count * sizeof *w);
    return OK;
}

err_t adapter_merge_tensor(const struct model *model, const struct buffer *adapter, int i,
                           float **ret)
{
    const struct param param = adapted_by(model, i);
    SCOPED_MEM float *w = NULL;
    TRY(widen(model, i, &w));
    if (param.a >= 0)
        TRY(merge_module(model, adapter, param, w));
    if (i == model->params->head[HEAD_VALUE].weight)
        TRY(take_head(model->adapter, adapter, model->params->layout->tensor[i].count, w));
    *ret = STEAL(w);
    return OK;
}

err_t adapter_merge(const struct model *model, const struct buffer *adapter, struct buffer *ret)
{
    for (int i = 0; i < model->params->layout->count; i++) {
        const struct layout_tensor *tensor = &model->params->layout->tensor[i];
        SCOPED_MEM float *w = NULL;
        TRY(adapter_merge_tensor(model, adapter, i, &w));
        TRY(buffer_put(ret, tensor->offset * sizeof *w, w, tensor->count * sizeof *w));
    }
    return OK;
}
