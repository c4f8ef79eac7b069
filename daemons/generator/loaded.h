/* What a model was loaded with, for who subscribes to new weights: a version that is the same need
 * not come.
 *
 *     TRY(model_digest(model, &digest));
 *     options.digest = &digest, options.values = loaded_values, options.arg = model;     -- of a subscriber
 *
 * Any thread, while nobody puts weights into the model. */
#pragma once
#include "base/hash.h"
#include "model/model.h"

void loaded_values(void *model, uint16_t *ret); // its flat array
