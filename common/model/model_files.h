/* A model's directory: Hugging Face's, or of an adapter PEFT's. model.h includes this.
 *
 *     TRY(model_load(be, "sft", &model));
 *     TRY(model_save(model, "copy"));
 *
 * Owner: as model.h. */
#pragma once
#include "base/err.h"
#include "model/files/config.h"
#include "tensor/buffer.h"

struct model;

/* Reads config.json and the weights (BF16, F16 or F32, rounded to bf16), and which ids have a token
 * from tokenizer.json; without that file all have. NOT_FOUND, INVALID: one line that names the
 * file, the tensor and the fault. A tensor may be missing, of another shape, not one of the
 * family's, or have a value that is not finite. */
err_t model_load(struct backend *be, const char *directory, struct model **ret);

/* The same, each weight held once: no backward, no optimizer, no model_write. Loading takes no
 * memory beside, of any size that grows with the model. */
err_t model_load_compact(struct backend *be, const char *directory, struct model **ret);

/* A critic (PARTS_CRITIC), from a directory of one or of a language model. The vocabulary's head is
 * left out. *ret_fresh: the directory has no value's head; it is zeros here. Errors as above. */
err_t model_load_critic(struct backend *be, const char *directory, struct model **ret,
                        bool *ret_fresh);
/* The same, compact. */
err_t model_load_valued(struct backend *be, const char *directory, struct model **ret,
                        bool *ret_fresh);
/* A reward model, compact: a directory of ForSequenceClassification with one label. INVALID: of
 * another architecture. Errors as above. */
err_t model_load_reward(struct backend *be, const char *directory, struct model **ret);
/* Opens a directory's weights, or an adapter's, and checks them as model_load does: each tensor of
 * the config is there with its shape, and no other. Values are not read. Errors as above. */
err_t model_open_weights(const char *directory, const struct model_config *config,
                         struct safetensors **ret);
/* An adapter's weights; config: with its lora. ret_base: the digest of the base that its file
 * names, the caller's; "": none. adapter.h has what a caller needs. Errors as above. */
err_t model_load_adapter(struct backend *be, const char *directory,
                         const struct model_config *config, bool compact, struct model **ret,
                         char **ret_base);
/* A checkpoint's critic: a model of its own, or the head alone for a model of the config trunk. */
err_t model_load_value(struct backend *be, const char *directory, const struct model_config *trunk,
                       struct model **ret);
/* Writes config.json, generation_config.json (as it was read, if it was) and model.safetensors
 * (bf16) into an existing directory, each file whole or not at all; of an adapter
 * PEFT's two files. model_save makes the directory first. Writing aside and renaming the directory
 * is the caller's business. */
err_t model_write(const struct model *model, const char *directory);
err_t model_save(const struct model *model, const char *directory);
/* The same with float32 values at the model's layout. */
err_t model_write_f32(const struct model *model, const struct buffer *f32, const char *directory);

/* Reads the directory's weights in float32, at model's layout, into a buffer of as many elements.
 * An optimizer's masters start from them. Rounded to bf16 they are model_load's. A value head that
 * the directory lacks has the model's values. */
err_t model_read_f32(const struct model *model, const char *directory, struct buffer *ret);
