#include "model/model.h"
#include "base/mem.h"
#include "model/text/tokenizer.h"
#include "tensor/rope.h"
#include <stdlib.h>
#include <string.h>

/* Matrices that are multiplied by are packed. An embedding is only looked up, unless it is the head
 * too; positions are. */
bool model_packs(const struct model_config *config, const struct params *params, int i)
{
    return params->layout->tensor[i].cols && i != params->position.weight &&
           (i != params->embed.weight || config->tied);
}

struct model *model_valued(struct model *model)
{
    const struct model *adapter = model->adapter;
    const bool own = adapter && !model->adapter_off && adapter->config.parts & PART_VALUE;
    return own ? model->adapter : model;
}

static bool is_packed(const struct model *model, int i)
{
    return model_packs(&model->config, model->params, i);
}

/* Heads see hidden states unrounded. The vocabulary's does not where the backend was opened so. */
static bool is_precise(const struct model *model, int i)
{
    for (int head = 0; head < HEADS_MAX; head++)
        if (model->params->head[head].weight == i)
            return head != HEAD_VOCABULARY || !model->be->round_head;
    return false;
}

static size_t padded(const struct layout_tensor *tensor)
{
    return (tensor->count + LAYOUT_ALIGN - 1) / LAYOUT_ALIGN * LAYOUT_ALIGN;
}

/* All matrices; those that are packed in one block. */
static err_t make_weights(struct model *model)
{
    const struct layout *layout = model->params->layout;
    SCOPED_MEM struct weight_form *form = mem_array((size_t)layout->count, sizeof *form);
    SCOPED_MEM struct weight **weight = mem_array((size_t)layout->count, sizeof(struct weight *));
    int count = 0;
    for (int i = 0; i < layout->count; i++)
        if (layout->tensor[i].cols)
            form[count++] = (struct weight_form){.N = layout->tensor[i].rows,
                                                 .K = layout->tensor[i].cols,
                                                 .rows = model->row_major[i],
                                                 .packed = is_packed(model, i),
                                                 .precise = is_precise(model, i)};
    TRY(model->be->ops->weights_new(model->be, form, count, weight));
    model->weight = mem_array((size_t)layout->count, sizeof(struct weight *));
    for (int i = layout->count; i-- > 0;)
        if (layout->tensor[i].cols)
            model->weight[i] = weight[--count];
    return OK;
}

static err_t make_row_major(struct model *model, bool compact)
{
    const struct layout *layout = model->params->layout;
    size_t elements = 0;
    model->row_major = mem_array((size_t)layout->count, sizeof(bf16 *));
    for (int i = 0; compact && i < layout->count; i++)
        elements += is_packed(model, i) ? 0 : padded(&layout->tensor[i]);
    if (compact)
        TRY(buffer_alloc(model->be, elements * sizeof(bf16), &model->loose));
    else
        TRY(buffer_alloc(model->be, layout->elements * sizeof(bf16), &model->values));
    bf16 *at = model->loose.address;
    for (int i = 0; i < layout->count; i++) {
        if (!compact)
            model->row_major[i] = model_values(model) + layout->tensor[i].offset;
        else if (!is_packed(model, i)) {
            model->row_major[i] = at;
            at += padded(&layout->tensor[i]);
        }
    }
    return OK;
}

static err_t make_angles(struct model *model)
{
    const struct rope rope = config_rope(&model->config);
    const int positions = model->config.max_positions;
    const size_t angles = (size_t)positions * (size_t)(rope.R / 2);
    if (!rope.R)
        return OK;
    SCOPED_MEM float *table = mem_array(2 * angles, sizeof *table);
    rope_table(table, table + angles, positions, &rope);
    TRY(buffer_alloc(model->be, 2 * angles * sizeof *table, &model->angles));
    TRY(buffer_put(&model->angles, 0, table, 2 * angles * sizeof *table));
    model->turning = rope.R;
    model->cos = model->angles.address;
    model->sin = model->cos + angles;
    return OK;
}

static err_t model_make(struct backend *be, const struct model_config *config, bool compact,
                        struct model **ret)
{
    TRY(config_check(config, "model"));
    SCOPED(model) model = mem_new(sizeof *model);
    model->be = be;
    model->config = *config;
    model->kv = be->rounds ? KV_BF16 : KV_F32;
    model->shape = (struct attention_shape){.H = config->H, .K = config->K, .D = config->D};
    model->params = params_new(config);
    TRY(make_row_major(model, compact));
    TRY(make_weights(model));
    if (config->parts & PART_TRUNK)
        TRY(make_angles(model));
    *ret = STEAL(model);
    return OK;
}

err_t model_empty(struct backend *be, const struct model_config *config, struct model **ret)
{
    return model_make(be, config, false, ret);
}

err_t model_empty_compact(struct backend *be, const struct model_config *config, struct model **ret)
{
    return model_make(be, config, true, ret);
}

err_t model_keep_kv(struct model *model, enum kv_format kv)
{
    if (kv == KV_F32 && model->be->rounds)
        return err_new(ERR_INVALID,
                       "model.kv=fp32: backend '%s' keeps keys and values in bf16 alone",
                       model->be->ops->name);
    model->kv = kv;
    return OK;
}

/* All of tensor i, from the host's memory, in each form. */
static err_t put_tensor(struct model *model, int i, const bf16 *from)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[i];
    struct backend *be = model->be;
    if (model->weight[i])
        return be->ops->weight_put(be, model->weight[i], from, 0, tensor->rows);
    return be->ops->put(be, model->row_major[i], from, tensor->count * sizeof *from);
}

void model_tokens(struct model *model, const struct tokenizer *tokenizer)
{
    mem_free(model->vacant);
    model->vacants = tokenizer_vacant(tokenizer, model->config.V, &model->vacant);
}

err_t model_repack(struct model *model)
{
    for (int i = 0; i < model->params->layout->count; i++)
        if (is_packed(model, i))
            TRY(model->be->ops->weight_repack(model->be, model->weight[i]));
    return OK;
}

err_t model_put(struct model *model, const bf16 *flat, const bool *changed)
{
    const struct layout *layout = model->params->layout;
    for (int i = 0; i < layout->count; i++)
        if (!changed || changed[i])
            TRY(put_tensor(model, i, flat + layout->tensor[i].offset));
    return OK;
}

/* Elements [first, first + count) of tensor i. */
static err_t get_tensor(const struct model *model, int i, size_t first, size_t count, bf16 *ret)
{
    struct backend *be = model->be;
    if (model->weight[i])
        return be->ops->weight_get(be, model->weight[i], first, count, ret);
    return be->ops->get(be, ret, model->row_major[i] + first, count * sizeof *ret);
}

err_t model_copy(const struct model *model, size_t first, size_t count, bf16 *ret)
{
    const struct layout *layout = model->params->layout;
    const size_t end = first + count;
    if (model_values(model))
        return buffer_get(&model->values, first * sizeof *ret, count * sizeof *ret, ret);
    memset(ret, 0, count * sizeof *ret);
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *tensor = &layout->tensor[i];
        const size_t from = tensor->offset > first ? tensor->offset : first;
        const size_t past = tensor->offset + tensor->count;
        const size_t to = past < end ? past : end;
        if (from < to)
            TRY(get_tensor(model, i, from - tensor->offset, to - from, ret + (from - first)));
    }
    return OK;
}

err_t model_flat(const struct model *model, bf16 **ret)
{
    const size_t elements = model->params->layout->elements;
    SCOPED_MEM bf16 *flat = mem_grow(NULL, elements, sizeof *flat);
    TRY(model_copy(model, 0, elements, flat));
    *ret = STEAL(flat);
    return OK;
}

/* Elements of a compact model's array that are copied at a time. */
enum { PIECE = 1 << 19 };

err_t model_digest(const struct model *model, struct digest *ret)
{
    struct backend *be = model->be;
    const size_t elements = model->params->layout->elements;
    struct digest sum = {0};
    if (model_values(model))
        return be->ops->digest(be, model_values(model), 0, elements, ret);
    SCOPED_MEM bf16 *piece = mem_array(PIECE, sizeof *piece);
    for (size_t at = 0; at < elements; at += PIECE) {
        const size_t count = elements - at < PIECE ? elements - at : PIECE;
        TRY(model_copy(model, at, count, piece));
        sum = weights_digest_add(sum, weights_digest(piece, at, count));
    }
    *ret = sum;
    return OK;
}

size_t model_bytes(const struct model *model)
{
    const struct layout *layout = model->params->layout;
    size_t elements = model_values(model) ? layout->elements : 0;
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *tensor = &layout->tensor[i];
        if (is_packed(model, i))
            elements += (size_t)(tensor->rows + WEIGHT_ROWS - 1) / WEIGHT_ROWS * WEIGHT_ROWS *
                        (size_t)tensor->cols;
        else if (!model_values(model))
            elements += padded(tensor);
    }
    return elements * sizeof(bf16) + (model->adapter ? model_bytes(model->adapter) : 0);
}

void model_free(struct model *model)
{
    if (!model)
        return;
    for (int i = 0; model->weight && i < model->params->layout->count; i++)
        if (model->weight[i])
            model->be->ops->weight_free(model->be, model->weight[i]);
    params_free(model->params);
    free(model->weight);
    free(model->row_major);
    buffer_done(&model->loose);
    buffer_done(&model->values);
    buffer_done(&model->angles);
    mem_free(model->vacant);
    json_decref(model->generation);
    model_free(model->adapter);
    if (model->base)
        mem_free(model->base->directory);
    mem_free(model->base);
    free(model);
}
