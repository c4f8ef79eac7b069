#include "model/model.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/text/tokenizer.h"
#include <stdlib.h>
#include <string.h>

/* Matrices that are multiplied by are packed. An embedding is only looked up, unless it is the head
 * too. */
static bool is_packed(const struct model *model, int i)
{
    return model->params->layout->tensor[i].cols &&
           (i != model->params->embed.weight || model->config.tied);
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
                                                 .packed = is_packed(model, i)};
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
    const struct model_config *c = &model->config;
    const size_t angles = (size_t)c->max_positions * (size_t)(c->D / 2);
    SCOPED_MEM float *table = mem_array(2 * angles, sizeof *table);
    rope_table(table, table + angles, c->max_positions, c->D, c->rope_theta);
    TRY(buffer_alloc(model->be, 2 * angles * sizeof *table, &model->angles));
    TRY(buffer_put(&model->angles, 0, table, 2 * angles * sizeof *table));
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

/* All of tensor i, from the host's memory, in each form. */
static err_t put_tensor(struct model *model, int i, const bf16 *from)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[i];
    struct backend *be = model->be;
    if (model->weight[i])
        return be->ops->weight_put(be, model->weight[i], from, 0, tensor->rows);
    return be->ops->put(be, model->row_major[i], from, tensor->count * sizeof *from);
}

static err_t check_shape(const struct safetensors *in, const char *directory,
                         const struct layout_tensor *wanted)
{
    const struct tensor_info *found = safetensors_find(in, wanted->name);
    if (!found)
        return err_new(ERR_INVALID, "%s: tensor '%s' is missing from its weights", directory,
                       wanted->name);
    const char *path = safetensors_path(in, found);
    if (wanted->cols == 0 && (found->rank != 1 || found->shape[0] != wanted->rows))
        return err_new(ERR_INVALID,
                       "%s: tensor '%s': has rank %d and %zu elements, config.json asks for [%d]",
                       path, found->name, found->rank, found->count, wanted->rows);
    if (wanted->cols &&
        (found->rank != 2 || found->shape[0] != wanted->rows || found->shape[1] != wanted->cols))
        return err_new(ERR_INVALID,
                       "%s: tensor '%s': is [%lld, %lld] (rank %d), config.json asks for [%d, %d]",
                       path, found->name, (long long)found->shape[0], (long long)found->shape[1],
                       found->rank, wanted->rows, wanted->cols);
    if (found->dtype == DTYPE_OTHER)
        return err_new(ERR_INVALID, "%s: tensor '%s': its dtype is none of BF16, F16, F32", path,
                       found->name);
    return OK;
}

/* Whether a directory may hold a tensor that is not in the table: a tied head once more, the
 * vocabulary's head where a critic begins from it, and the constants that the family's row names.
 * Any other would be a part of the model that we do not compute. */
static bool may_ignore(const struct model_config *config, const char *name)
{
    const struct model_family *family = config->family;
    SCOPED_MEM char *head = mem_printf("%s.weight", family->head[HEAD_VOCABULARY].name);
    const size_t len = strlen(name), tail = family->ignored ? strlen(family->ignored) : 0;
    if ((config->tied || !(config->parts & PART_VOCABULARY)) && strcmp(name, head) == 0)
        return true;
    return tail && len > tail && strcmp(name + len - tail, family->ignored) == 0;
}

static err_t check_names(const struct safetensors *in, const struct layout *layout,
                         const struct model_config *config)
{
    for (int i = 0; i < safetensors_count(in); i++) {
        const struct tensor_info *found = safetensors_at(in, i);
        if (!layout_find(layout, found->name) && !may_ignore(config, found->name))
            return err_new(ERR_INVALID, "%s: tensor '%s': a %s model has none of that name",
                           safetensors_path(in, found), found->name, config->family->model_type);
    }
    return OK;
}

/* Before anything is allocated for the tensors: each of the table is there with its shape, and no
 * other. */
static err_t check_tensors(const struct safetensors *in, const char *directory,
                           const struct model_config *config)
{
    SCOPED(params) params = params_new(config);
    for (int i = 0; i < params->layout->count; i++)
        TRY(check_shape(in, directory, &params->layout->tensor[i]));
    return check_names(in, params->layout, config);
}

/* Refuses values that are not a number or infinite: one such weight makes every logit so. Values
 * are judged as they are held, after they were rounded to bf16, which may make one infinite. */
static err_t check_finite(const struct safetensors *in, const struct tensor_info *tensor,
                          size_t first, const bf16 *value, size_t count)
{
    enum { EXPONENT = 0x7f80, FRACTION = 0x7f };
    unsigned odd = 0;
    for (size_t i = 0; i < count; i++)
        odd |= (value[i] & EXPONENT) == EXPONENT;
    for (size_t i = 0; odd && i < count; i++)
        if ((value[i] & EXPONENT) == EXPONENT)
            return err_new(ERR_INVALID, "%s: tensor '%s': value %zu is %s; all must be finite",
                           safetensors_path(in, tensor), tensor->name, first + i,
                           value[i] & FRACTION ? "not a number" : "infinite");
    return OK;
}

/* A matrix is read in pieces of whole panels, of about so many elements. */
enum { PIECE = 1 << 19 };

static err_t load_matrix(struct model *model, const struct safetensors *in, int i)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[i];
    const int fit = PIECE / tensor->cols / WEIGHT_ROWS * WEIGHT_ROWS;
    const int most = fit ? fit : WEIGHT_ROWS;
    const size_t cols = (size_t)tensor->cols;
    const struct tensor_info *found = safetensors_find(in, tensor->name);
    SCOPED_MEM bf16 *piece = mem_array((size_t)most * cols, sizeof *piece);
    for (int row = 0; row < tensor->rows; row += most) {
        const int rows = tensor->rows - row < most ? tensor->rows - row : most;
        const size_t first = (size_t)row * cols, count = (size_t)rows * cols;
        TRY(safetensors_read_some_bf16(in, found, first, count, piece));
        TRY(check_finite(in, found, first, piece, count));
        TRY(model->be->ops->weight_put(model->be, model->weight[i], piece, row, rows));
    }
    return OK;
}

static err_t load_tensor(struct model *model, const struct safetensors *in, int i)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[i];
    const struct tensor_info *found = safetensors_find(in, tensor->name);
    if (tensor->cols)
        return load_matrix(model, in, i);
    SCOPED_MEM bf16 *value = mem_array(tensor->count, sizeof *value);
    TRY(safetensors_read_bf16(in, found, value));
    TRY(check_finite(in, found, 0, value, tensor->count));
    return put_tensor(model, i, value);
}

/* Tensors that the directory lacks are zeros; the caller has seen that none is missing. */
static err_t load_tensors(struct model *model, const struct safetensors *in)
{
    for (int i = 0; i < model->params->layout->count; i++)
        if (safetensors_find(in, model->params->layout->tensor[i].name))
            TRY(load_tensor(model, in, i));
    return OK;
}

void model_tokens(struct model *model, const struct tokenizer *tokenizer)
{
    mem_free(model->vacant);
    model->vacants = tokenizer_vacant(tokenizer, model->config.V, &model->vacant);
}

static err_t load_tokens(struct model *model, const char *directory)
{
    SCOPED_MEM char *path = file_join(directory, "tokenizer.json");
    SCOPED(tokenizer) tokenizer = NULL;
    if (!file_exists(path))
        return OK;
    TRY(tokenizer_load(directory, &tokenizer));
    return model_tokens(model, tokenizer), OK;
}

static err_t load(struct backend *be, const char *directory, bool compact, struct model **ret)
{
    struct model_config config;
    SCOPED(safetensors) in = NULL;
    SCOPED(model) model = NULL;
    TRY(config_read(directory, &config));
    TRY(safetensors_open_model(directory, &in));
    TRY(check_tensors(in, directory, &config));
    TRY(model_make(be, &config, compact, &model));
    TRY(load_tensors(model, in));
    TRY(load_tokens(model, directory));
    *ret = STEAL(model);
    return OK;
}

err_t model_load_critic(struct backend *be, const char *directory, struct model **ret,
                        bool *ret_fresh)
{
    struct model_config config;
    SCOPED(safetensors) in = NULL;
    SCOPED(model) model = NULL;
    TRY(config_read_any(directory, &config));
    TRY(safetensors_open_model(directory, &in));
    TRY(check_tensors(in, directory, &config));
    const bool fresh = !(config.parts & PART_VALUE);
    config.parts = PARTS_CRITIC;
    config.tied = false;
    TRY(model_empty(be, &config, &model));
    TRY(load_tensors(model, in));
    *ret = STEAL(model);
    *ret_fresh = fresh;
    return OK;
}

/* The directory's config is the trunk's in both cases: the tensors alone tell. */
static bool has_trunk(const struct safetensors *in, const struct model_config *head)
{
    SCOPED(params) params = params_new(head);
    return safetensors_count(in) > params->layout->count;
}

err_t model_load_value(struct backend *be, const char *directory, const struct model_config *trunk,
                       struct model **ret)
{
    bool fresh;
    struct model_config head = *trunk;
    SCOPED(safetensors) in = NULL;
    SCOPED(model) model = NULL;
    head.parts = PART_VALUE;
    head.tied = false;
    TRY(safetensors_open_model(directory, &in));
    if (has_trunk(in, &head))
        return model_load_critic(be, directory, ret, &fresh);
    TRY(check_tensors(in, directory, &head));
    TRY(model_empty(be, &head, &model));
    TRY(load_tensors(model, in));
    *ret = STEAL(model);
    return OK;
}

err_t model_load(struct backend *be, const char *directory, struct model **ret)
{
    return load(be, directory, false, ret);
}

err_t model_load_compact(struct backend *be, const char *directory, struct model **ret)
{
    return load(be, directory, true, ret);
}

/* A tensor's values as the model has them. */
static err_t copy_f32(const struct model *model, const struct layout_tensor *tensor,
                      struct buffer *ret)
{
    SCOPED_MEM bf16 *value = mem_array(tensor->count, sizeof *value);
    SCOPED_MEM float *wide = mem_array(tensor->count, sizeof *wide);
    TRY(model_copy(model, tensor->offset, tensor->count, value));
    for (size_t i = 0; i < tensor->count; i++)
        wide[i] = bf16_to_float(value[i]);
    return buffer_put(ret, tensor->offset * sizeof *wide, wide, tensor->count * sizeof *wide);
}

err_t model_read_f32(const struct model *model, const char *directory, struct buffer *ret)
{
    const struct layout *layout = model->params->layout;
    const int fresh = model->params->head[HEAD_VALUE].weight; // where a critic begins
    SCOPED(safetensors) in = NULL;
    TRY(safetensors_open_model(directory, &in));
    TRY(check_names(in, layout, &model->config));
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *tensor = &layout->tensor[i];
        const struct tensor_info *found = safetensors_find(in, tensor->name);
        if (!found && i == fresh) {
            TRY(copy_f32(model, tensor, ret));
            continue;
        }
        TRY(check_shape(in, directory, tensor));
        TRY(safetensors_load_f32(in, found, ret, tensor->offset));
    }
    return OK;
}

static err_t write_json(const char *directory, const char *name, const json_t *json)
{
    SCOPED_MEM char *path = file_join(directory, name);
    SCOPED_MEM char *text = json_dumps(json, JSON_INDENT(2));
    SCOPED_MEM char *line = mem_printf("%s\n", text);
    return file_write(path, line, strlen(line));
}

err_t model_write(const struct model *model, const char *directory)
{
    const struct layout *layout = model->params->layout;
    if (!model_values(model))
        return err_new(ERR_PRECONDITION, "%s: a compact model is not written", directory);
    SCOPED_JSON json_t *config = config_json(&model->config);
    SCOPED_JSON json_t *generation = config_generation_json(&model->config);
    SCOPED_MEM char *path = file_join(directory, "model.safetensors");
    SCOPED_MEM struct tensor_source *tensors = mem_array((size_t)layout->count, sizeof *tensors);
    for (int i = 0; i < layout->count; i++)
        tensors[i] = (struct tensor_source){.name = layout->tensor[i].name,
                                            .dtype = DTYPE_BF16,
                                            .rows = layout->tensor[i].rows,
                                            .cols = layout->tensor[i].cols,
                                            .data = model_tensor(model, i),
                                            .be = model->be};
    TRY(write_json(directory, "config.json", config));
    TRY(write_json(directory, "generation_config.json", generation));
    return safetensors_write(path, tensors, layout->count, NULL, 0);
}

err_t model_save(const struct model *model, const char *directory)
{
    TRY(file_make_directories(directory));
    return model_write(model, directory);
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
    return elements * sizeof(bf16);
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
    free(model);
}
