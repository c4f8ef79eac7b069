/* A model's config.json: transformers' names in, our letters out, and back.
 *
 *     struct model_config config;
 *     TRY(config_read("checkpoints/v3", &config));
 *     SCOPED_JSON json_t *json = config_json(&config);
 *
 * A setting that asks for other arithmetic than ours is refused, with its key, its value and the
 * allowed ones. Keys that change nothing (use_cache, initializer_range, ...) are ignored. Any
 * thread. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "model/files/family.h"
#include "model/files/safetensors.h"
#include "tensor/rope.h"
#include <stdbool.h>

enum { CONFIG_EOS_MAX = 8, CONFIG_HEAD_SIZE_STEP = 8, CONFIG_MAX_BYTES = 1 << 20 };

/* The parts of a model: embedding, layers and final norm; the heads. A critic is transformers'
 * ForSequenceClassification with one label. An adapter is a part by itself, beside a model of the
 * same config otherwise; beside a critic it has a value's head of its own. */
enum model_part { PART_TRUNK = 1, PART_VOCABULARY = 2, PART_VALUE = 4, PART_ADAPTER = 32 };
enum { PARTS_LANGUAGE = PART_TRUNK | PART_VOCABULARY, PARTS_CRITIC = PART_TRUNK | PART_VALUE };

/* Of an adapter (LoRA, Hu 2021): y = W x + scale * B (A x) of the modules named by roles. */
struct lora {
    int r;        // rank: rows of A, columns of B
    double alpha; // scale: alpha / r, or with rslora alpha / sqrt(r) (Kalajdzievski 2023)
    bool rslora;
    unsigned roles; // a bit for each enum param_role; parts of a fused map go together
};
float lora_scale(const struct lora *lora);

struct model_config {
    const struct model_family *family; // borrowed: a row of family.c, or a test's own
    unsigned parts;                    // of enum model_part
    int V, C, F, L, H, K, D;           // D: a multiple of CONFIG_HEAD_SIZE_STEP
    int max_positions;
    double norm_eps;
    struct rope rope; // its R: see config_rope
    double rotary;    // how much of a head turns: from above 0 to 1
    int window;       // 0: none
    int window_from;  // the first layer that has it
    bool windowed;    // whether it counts
    enum activation activation;
    enum layer_order order;
    bool tied;    // the vocabulary's head is the embedding
    int bos, pad; // -1: none
    int eos[CONFIG_EOS_MAX], eos_count;
    const char *eos_file; // messages name it as their origin; static
    enum dtype dtype;     // of the weights in the directory; in memory they are bf16
    struct lora lora;     // of an adapter; r 0: of anything else
};

/* The first family of the table, PARTS_LANGUAGE, with no special tokens, D = C / H, eps 1e-5, theta
 * 10000, bf16. The caller sets other values (another family, too), then calls config_check. */
struct model_config config_default(int V, int C, int F, int L, int H, int K, int max_positions,
                                   bool tied);

/* The family's row decides order, activation and the like, unless a config.json names others. */
void config_family(struct model_config *config, const struct model_family *family);

/* How q and k turn; R 0: not at all. */
struct rope config_rope(const struct model_config *config);

/* The window of a layer, as struct attention_shape has it. */
int config_window(const struct model_config *config, int layer);

/* INVALID: a value out of range, or shapes that do not fit together. The message calls the config
 * `name`. */
err_t config_check(const struct model_config *config, const char *name);

/* From DIR/config.json, checked; end tokens from DIR/generation_config.json where that names them,
 * as transformers' generate does. NOT_FOUND, INVALID; a critic, too, unless `any`. */
err_t config_read(const char *directory, struct model_config *ret);
err_t config_read_any(const char *directory, struct model_config *ret);
err_t config_parse(const json_t *json, const char *name, struct model_config *ret);

/* INVALID: completions of so many tokens leave no room for a prompt. */
err_t config_room(const struct model_config *config, int64_t max_tokens);

/* Tokens of a prompt and its completion together: the one bound of generators, rewarders and
 * learners. */
int config_context(const struct model_config *config, int64_t prompt_tokens, int64_t max_tokens);

/* For config.c: theta, and how positions are scaled. */
err_t config_parse_rope(const json_t *json, const char *name, const struct config_key *theta,
                        struct model_config *config);
err_t config_check_rope(const struct model_config *config, const char *name);
void config_set_rope(json_t *json, const struct config_key *theta,
                     const struct model_config *config);

/* transformers' word for an activation without a gate. */
const char *config_activation_word(enum activation activation);

/* Into what config_json returned; there it is bfloat16. */
void config_set_dtype(json_t *json, enum dtype dtype);

/* config.json as transformers reads it (dtype bfloat16), and generation_config.json. Owned by the
 * caller. */
json_t *config_json(const struct model_config *config);
json_t *config_generation_json(const struct model_config *config);
