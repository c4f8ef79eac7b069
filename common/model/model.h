/* A model: its config, and its bf16 weights, in the backend's memory. A model that learns has them
 * twice: in one flat array, and in the packed form that the backend multiplies by. A compact model
 * has each once, and only computes: matrices packed, the rest row-major.
 *
 *     SCOPED(model) model = NULL;
 *     TRY(model_load(be, "sft", &model));                -- a Hugging Face directory
 *     TRY(model_load_compact(be, "sft", &model));        -- half the memory; no gradients
 *     TRY(model_put(model, flat, changed));              -- new weights, in either form
 *     TRY(model_copy(model, 0, count, flat));            -- and back
 *     adamw over model_values(model), then
 *     TRY(model_repack(model));                          -- new weights count from here on
 *
 * Owner: the thread that owns the backend, which outlives the model. A weight that is changed
 * between two calls is seen by the next; nothing is copied behind the caller's back but the packed
 * matrices. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/files/config.h"
#include "model/files/params.h"
#include "model/model_files.h"
#include "tensor/buffer.h"

struct tokenizer;

/* A directory, and the digest of the weights in it. */
struct base {
    char *directory;
    struct digest weights;
};

struct model {
    struct backend *be; // borrowed
    struct model_config config;
    struct attention_shape shape; // without a window
    struct params *params;
    struct buffer values;   // (params->layout->elements) bf16, zeros in the gaps; none: compact
    struct buffer loose;    // compact: the tensors that are not packed
    bf16 **row_major;       // per tensor: where it begins; NULL: it is packed alone
    struct weight **weight; // per tensor: a matrix, in the forms it is held in; NULL for vectors
    struct buffer angles;   // of cos and sin
    float *cos, *sin;       // (max_positions, turning/2)
    int turning;            // elements of a head that turn; 0: learned positions
    enum kv_format kv;      // how keys and values are kept and rounded (model_keep_kv)
    /* Rows of the vocabulary without a token, ascending: padding, and holes among the added tokens.
     * Their logits are -infinity wherever logits are computed, so the softmax is over the tokens
     * that there are. */
    struct token_range *vacant;
    int vacants;
    json_t *generation; // generation_config.json of its directory; NULL: there was none
    /* Matrices beside its own (adapter.h), owned; NULL: none. While it is off, the model computes
     * as without. */
    struct model *adapter;
    bool adapter_off;
    struct base *base; // of an adapter: what it stands beside; owned
};

/* Whether a model of these shapes has its tensor i packed. */
bool model_packs(const struct model_config *config, const struct params *params, int i);

/* The model whose weights training changes, versions bring and checkpoints hold: the adapter, if
 * there is one. The model itself is frozen then. */
static inline struct model *model_trained(const struct model *model)
{
    return model->adapter ? model->adapter : (struct model *)model;
}

/* The one whose value's head counts: the adapter, if it has one and is on. */
struct model *model_valued(struct model *model);

/* The value's head alone, zeros, for the hidden states of a model of this config. */
err_t model_new_value(struct backend *be, const struct model_config *trunk, struct model **ret);
/* The value's head becomes N(0, std^2), a function of seed and shape alone; its bias stays. */
err_t model_draw_value(struct model *model, uint64_t seed, double std);

/* A fresh model. Norms are 1 and biases 0. The embedding and untied heads are N(0, 0.02^2), so that
 * first logits are near 0. Other matrices are N(0, 1/cols). Those that write to the residual stream
 * (o, down) are divided by sqrt(2L) (Radford 2019), so that the stream's size does not grow with
 * depth. A function of config and seed alone. */
err_t model_new(struct backend *be, const struct model_config *config, uint64_t seed,
                struct model **ret);

/* The same shapes with all weights zero (norms too): to receive weights from elsewhere. */
err_t model_empty(struct backend *be, const struct model_config *config, struct model **ret);

/* The same, each weight held once: no backward, no optimizer, no model_write. */
err_t model_empty_compact(struct backend *be, const struct model_config *config,
                          struct model **ret);

/* How keys and values are kept: before the first use. Without it in F32, and in BF16 where the
 * backend rounds. INVALID: such a backend has no F32. */
err_t model_keep_kv(struct model *model, enum kv_format kv);

/* Weights from a flat array of the layout's elements, the host's: of the tensors whose flag is set,
 * or of all (changed NULL). */
err_t model_put(struct model *model, const bf16 *flat, const bool *changed);

/* Elements [first, first + count) of the flat array, gaps too, out of either form, to the host. Any
 * thread, while nobody puts. model_flat: all of them, in memory that the caller frees. */
err_t model_copy(const struct model *model, size_t first, size_t count, bf16 *ret);
err_t model_flat(const struct model *model, bf16 **ret);

err_t model_digest(const struct model *model, struct digest *ret); // weights_digest of the array
size_t model_bytes(const struct model *model); // of its weights as held, and of its adapter
/* Ids of `tokenizer` that have no token become vacant; all others have one. The loaders do it. */
void model_tokens(struct model *model, const struct tokenizer *tokenizer);
/* After the flat array changed: what is packed follows it. */
err_t model_repack(struct model *model);

/* The flat array: an address in the backend's memory. NULL: the model is compact. */
static inline bf16 *model_values(const struct model *model)
{
    return model->values.address;
}

/* The matrix of a head: (V,C) of the vocabulary's. */
static inline const struct layout_tensor *model_head(const struct model *model, int head)
{
    return &model->params->layout->tensor[model->params->head[head].weight];
}

/* Start of tensor i's values, row-major, in the backend's memory; NULL: it is packed alone. */
static inline const bf16 *model_tensor(const struct model *model, int i)
{
    return model->row_major[i];
}
void model_free(struct model *model);
DEFINE_SCOPED(model)
