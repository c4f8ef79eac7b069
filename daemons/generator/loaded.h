/* What a model was loaded with, for who subscribes to new weights: a version that is the same need not come.
 *
 *     const struct digest digest = loaded_digest(model);
 *     options.digest = &digest, options.values = loaded_values, options.arg = model;     -- of a subscriber
 *
 * Any thread, while nobody puts weights into the model. */
#pragma once
#include "base/hash.h"
#include "model/model.h"

struct digest loaded_digest(const struct model *model); // weights_digest of its flat array
void loaded_values(void *model, uint16_t *ret);         // that array
