/* Changes of single elements of weights: kept as lists, then written. */
#include "base/mem.h"
#include "tensor/changes_check.h"
#include "tensor/cpu/weight.h"
#include <string.h>

struct weight_changes {
    size_t most, count;
    uint32_t *index; // (most)
    bf16 *value;     // (most)
    int parts;
    struct part { // changes of one call
        struct weight *weight;
        size_t first, from, count;
    } * part;
};

err_t cpu_changes_new(struct backend *be, size_t most, struct weight_changes **ret)
{
    void *index = NULL, *value = NULL;
    (void)be;
    if (!most)
        return err_new(ERR_INVALID, "changes of weights: room for at least one");
    TRY(cpu_memory(most * sizeof(uint32_t), &index));
    const err_t e = cpu_memory(most * sizeof(bf16), &value);
    if (err_failed(e)) {
        mem_free(index);
        return e;
    }
    const struct weight_changes changes = {.most = most, .index = index, .value = value};
    *ret = mem_copy(&changes, sizeof changes);
    return OK;
}

err_t cpu_changes_add(struct backend *be, struct weight_changes *changes, struct weight *weight,
                      size_t first, const uint32_t *index, const bf16 *value, size_t count)
{
    (void)be;
    TRY(weight_changes_check(weight->N, weight->K, first, index, count,
                             changes->most - changes->count));
    memcpy(changes->index + changes->count, index, count * sizeof *index);
    memcpy(changes->value + changes->count, value, count * sizeof *value);
    changes->part = mem_grow(changes->part, (size_t)changes->parts + 1, sizeof *changes->part);
    changes->part[changes->parts++] = (struct part){weight, first, changes->count, count};
    changes->count += count;
    return OK;
}

static void write_change(const struct weight *weight, size_t at, bf16 value)
{
    const size_t K = (size_t)weight->K;
    if (weight->rows)
        weight->rows[at] = value;
    if (weight->panels)
        weight_place(weight, at / K)[at % K * PANEL] = value;
}

err_t cpu_changes_apply(struct backend *be, struct weight_changes *changes)
{
    (void)be;
    for (int p = 0; p < changes->parts; p++) {
        const struct part *part = &changes->part[p];
        for (size_t i = part->from; i < part->from + part->count; i++)
            write_change(part->weight, part->first + changes->index[i], changes->value[i]);
    }
    changes->parts = 0;
    changes->count = 0;
    return OK;
}

void cpu_changes_free(struct backend *be, struct weight_changes *changes)
{
    (void)be;
    if (!changes)
        return;
    mem_free(changes->index);
    mem_free(changes->value);
    mem_free(changes->part);
    mem_free(changes);
}
