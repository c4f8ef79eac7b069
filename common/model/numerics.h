/* The two ids of a model's numerics. An id has the backend's declaration (tensor/numerics.h), and
 * the settings of the model that decide bits.
 *
 *     SCOPED_MEM char *id = model_forward_id(model);            -- "backend=cpu kernels=2 kv=fp32",
 *                                         -- and " vacant=3" where three ids have no token
 *     if (model_same_forward(model, group->forward))            -- its log-probabilities can be compared with ours bit for bit
 *
 * Set model->kv first. Any thread. */
#pragma once
#include "model/model.h"
#include <stdbool.h>

/* The caller's. */
char *model_forward_id(const struct model *model);
/* The forward's without the vocabulary's part: of models that differ there, on one backend. */
char *model_arithmetic_id(const struct model *model);
char *model_training_id(const struct model *model); // the layout of the weights too

/* Whether log-probabilities under that id have the bits of this model's. id NULL or "": of a build
 * that named none. */
bool model_same_forward(const struct model *model, const char *id);

/* Calls fn with keys and values that two sides must have alike beside the adapter's own weights:
 * the scale, and the base's weights. A model without an adapter: none. */
void model_adapter_identity(const struct model *model,
                            void (*fn)(void *arg, const char *key, const char *value), void *arg);
