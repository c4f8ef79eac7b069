/* A model's directory as we write it. */
#include "base/file.h"
#include "base/mem.h"
#include "model/files/adapter_config.h"
#include "model/model.h"
#include <string.h>

static err_t write_json(const char *directory, const char *name, const json_t *json)
{
    SCOPED_MEM char *path = file_join(directory, name);
    SCOPED_MEM char *text = json_dumps(json, JSON_INDENT(2));
    SCOPED_MEM char *line = mem_printf("%s\n", text);
    return file_write(path, line, strlen(line));
}

/* Values to write: the model's, bf16, or float32 ones at its layout. */
struct writing {
    const struct model *model;
    const struct buffer *f32; // NULL: the model's
    char *value;              // the tensor being made
};

static size_t size_of(const struct writing *w)
{
    return w->f32 ? sizeof(float) : sizeof(bf16);
}

/* A tensor of the files that no memory has so. The call for its first bytes makes it, in memory
 * that all of them share. */
struct made {
    const struct writing *writing;
    int first; // of its parts
};

static err_t make_part(const struct writing *w, int i)
{
    const struct layout_tensor *tensor = &w->model->params->layout->tensor[i];
    const size_t size = size_of(w);
    SCOPED_MEM char *part = mem_array(tensor->count, size);
    if (w->f32)
        TRY(buffer_get(w->f32, tensor->offset * size, tensor->count * size, part));
    else
        TRY(model_copy(w->model, tensor->offset, tensor->count, (bf16 *)part));
    stored_place(&w->model->params->stored[i], size, part, w->value);
    return OK;
}

static err_t read_made(void *arg, size_t at, size_t len, void *ret)
{
    const struct made *made = arg;
    const struct params *params = made->writing->model->params;
    const char *name = params->stored[made->first].name;
    for (int i = made->first; at == 0 && i < params->layout->count; i++)
        if (strcmp(params->stored[i].name, name) == 0)
            TRY(make_part(made->writing, i));
    memcpy(ret, made->writing->value + at, len);
    return OK;
}

/* The files' tensors in the order of their first parts; returns how many. */
static int list_sources(struct writing *w, struct made *made, struct tensor_source *ret)
{
    const struct params *params = w->model->params;
    size_t most = 0;
    int count = 0;
    for (int i = 0; i < params->layout->count; i++) {
        const struct stored *stored = &params->stored[i];
        const struct layout_tensor *tensor = &params->layout->tensor[i];
        struct tensor_source source = {
            .name = stored->name, .dtype = w->f32 ? DTYPE_F32 : DTYPE_BF16, .be = w->model->be};
        stored_shape(stored, &source.rows, &source.cols);
        if (stored->part > 0)
            continue;
        if (!stored_plain(stored)) {
            const size_t all = tensor->count * (size_t)stored->parts;
            made[i] = (struct made){w, i};
            source.read = read_made;
            source.arg = &made[i];
            most = all > most ? all : most;
        } else if (w->f32) {
            source.data = (const float *)w->f32->address + tensor->offset;
        } else {
            source.data = model_tensor(w->model, i);
        }
        ret[count++] = source;
    }
    w->value = most ? mem_array(most, size_of(w)) : NULL;
    return count;
}

/* As it was read, and the tokens that it did not name. */
static json_t *generation_of(const struct model *model)
{
    json_t *ours = config_generation_json(&model->config);
    if (!model->generation)
        return ours;
    json_t *ret = json_copy(model->generation);
    json_object_del(ours, "_from_model_config");
    json_object_update_missing(ret, ours);
    json_decref(ours);
    return ret;
}

static err_t write_values(struct writing *w, const char *directory)
{
    const size_t count = (size_t)w->model->params->layout->count;
    const struct model *model = w->model;
    char digest[DIGEST_TEXT] = "";
    SCOPED_MEM char *path =
        file_join(directory, model->base ? ADAPTER_WEIGHTS : "model.safetensors");
    SCOPED_MEM struct tensor_source *tensors = mem_array(count, sizeof *tensors);
    SCOPED_MEM struct made *made = mem_array(count, sizeof *made);
    const int files = list_sources(w, made, tensors);
    if (model->base)
        digest_text(&model->base->weights, digest);
    const char *const metadata[1][2] = {{ADAPTER_BASE_DIGEST, digest}};
    err_t failed = safetensors_write(path, tensors, files, metadata, model->base ? 1 : 0);
    mem_free(w->value);
    return failed;
}

/* PEFT's directory. */
static err_t write_adapter(struct writing *w, const char *directory)
{
    const struct model *adapter = w->model;
    SCOPED_JSON json_t *config = adapter_config_json(&adapter->config, adapter->base->directory);
    if (!config)
        return err_new(ERR_INVALID, "model directory '%s' is not UTF-8", adapter->base->directory);
    TRY(write_json(directory, ADAPTER_CONFIG, config));
    return write_values(w, directory);
}

static err_t write_model(const struct model *model, const struct buffer *f32, const char *directory)
{
    struct writing writing = {.model = model, .f32 = f32};
    if (model->base)
        return write_adapter(&writing, directory);
    SCOPED_JSON json_t *config = config_json(&model->config);
    SCOPED_JSON json_t *generation = generation_of(model);
    if (f32)
        config_set_dtype(config, DTYPE_F32);
    TRY(write_json(directory, "config.json", config));
    TRY(write_json(directory, "generation_config.json", generation));
    return write_values(&writing, directory);
}

err_t model_write(const struct model *model, const char *directory)
{
    if (!model_values(model))
        return err_new(ERR_PRECONDITION, "%s: a compact model is not written", directory);
    return write_model(model, NULL, directory);
}

err_t model_write_f32(const struct model *model, const struct buffer *values, const char *directory)
{
    return write_model(model, values, directory);
}

err_t model_save(const struct model *model, const char *directory)
{
    TRY(file_make_directories(directory));
    return model_write(model, directory);
}
