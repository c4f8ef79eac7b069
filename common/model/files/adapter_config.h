/* An adapter's adapter_config.json (PEFT's LoraConfig): in, and back. And which modules of a family
 * names like "q_proj" or "all-linear" are.
 *
 *     struct lora lora;
 *     TRY(adapter_config_read("adapter", &config, &lora));         -- of a model of this config
 *     TRY(adapter_targets(family, names, count, &lora.roles));
 *
 * A setting that asks for other arithmetic than ours is refused, with its key and its value. Keys
 * that change nothing, or not after training, are ignored. Any thread. */
#pragma once
#include "base/err.h"
#include "model/files/config.h"

#define ADAPTER_CONFIG  "adapter_config.json"
#define ADAPTER_WEIGHTS "adapter_model.safetensors"
/* In its metadata, where we wrote it: the digest of the base's weights. */
#define ADAPTER_BASE_DIGEST "rlhfd_base"
enum { ADAPTER_RANK_MAX = 1024, ADAPTER_TARGETS_MAX = 4096 };

/* Whether the directory is an adapter's. */
bool adapter_is(const char *directory);

/* Whether it is one of a reward model: its task_type is "SEQ_CLS". */
bool adapter_is_valued(const char *directory);

/* PEFT's rule: a name is the end of a module's, from a dot on. "all-linear" alone: all matrices of
 * the layers. No name: what PEFT takes for the family. INVALID: a name that no module has, or that
 * of a head or an embedding; the message has those that are allowed. */
err_t adapter_targets(const struct model_family *family, const char *const *names, size_t count,
                      unsigned *ret_roles);

/* Their names, joined by ", ". Owned by the caller. */
char *adapter_target_names(const struct model_family *family, unsigned roles);

/* NOT_FOUND, INVALID: one line that names the file, the key, the value and what is allowed. */
err_t adapter_config_read(const char *directory, const struct model_config *base, struct lora *ret);
err_t adapter_config_parse(const json_t *json, const char *name, const struct model_config *base,
                           struct lora *ret);

/* The directory that base_model_name_or_path names: absolute, or beside the adapter's. Owned by the
 * caller. NOT_FOUND: there is none. */
err_t adapter_base(const char *directory, char **ret);

/* As PEFT reads it. Owned by the caller. */
json_t *adapter_config_json(const struct model_config *adapter, const char *base);
