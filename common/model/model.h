/* A model: its config, and its bf16 weights. A model that learns has them twice: in one flat array, and in
 * the packed form that the backend multiplies by. A compact model has each once, and only computes:
 * matrices packed, the rest row-major.
 *
 *     SCOPED(model) model = NULL;
 *     TRY(model_load(be, "sft", &model));                -- a Hugging Face directory
 *     memcpy(model->values + t->offset, new, bytes);     -- t of model->params->layout->tensor
 *     TRY(model_repack(model));                          -- new weights count from here on
 *     TRY(model_load_compact(be, "sft", &model));        -- half the memory; no gradients
 *     TRY(model_put(model, flat, changed));              -- new weights, in either form
 *
 * Owner: the thread that owns the backend, which outlives the model. A weight that is changed
 * between two calls is seen by the next; nothing is copied behind the caller's back but the packed
 * matrices. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/files/config.h"
#include "model/files/params.h"
#include "tensor/backend.h"

struct model {
    struct backend *be; // borrowed
    struct model_config config;
    struct attention_shape shape;
    struct params *params;
    /* (params->layout->elements) row-major tensors, zeros in the gaps; NULL: compact */
    bf16 *values;
    bf16 **row_major;       // per tensor; NULL: it is packed alone
    bf16 *loose;            // compact: the tensors that are not packed
    struct weight **weight; // per tensor of the layout, packed; NULL for vectors
    float *cos, *sin;       // (max_positions, D/2)
    enum kv_format kv; // how keys and values are kept and rounded; F32 unless set before first use
};

/* Reads config.json and the weights (BF16, F16 or F32, rounded to bf16). NOT_FOUND, INVALID: one line that
 * names the file, the tensor and what is wrong with it: missing, of another shape, not one of the
 * family's, or with a value that is not finite. */
err_t model_load(struct backend *be, const char *directory, struct model **ret);

/* A fresh model. Norms are 1 and biases 0. The embedding and untied heads are N(0, 0.02^2), so that first
 * logits are near 0. Other matrices are N(0, 1/cols); those that write to the residual stream (o, down)
 * are divided by sqrt(2L) (Radford 2019), so that its size does not grow with depth. A function of config
 * and seed alone. */
err_t model_new(struct backend *be, const struct model_config *config, uint64_t seed,
                struct model **ret);

/* The same shapes with all weights zero (norms too): to receive weights from elsewhere. */
err_t model_empty(struct backend *be, const struct model_config *config, struct model **ret);

/* The same, each weight held once: no backward, no optimizer, no model_write. Loading takes no
 * memory beside, of any size that grows with the model. */
err_t model_load_compact(struct backend *be, const char *directory, struct model **ret);
err_t model_empty_compact(struct backend *be, const struct model_config *config,
                          struct model **ret);

/* Writes config.json, generation_config.json and model.safetensors (bf16) into an existing
 * directory, each file whole or not at all; model_save makes the directory first. Writing aside and
 * renaming the directory is the caller's business. */
err_t model_write(const struct model *model, const char *directory);
err_t model_save(const struct model *model, const char *directory);

/* The directory's weights in float32, at model's layout: what an optimizer's masters start from.
 * bf16-rounded they are what model_load reads. */
err_t model_read_f32(const struct model *model, const char *directory, float *ret);

/* Weights from a flat array of the layout's elements: of the tensors whose flag is set, or of all
 * (changed NULL). */
err_t model_put(struct model *model, const bf16 *flat, const bool *changed);

/* Elements [first, first + count) of the flat array, gaps too, out of either form. Any thread, while
 * nobody puts. */
void model_copy(const struct model *model, size_t first, size_t count, bf16 *ret);

size_t model_bytes(const struct model *model); // of its weights, as they are held

/* After values changed: all of them, or those of elements [begin, end) of the flat array. */
err_t model_repack(struct model *model);
err_t model_repack_range(struct model *model, size_t begin, size_t end);

/* The matrix of a head: (V,C) of the vocabulary's. */
static inline const struct layout_tensor *model_head(const struct model *model, int head)
{
    return &model->params->layout->tensor[model->params->head[head].weight];
}

/* Start of tensor i's values, row-major; NULL: it is packed alone. */
static inline const bf16 *model_tensor(const struct model *model, int i)
{
    return model->row_major[i];
}
void model_free(struct model *model);
DEFINE_SCOPED(model)
