/* New weights for a model that computes meanwhile. Where the backend's memory is not the host's,
 * the values that change are brought there a slice at a time, between steps, and come into force
 * together.
 *
 *     TRY(refresh_new(model, &refresh));                      -- takes all its memory
 *     refresh_begin(refresh, &(struct new_weights){flat, changed, marks});
 *     bool there = false;
 *     while (!there) { ... a step ...; TRY(refresh_bring(refresh, &there)); }
 *     TRY(refresh_apply(refresh));                            -- the next step has the new weights
 *
 * Changes are lists of element and value, for one value in sixteen. Tensors for whose changes there
 * is no room, vectors, and weights that came whole are put by refresh_apply. So are all in the
 * host's memory. Lists that another library has brought to the device are not brought again: a
 * kernel applies them there.
 *
 * Owner: the thread that owns the model's backend. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "tensor/tensor.h"
#include <stdbool.h>
#include <stdint.h>

struct model;

/* Changes that lie in the backend's memory already: how many each tensor has (the host's), their
 * elements from the tensor's first, and their values. They were checked. */
struct device_list {
    const uint32_t *count; // (tensors)
    const uint32_t *index;
    const bf16 *value;
};
enum { DEVICE_LISTS_MAX = 16 };

/* Of the model that training changes (model_trained). */
struct new_weights {
    const bf16 *flat;      // the layout's elements; NULL: those in force are the new ones
    const bool *changed;   // a flag per tensor; NULL: all
    const uint32_t *marks; // a bit per element, 32 in a word, set where it changes; NULL: not known
    /* All changes, in the order in which they were made; 0: flat has them. */
    struct device_list list[DEVICE_LISTS_MAX];
    int lists;
};

struct refresh;
err_t refresh_new(struct model *model, struct refresh **ret); // borrows it; EXHAUSTED

/* Memory of the backend, where another library may write lists: of so many bytes, until
 * refresh_free. EXHAUSTED. */
err_t refresh_lend(struct refresh *refresh, void **ret_memory, size_t *ret_bytes);

/* The arrays are borrowed until refresh_apply, which ends what was begun. */
void refresh_begin(struct refresh *refresh, const struct new_weights *weights);

/* One slice more, some milliseconds at most. ret_there: all is, and refresh_apply may follow. */
err_t refresh_bring(struct refresh *refresh, bool *ret_there);

/* Puts the new weights in force; brings first what is not there. */
err_t refresh_apply(struct refresh *refresh);

/* Values that the last refresh_apply put by lists, and tensors that it put whole. */
struct refreshed {
    uint64_t listed;
    int whole;
    uint64_t there; // values of the lists that had come to the device itself; none of `listed`
};
struct refreshed refresh_figures(const struct refresh *refresh);

size_t refresh_bytes(const struct refresh *refresh); // in the backend's memory
void refresh_free(struct refresh *refresh);
DEFINE_SCOPED(refresh)
