/* Adapters (LoRA, Hu 2021). Some matrices W of a frozen model get two small ones each: then
 * y = W x + scale * B (A x), and A and B alone train. An adapter is a model of its own, whose
 * params are the As and Bs. So it has the flat array, the digest, the files and the updates of any
 * model.
 *
 *     TRY(model_load(be, "base", &model));
 *     TRY(adapter_new(model, "base", &lora, LORA_KAIMING, seed));    -- B is 0: logits are the base's
 *     TRY(adapter_load(model, "base", "adapter"));                   -- or as PEFT or we saved it
 *     model_trained(model)                                           -- the adapter
 *     model->adapter_off = true;                                     -- the base alone, until it is false
 *
 * A and B are bf16 as all weights are, with fp32 masters in the optimizer. Merged into W, whose
 * bf16 values are large, most steps would be lost. Beside it B begins at 0, so its values have the
 * size of what was learnt, and lose 2^-9 of that alone.
 *
 * An adapter is given to a model before any workspace, gradient or optimizer is made for it. Owner:
 * the thread that owns the model's backend. */
#pragma once
#include "model/files/adapter_config.h"
#include "model/model.h"

/* How A begins: uniform in +-1/sqrt(columns), PEFT's default; or N(0, 1/r^2). */
enum lora_init { LORA_KAIMING, LORA_GAUSSIAN };

/* A fresh one: B is 0, A a function of seed and shapes alone. directory: the base's, for the
 * adapter's files. INVALID: a rank or scale out of range; EXHAUSTED. */
err_t adapter_new(struct model *base, const char *directory, const struct lora *lora,
                  enum lora_init init, uint64_t seed);

/* The same, of zeros: to receive weights from elsewhere. */
err_t adapter_empty(struct model *base, const char *directory, const struct lora *lora);

/* From an adapter's directory. base: the directory that the model was loaded from. INVALID: as
 * model_load; PRECONDITION: the adapter was trained beside other weights than the model's. */
err_t adapter_load(struct model *base, const char *base_directory, const char *directory);

/* The adapter of recipe->lora: a fresh one drawn from `seed`, or that of lora.path, or none.
 * directory: the one that the model was loaded from. */
struct recipe;
err_t adapter_begin(struct model *base, const char *directory, const struct recipe *recipe,
                    uint64_t seed);

/* The shapes of that adapter beside a base of these: its config, and its rank in it. r 0: there is
 * none. */
err_t adapter_shape(const struct recipe *recipe, const struct model_config *base,
                    struct model_config *ret);

/* Where config.json and the base's weights are: an adapter's base, or the directory itself. Owned
 * by the caller. Errors as adapter_base's. */
err_t adapter_under(const char *directory, char **ret);

/* Where the tokenizer is: the directory itself, if it has one, or that of the base under it. Owned
 * by the caller. Errors as adapter_base's. */
err_t adapter_tokenizer(const char *directory, char **ret);

/* The model of a directory with, where that is an adapter's, its base under it. */
err_t adapter_open(struct backend *be, const char *directory, bool compact, struct model **ret);

/* A reward model, compact: a directory of ForSequenceClassification, or an adapter of one
 * (task_type SEQ_CLS) with its base under it. Its config's pad is none that ends texts. INVALID: as
 * model_load_reward. */
err_t adapter_open_reward(struct backend *be, const char *directory, struct model **ret);
err_t adapter_open_valued(struct backend *be, const char *directory, bool compact,
                          struct model **ret); // of an adapter alone (adapter_is_valued)

/* Its parts, for several adapters beside one base (model_load_valued, then adapter_load). config is
 * the base's and becomes the adapter's: its pad. adapter_swap gives the base another adapter, or
 * none (NULL). Both are the caller's, the one that it had, too. A workspace runs with the adapter
 * that it was made with. */
err_t adapter_reward_pad(const char *directory, struct model_config *config);
struct model *adapter_swap(struct model *base, struct model *adapter);

/* W + scale * B A of each matrix, and all else of the model, in float32 at the model's own layout,
 * into a buffer of as many elements. adapter: float32 values at the adapter's layout; NULL: the
 * adapter's own. */
err_t adapter_merge(const struct model *model, const struct buffer *adapter, struct buffer *ret);
/* The same of tensor i alone, row-major; memory that the caller frees. */
err_t adapter_merge_tensor(const struct model *model, const struct buffer *adapter, int i,
                           float **ret);
