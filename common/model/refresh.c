#include "model/refresh.h"
#include "base/mem.h"
#include "model/model.h"
#include <string.h>

enum {
    WORD = 32,              // marks in a word; tensors begin with one (LAYOUT_ALIGN)
    SHARE = 16,             // one value in so many has room
    ROOM_LEAST = 4096,      // values
    BATCH = 1 << 14,        // values that are added at a time
    SLICE_VALUES = 1 << 18, // of one refresh_bring: 1.5 MiB
    SLICE_WORDS = 1 << 21,  // of marks that it looks at
};
_Static_assert(LAYOUT_ALIGN % WORD == 0, "tensors begin with a word of marks");

struct refresh {
    struct model *model;
    struct weight_changes *changes; // NULL: nothing is brought, all is put
    size_t room, listed;            // values
    struct new_weights weights;
    bool *whole; // (tensors) put by refresh_apply
    int tensor;  // under way
    size_t word; // of it
    struct refreshed figures;
    struct buffer lent; // see refresh_lend
    uint32_t index[BATCH];
    bf16 value[BATCH];
    size_t batch; // of both
};

static const struct layout *layout_of(const struct refresh *refresh)
{
    return refresh->model->params->layout;
}

err_t refresh_new(struct model *model, struct refresh **ret)
{
    SCOPED(refresh) refresh = mem_new(sizeof *refresh);
    struct model *trained = model_trained(model);
    refresh->model = trained;
    refresh->whole = mem_array((size_t)layout_of(refresh)->count + 1, sizeof *refresh->whole);
    if (trained->be->apart) {
        refresh->room = layout_of(refresh)->elements / SHARE + ROOM_LEAST;
        TRY(err_wrap(trained->be->ops->changes_new(trained->be, refresh->room, &refresh->changes),
                     "room for new weights, which fewer generator.slots leave"));
    }
    *ret = STEAL(refresh);
    return OK;
}

/* As much as the lists of this room. */
err_t refresh_lend(struct refresh *refresh, void **ret_memory, size_t *ret_bytes)
{
    const struct layout *layout = layout_of(refresh);
    const size_t room = layout->elements / SHARE + ROOM_LEAST;
    const size_t bytes = room * CHANGE_BYTES + (size_t)layout->count * sizeof(uint32_t);
    TRY(err_wrap(buffer_alloc(refresh->model->be, bytes, &refresh->lent),
                 "room for new weights from device to device"));
    *ret_memory = refresh->lent.address;
    *ret_bytes = bytes;
    return OK;
}

/* Lists on the device have this tensor's changes. */
static bool is_there(const struct refresh *refresh, int tensor)
{
    return refresh->weights.lists && refresh->model->weight[tensor];
}

static bool is_listed(const struct refresh *refresh, int tensor)
{
    return refresh->changes && refresh->weights.marks && refresh->model->weight[tensor] &&
           layout_of(refresh)->tensor[tensor].count <= UINT32_MAX;
}

void refresh_begin(struct refresh *refresh, const struct new_weights *weights)
{
    refresh->weights = *weights;
    refresh->tensor = weights->flat && !weights->lists ? 0 : layout_of(refresh)->count;
    refresh->word = refresh->listed = refresh->batch = 0;
    for (int t = 0; t < layout_of(refresh)->count; t++)
        refresh->whole[t] = weights->flat && (!weights->changed || weights->changed[t]) &&
                            !is_there(refresh, t) && (weights->lists || !is_listed(refresh, t));
}

static err_t add_batch(struct refresh *refresh)
{
    struct backend *be = refresh->model->be;
    const size_t count = refresh->batch;
    refresh->batch = 0;
    if (!count)
        return OK;
    if (count > refresh->room - refresh->listed) { // those of it that are listed are right, too
        refresh->whole[refresh->tensor] = true;
        return OK;
    }
    TRY(be->ops->changes_add(be, refresh->changes, refresh->model->weight[refresh->tensor], 0,
                             refresh->index, refresh->value, count));
    refresh->listed += count;
    return OK;
}

/* The values that a word of the tensor's marks names. */
static void add_word(struct refresh *refresh, const struct layout_tensor *tensor, size_t word)
{
    uint32_t left = refresh->weights.marks[tensor->offset / WORD + word];
    for (; left; left &= left - 1) {
        const size_t at = word * WORD + (size_t)__builtin_ctz(left);
        refresh->index[refresh->batch] = (uint32_t)at;
        refresh->value[refresh->batch++] = refresh->weights.flat[tensor->offset + at];
    }
}

/* From where the last slice ended. */
static err_t list_tensor(struct refresh *refresh, size_t *words, size_t most)
{
    const struct layout_tensor *tensor = &layout_of(refresh)->tensor[refresh->tensor];
    const size_t end = (tensor->count + WORD - 1) / WORD;
    for (; refresh->word < end && !refresh->whole[refresh->tensor]; refresh->word++) {
        if (refresh->batch > BATCH - WORD)
            TRY(add_batch(refresh));
        if (!*words || refresh->listed >= most) {
            *words = 0;
            return add_batch(refresh);
        }
        (*words)--;
        add_word(refresh, tensor, refresh->word);
    }
    TRY(add_batch(refresh));
    refresh->tensor++;
    refresh->word = 0;
    return OK;
}

err_t refresh_bring(struct refresh *refresh, bool *ret_there)
{
    const int tensors = layout_of(refresh)->count;
    size_t words = SLICE_WORDS;
    const size_t most = refresh->listed + SLICE_VALUES;
    while (refresh->tensor < tensors && words) {
        const int t = refresh->tensor;
        const bool *changed = refresh->weights.changed;
        if (is_listed(refresh, t) && (!changed || changed[t]))
            TRY(list_tensor(refresh, &words, most));
        else
            refresh->tensor++;
    }
    *ret_there = refresh->tensor == tensors;
    return OK;
}

/* Another library wrote these lists, and may write over them once the version is acknowledged. So
 * the host waits for the kernels: between two steps the device has nothing else to do. */
static err_t apply_lists(struct refresh *refresh, uint64_t *ret_there)
{
    struct backend *be = refresh->model->be;
    for (int i = 0; i < refresh->weights.lists; i++) {
        const struct device_list *list = &refresh->weights.list[i];
        size_t at = 0;
        for (int t = 0; t < layout_of(refresh)->count; at += list->count[t++]) {
            if (!is_there(refresh, t) || !list->count[t])
                continue;
            TRY(be->ops->weight_change(be, refresh->model->weight[t], list->index + at,
                                       list->value + at, list->count[t]));
            *ret_there += list->count[t];
        }
    }
    return refresh->weights.lists ? be->ops->sync(be) : OK;
}

static err_t put_all(struct refresh *refresh)
{
    struct backend *be = refresh->model->be;
    for (bool there = false; !there;)
        TRY(refresh_bring(refresh, &there));
    if (refresh->listed)
        TRY(be->ops->changes_apply(be, refresh->changes));
    return model_put(refresh->model, refresh->weights.flat, refresh->whole);
}

err_t refresh_apply(struct refresh *refresh)
{
    const size_t tensors = (size_t)layout_of(refresh)->count;
    uint64_t there = 0;
    TRY(apply_lists(refresh, &there));
    if (refresh->weights.flat)
        TRY(put_all(refresh));
    refresh->figures = (struct refreshed){.listed = refresh->listed, .there = there};
    for (size_t t = 0; t < tensors; t++)
        refresh->figures.whole += refresh->whole[t];
    refresh_begin(refresh, &(struct new_weights){0});
    return OK;
}

struct refreshed refresh_figures(const struct refresh *refresh)
{
    return refresh->figures;
}

size_t refresh_bytes(const struct refresh *refresh)
{
    return (refresh->changes ? refresh->room * CHANGE_BYTES : 0) + refresh->lent.bytes;
}

void refresh_free(struct refresh *refresh)
{
    if (!refresh)
        return;
    if (refresh->changes)
        refresh->model->be->ops->changes_free(refresh->model->be, refresh->changes);
    buffer_done(&refresh->lent);
    mem_free(refresh->whole);
    mem_free(refresh);
}
