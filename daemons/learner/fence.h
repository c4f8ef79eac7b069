/* The newest incarnation heard of under each generator's name: an older one has been replaced and is refused.
 *
 *     if (!fence_admit(fence, "gpu-3", incarnation, &newest))
 *         -- refuse: `newest` is in its place
 *
 * Names are remembered whether or not they are connected; of thousands the ones heard of last. Owner: the storage thread. */
#pragma once
#include "base/scoped.h"
#include <stdbool.h>
#include <stdint.h>

struct fence;
struct fence *fence_new(void);

/* False: a later incarnation of this name has been here. */
bool fence_admit(struct fence *fence, const char *generator, uint64_t incarnation,
                 uint64_t *ret_newest);
void fence_free(struct fence *fence);
DEFINE_SCOPED(fence)
