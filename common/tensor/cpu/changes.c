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

err_t cpu_weight_change(struct backend *be, struct weight *weight, const uint32_t *index,
                        const bf16 *value, size_t count)
{
    const size_t elements = (size_t)weight->N * (size_t)weight->K;
    (void)be;
    for (size_t i = 0; i < count; i++)
        if (index[i] < elements)
            write_change(weight, index[i], value[i]);
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

/* ---- marked elements */

enum { WORD = 32 };

/* The marks in word i of an extent, without those behind its last element. */
static uint32_t marks_of(const uint32_t *marks, const struct extent *extent, size_t i)
{
    const size_t left = extent->count - i * WORD;
    const uint32_t word = marks[extent->first / WORD + i];
    return left < WORD ? word & (((uint32_t)1 << left) - 1) : word;
}

static uint32_t count_marks(const uint32_t *marks, const struct extent *extent)
{
    uint32_t count = 0;
    for (size_t i = 0; i * WORD < extent->count; i++)
        count += (uint32_t)__builtin_popcount(marks_of(marks, extent, i));
    return count;
}

static size_t list_marks(const bf16 *w, const uint32_t *marks, const struct extent *extent,
                         uint32_t *index, bf16 *value)
{
    size_t count = 0;
    for (size_t i = 0; i * WORD < extent->count; i++)
        for (uint32_t left = marks_of(marks, extent, i); left; left &= left - 1) {
            const size_t at = i * WORD + (size_t)__builtin_ctz(left);
            index[count] = (uint32_t)at;
            value[count++] = w[extent->first + at];
        }
    return count;
}

err_t cpu_changes_list(struct backend *be, const bf16 *w, const uint32_t *marks,
                       const struct extent *extent, int extents, size_t most, void *list,
                       uint32_t *ret_count)
{
    size_t all = 0;
    (void)be;
    for (int e = 0; e < extents; e++)
        all += ret_count[e] = count_marks(marks, &extent[e]);
    if (all > most)
        return err_new(ERR_EXHAUSTED, "%zu values changed: there is room for %zu", all, most);
    uint32_t *index = list;
    bf16 *value = (bf16 *)(index + all);
    for (int e = 0; e < extents; e++) {
        const size_t count = list_marks(w, marks, &extent[e], index, value);
        index += count;
        value += count;
    }
    return OK;
}
