/* A model's directory: what may lie in it, and how its weights come from there and go back. */
#include "base/file.h"
#include "base/mem.h"
#include "model/files/adapter_config.h"
#include "model/model.h"
#include "model/text/tokenizer.h"
#include <stdlib.h>
#include <string.h>

/* An adapter's weights are one file. */
static err_t open_files(const char *directory, const struct model_config *config,
                        struct safetensors **ret)
{
    if (!(config->parts & PART_ADAPTER))
        return safetensors_open_model(directory, ret);
    SCOPED_MEM char *path = file_join(directory, ADAPTER_WEIGHTS);
    return safetensors_open(path, ret);
}

static err_t check_shape(const struct safetensors *in, const char *directory,
                         const struct model_config *config, const struct stored *wanted)
{
    const char *asks = config->parts & PART_ADAPTER ? ADAPTER_CONFIG : "config.json";
    const struct tensor_info *found = stored_find(in, wanted);
    int rows, cols;
    stored_shape(wanted, &rows, &cols);
    if (!found)
        return err_new(ERR_INVALID, "%s: tensor '%s' is missing from its weights", directory,
                       wanted->name);
    const char *path = safetensors_path(in, found);
    if (cols == 0 && (found->rank != 1 || found->shape[0] != rows))
        return err_new(ERR_INVALID,
                       "%s: tensor '%s': has rank %d and %zu elements, %s asks for [%d]", path,
                       found->name, found->rank, found->count, asks, rows);
    if (cols && (found->rank != 2 || found->shape[0] != rows || found->shape[1] != cols))
        return err_new(ERR_INVALID,
                       "%s: tensor '%s': is [%lld, %lld] (rank %d), %s asks for [%d, %d]", path,
                       found->name, (long long)found->shape[0], (long long)found->shape[1],
                       found->rank, asks, rows, cols);
    if (found->dtype == DTYPE_OTHER)
        return err_new(ERR_INVALID, "%s: tensor '%s': its dtype is none of BF16, F16, F32", path,
                       found->name);
    return OK;
}

static bool ends_with(const char *name, const char *end)
{
    const size_t len = strlen(name), tail = strlen(end);
    return len > tail && strcmp(name + len - tail, end) == 0;
}

/* Whether a directory may hold a tensor that is not in the table. There are three: a tied head once
 * more, the vocabulary's head where a critic begins from it, and the constants of the family's row.
 * Any other would be a part of the model that we do not compute. */
static bool may_ignore(const struct model_config *config, const char *name)
{
    const struct model_family *family = config->family;
    SCOPED_MEM char *head = mem_printf("%s.weight", family->head[HEAD_VOCABULARY].name);
    if (config->parts & PART_ADAPTER)
        return false;
    if ((config->tied || !(config->parts & PART_VOCABULARY)) && strcmp(name, head) == 0)
        return true;
    for (int i = 0; i < IGNORED_MAX && family->ignored[i]; i++)
        if (ends_with(name, family->ignored[i]))
            return true;
    return false;
}

/* The table's tensor that the files call so; -1: none. */
static int index_of(const struct params *params, const char *name)
{
    for (int i = 0; i < params->layout->count; i++)
        if (stored_is(&params->stored[i], name))
            return i;
    return -1;
}

/* Of a tensor that is none of the table's: its name decides. */
static err_t check_other(const struct safetensors *in, const struct params *params,
                         const struct model_config *config, const struct tensor_info *found)
{
    if (may_ignore(config, found->name))
        return OK;
    const int i = index_of(params, found->name);
    if (i < 0)
        return err_new(ERR_INVALID, "%s: tensor '%s': %s %s model has none of that name",
                       safetensors_path(in, found), found->name,
                       config->parts & PART_ADAPTER ? "an adapter with these targets of a" : "a",
                       config->family->model_type);
    return err_new(ERR_INVALID, "%s: tensor '%s': is there as '%s' too",
                   safetensors_path(in, found), found->name, params->stored[i].name);
}

/* A directory of a tied model may hold its head once more, with the values of the embedding. Others
 * would be another model, whose config.json does not say so. */
static err_t check_tied(const struct safetensors *in, const struct params *params,
                        const struct model_config *config)
{
    enum { SOME = 1 << 14 };
    SCOPED_MEM char *name = mem_printf("%s.weight", config->family->head[HEAD_VOCABULARY].name);
    const struct tensor_info *head = safetensors_find(in, name);
    const struct tensor_info *embed =
        config->tied ? stored_find(in, &params->stored[params->embed.weight]) : NULL;
    if (!embed || !head)
        return OK;
    SCOPED_MEM float *a = mem_array(SOME, sizeof *a);
    SCOPED_MEM float *b = mem_array(SOME, sizeof *b);
    bool same = head->count == embed->count && head->dtype != DTYPE_OTHER;
    for (size_t at = 0; same && at < head->count; at += SOME) {
        const size_t count = head->count - at < SOME ? head->count - at : SOME;
        TRY(safetensors_read_some_f32(in, head, at, count, a));
        TRY(safetensors_read_some_f32(in, embed, at, count, b));
        same = memcmp(a, b, count * sizeof *a) == 0;
    }
    if (same)
        return OK;
    return err_new(ERR_INVALID,
                   "%s: tensor '%s': is not '%s', though config.json has 'tie_word_embeddings'",
                   safetensors_path(in, head), name, embed->name);
}

/* Looks up each of the table's, not each of the files': a file may have any number of names. */
static err_t check_names(const struct safetensors *in, const struct params *params,
                         const struct model_config *config)
{
    SCOPED_MEM bool *known = mem_array((size_t)safetensors_count(in), sizeof *known);
    for (int i = 0; i < params->layout->count; i++) {
        const struct tensor_info *found = stored_find(in, &params->stored[i]);
        if (found) // a critic begins without the head that it is to have
            known[found - safetensors_at(in, 0)] = true;
    }
    for (int i = 0; i < safetensors_count(in); i++)
        if (!known[i])
            TRY(check_other(in, params, config, safetensors_at(in, i)));
    return check_tied(in, params, config);
}

/* Before anything is allocated for the tensors: each of the table is there with its shape, and no
 * other. */
static err_t check_tensors(const struct safetensors *in, const char *directory,
                           const struct model_config *config)
{
    SCOPED(params) params = params_new(config);
    for (int i = 0; i < params->layout->count; i++)
        TRY(check_shape(in, directory, config, &params->stored[i]));
    return check_names(in, params, config);
}

err_t model_open_weights(const char *directory, const struct model_config *config,
                         struct safetensors **ret)
{
    SCOPED(safetensors) in = NULL;
    TRY(open_files(directory, config, &in));
    TRY(check_tensors(in, directory, config));
    *ret = STEAL(in);
    return OK;
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

/* Rows of tensor i, as they are held. */
static err_t read_rows(const struct model *model, const struct safetensors *in, int i, int row,
                       int rows, bf16 *ret)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[i];
    const struct stored *stored = &model->params->stored[i];
    const struct tensor_info *found = stored_find(in, stored);
    const size_t cols = tensor->cols ? (size_t)tensor->cols : 1, count = (size_t)rows * cols;
    const size_t first = (size_t)row * cols;
    if (stored_plain(stored)) {
        TRY(safetensors_read_some_bf16(in, found, first, count, ret));
        return check_finite(in, found, first, ret, count);
    }
    SCOPED_MEM float *value = mem_array(count, sizeof *value);
    TRY(stored_read(in, found, stored, row, rows, value));
    for (size_t j = 0; j < count; j++)
        ret[j] = bf16_from_float(value[j]);
    return check_finite(in, found, first, ret, count);
}

/* A matrix is read in pieces of whole panels, of about so many elements. */
enum { PIECE = 1 << 19 };

static int piece_rows(const struct layout_tensor *tensor)
{
    const int fit = PIECE / tensor->cols / WEIGHT_ROWS * WEIGHT_ROWS;
    return fit ? fit : WEIGHT_ROWS;
}

static err_t load_matrix(struct model *model, const struct safetensors *in, int i)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[i];
    const int most = piece_rows(tensor);
    SCOPED_MEM bf16 *piece = mem_array((size_t)most * (size_t)tensor->cols, sizeof *piece);
    for (int row = 0; row < tensor->rows; row += most) {
        const int rows = tensor->rows - row < most ? tensor->rows - row : most;
        TRY(read_rows(model, in, i, row, rows, piece));
        TRY(model->be->ops->weight_put(model->be, model->weight[i], piece, row, rows));
    }
    return OK;
}

static err_t load_tensor(struct model *model, const struct safetensors *in, int i)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[i];
    if (tensor->cols)
        return load_matrix(model, in, i);
    SCOPED_MEM bf16 *value = mem_array(tensor->count, sizeof *value);
    TRY(read_rows(model, in, i, 0, tensor->rows, value));
    return model->be->ops->put(model->be, model->row_major[i], value,
                               tensor->count * sizeof *value);
}

/* Tensors that the directory lacks are zeros; the caller has seen that none is missing. */
static err_t load_tensors(struct model *model, const struct safetensors *in)
{
    for (int i = 0; i < model->params->layout->count; i++)
        if (stored_find(in, &model->params->stored[i]))
            TRY(load_tensor(model, in, i));
    return OK;
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

/* Settings of drawing that we do not read, too: whoever loads a checkpoint has them again. */
static err_t load_generation(struct model *model, const char *directory)
{
    SCOPED_MEM char *path = file_join(directory, "generation_config.json");
    return file_exists(path) ? json_read_file(path, CONFIG_MAX_BYTES, &model->generation) : OK;
}

static err_t load(struct backend *be, const char *directory, const struct model_config *config,
                  bool compact, struct model **ret)
{
    SCOPED(safetensors) in = NULL;
    SCOPED(model) model = NULL;
    TRY(model_open_weights(directory, config, &in));
    TRY((compact ? model_empty_compact : model_empty)(be, config, &model));
    TRY(load_tensors(model, in));
    TRY(load_tokens(model, directory));
    TRY(load_generation(model, directory));
    *ret = STEAL(model);
    return OK;
}

err_t model_load_adapter(struct backend *be, const char *directory,
                         const struct model_config *config, bool compact, struct model **ret,
                         char **ret_base)
{
    SCOPED(safetensors) in = NULL;
    SCOPED(model) model = NULL;
    TRY(model_open_weights(directory, config, &in));
    TRY((compact ? model_empty_compact : model_empty)(be, config, &model));
    TRY(load_tensors(model, in));
    const char *base = safetensors_metadata(in, ADAPTER_BASE_DIGEST);
    *ret_base = mem_string(base ? base : "");
    *ret = STEAL(model);
    return OK;
}

static err_t load_valued(struct backend *be, const char *directory, bool compact,
                         struct model **ret, bool *ret_fresh)
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
    TRY((compact ? model_empty_compact : model_empty)(be, &config, &model));
    TRY(load_tensors(model, in));
    *ret = STEAL(model);
    *ret_fresh = fresh;
    return OK;
}

err_t model_load_critic(struct backend *be, const char *directory, struct model **ret,
                        bool *ret_fresh)
{
    return load_valued(be, directory, false, ret, ret_fresh);
}

err_t model_load_valued(struct backend *be, const char *directory, struct model **ret,
                        bool *ret_fresh)
{
    return load_valued(be, directory, true, ret, ret_fresh);
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
    struct model_config config;
    TRY(config_read(directory, &config));
    return load(be, directory, &config, false, ret);
}

err_t model_load_compact(struct backend *be, const char *directory, struct model **ret)
{
    struct model_config config;
    TRY(config_read(directory, &config));
    return load(be, directory, &config, true, ret);
}

err_t model_load_reward(struct backend *be, const char *directory, struct model **ret)
{
    struct model_config config;
    TRY(config_read_any(directory, &config));
    if (config.parts != PARTS_CRITIC)
        return err_new(ERR_INVALID, "%s/config.json: 'architectures' does not name '%s'", directory,
                       config.family->value_architecture);
    return load(be, directory, &config, true, ret);
}

/* Tensor i in float32, at its place of the buffer. */
static err_t load_f32(const struct model *model, const struct safetensors *in, int i,
                      struct buffer *to)
{
    const struct layout_tensor *tensor = &model->params->layout->tensor[i];
    const struct stored *stored = &model->params->stored[i];
    const struct tensor_info *found = stored_find(in, stored);
    if (stored_plain(stored))
        return safetensors_load_f32(in, found, to, tensor->offset);
    const size_t cols = tensor->cols ? (size_t)tensor->cols : 1;
    const int most = tensor->cols ? piece_rows(tensor) : tensor->rows;
    SCOPED_MEM float *piece = mem_array((size_t)most * cols, sizeof *piece);
    for (int row = 0; row < tensor->rows; row += most) {
        const int rows = tensor->rows - row < most ? tensor->rows - row : most;
        TRY(stored_read(in, found, stored, row, rows, piece));
        TRY(buffer_put(to, (tensor->offset + (size_t)row * cols) * sizeof *piece, piece,
                       (size_t)rows * cols * sizeof *piece));
    }
    return OK;
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
    const struct params *params = model->params;
    const int fresh = params->head[HEAD_VALUE].weight; // where a critic begins
    SCOPED(safetensors) in = NULL;
    TRY(open_files(directory, &model->config, &in));
    TRY(check_names(in, params, &model->config));
    for (int i = 0; i < params->layout->count; i++) {
        if (!stored_find(in, &params->stored[i]) && i == fresh) {
            TRY(copy_f32(model, &params->layout->tensor[i], ret));
            continue;
        }
        TRY(check_shape(in, directory, &model->config, &params->stored[i]));
        TRY(load_f32(model, in, i, ret));
    }
    return OK;
}
