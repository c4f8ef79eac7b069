/* Families of models as rows of data: the names and shapes of their tensors, their keys in
 * config.json, and a layer's steps in order.
 *
 *     const struct model_family *llama = family_find("llama");      -- NULL: no such family
 *     for (int i = 0; family_at(i); i++)                            -- the table, from its first row
 *         puts(family_at(i)->model_type);
 *
 * To add a family: a row in family.c. The tests in tests/unit/model/family_test.c then cover it.
 * Another norm, activation or order is a value of the enum below. A new value needs an op, which is
 * a row of tensor/backend.h, and the case that calls it: in linear.c, or in forward.c and
 * backward.c. A module without a name is one that the family does not have.
 *
 * Any thread: nothing changes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* A layer's modules by their role, in the order in which their tensors lie. */
enum param_role {
    PARAM_NORM1, // before attention
    PARAM_Q,
    PARAM_K,
    PARAM_V,
    PARAM_Q_NORM, // of each head's q, before it turns; and of k
    PARAM_K_NORM,
    PARAM_O,
    PARAM_NORM2, // before the feed-forward
    PARAM_GATE,  // of a gated feed-forward
    PARAM_UP,
    PARAM_DOWN,
    PARAM_ROLES
};

/* The heads of a model, each a linear map of the hidden states: the vocabulary's, and the value's,
 * which has one output. A model has those that its config names (PART_...). */
enum { HEAD_VOCABULARY, HEAD_VALUE, HEADS_MAX = 4 };

/* A dimension of a tensor, by the letters of tensor/tensor.h; P: the positions that a model has. */
enum dim { DIM_NONE, DIM_ONE, DIM_V, DIM_C, DIM_F, DIM_D, DIM_P, DIM_HD, DIM_KD };

/* The parts of a fused map of the files, each a module here: one below the other, or of every head
 * first its part 0, then its part 1, ... */
enum fused { FUSED_NOT, FUSED_BLOCKS, FUSED_HEADS };
enum { FUSED_PARTS = 3 };

/* A module with parameters: a matrix (rows, cols), or a vector (rows) where cols is DIM_NONE. */
struct family_module {
    /* Hugging Face's name, %d for the layer. Its tensors are NAME.weight and, with a bias,
     * NAME.bias. A part of a fused map has a name of our own. */
    const char *name;
    enum dim rows, cols;
    bool bias;        // (rows), added to the output; begins as zeros
    bool transposed;  // the files have (cols, rows)
    enum fused fused; // the files have it as a part of `within`
    int part;
    const char *within; // Hugging Face's name
};

enum norm {
    NORM_RMS,   // x / rms(x) * weight, plus the bias
    NORM_LAYER, // the same of x - mean(x)
};
enum activation {
    ACTIVATION_SWIGLU,    // silu(gate) * up
    ACTIVATION_GELU,      // gelu(up), by the normal distribution
    ACTIVATION_GELU_TANH, // by its approximation
    ACTIVATIONS
};
enum layer_order {
    LAYER_SEQUENTIAL, // y = x + attention(norm1(x)), then y + feed_forward(norm2(y))
    LAYER_PARALLEL,   // x + attention(norm1(x)) + feed_forward(norm2(x))
};

/* A key of config.json. */
enum config_key_kind {
    KEY_INT,    // a dimension; as a default, 0 leaves it to config_parse
    KEY_NUMBER, // into a double
    KEY_BOOL,
    KEY_ROPE,       // theta; and rope_scaling and rope_parameters with it, see config_rope.c
    KEY_WINDOW,     // a dimension, or null: none
    KEY_FROM,       // the first layer that has the window: from 0 on
    KEY_ACTIVATION, // a word for one of those without a gate
    KEY_PARALLEL,   // whether layers are LAYER_PARALLEL
    KEY_FIXED,      // one value is supported, or none; any other would change the arithmetic
    KEY_COPY,       // a dimension by an older name, for who reads that: written, never read
};
struct config_key {
    const char *key;
    enum config_key_kind kind;
    size_t at; // where the value goes: an offset in struct model_config
    bool required;
    double otherwise; // where it is not required: transformers' default
    const char *only; // KEY_FIXED: the value, as JSON; "null" is not written
};

enum { IGNORED_MAX = 4 };
struct model_family {
    const char *model_type;         // "llama"
    const char *architecture;       // "LlamaForCausalLM"
    const char *value_architecture; // "LlamaForSequenceClassification": the value's head instead
    const struct config_key *keys;  // in the order of writing, up to one without a name
    enum norm norm;
    enum activation activation; // these two: unless the config names others
    enum layer_order order;
    bool windowed; // the window counts unless the config says otherwise
    /* position: learned ones, added to the embedding; such a family's q and k do not turn. */
    struct family_module embed, position, layer[PARAM_ROLES], final_norm;
    struct family_module head[HEADS_MAX]; // by HEAD_...; one without a name: no model has it
    const char *prefix; // of the trunk's names; directories of a bare trunk have names without it
    /* The ends of names of tensors that a directory may hold and we do not read. */
    const char *ignored[IGNORED_MAX];
};

const struct model_family *family_find(const char *model_type); // NULL: none
/* The key for a field of struct model_config; NULL: it has none. */
const struct config_key *family_key(const struct model_family *family, size_t at);
const struct model_family *family_at(int i); // NULL: past the last
