/* Changes of single elements of weights: lists that come on a stream of their own, beside the steps
 * on the owner's, and are scattered there. */
#include "base/mem.h"
#include "tensor/changes_check.h"
#include "tensor/cuda/change_list.h"
#include "tensor/cuda/gemm.h"
#include "tensor/cuda/weight.h"

struct weight_changes {
    size_t most, count;
    void *index, *value; // (most) on the device
    cudaStream_t stream; // of the copies
    struct cuda_staging staging;
    cudaEvent_t there;   // on `stream`: the copies
    cudaEvent_t applied; // on the owner's: the kernels that read the lists
    int parts, room;
    struct part { // changes of one weight
        struct weight *weight;
        size_t first, from, count;
    } * part;
};

static err_t fill(struct weight_changes *changes)
{
    TRY_CUDA(cudaStreamCreateWithFlags(&changes->stream, cudaStreamNonBlocking));
    TRY_CUDA(cudaEventCreateWithFlags(&changes->there, cudaEventDisableTiming));
    TRY_CUDA(cudaEventCreateWithFlags(&changes->applied, cudaEventDisableTiming));
    TRY(staging_open(changes->stream, &changes->staging));
    TRY(device_memory(changes->most * sizeof(uint32_t), &changes->index));
    return device_memory(changes->most * sizeof(bf16), &changes->value);
}

err_t cuda_changes_new(struct backend *be, size_t most, struct weight_changes **ret)
{
    cuda_of(be);
    if (!most)
        return err_new(ERR_INVALID, "changes of weights: room for at least one");
    struct weight_changes *changes = mem_new(sizeof *changes);
    changes->most = most;
    const err_t e = fill(changes);
    if (err_failed(e)) {
        cuda_changes_free(be, changes);
        return e;
    }
    *ret = changes;
    return OK;
}

/* Neighbours of one weight are one part, and one launch. */
static void note(struct weight_changes *changes, struct weight *weight, size_t first, size_t count)
{
    struct part *last = changes->parts ? &changes->part[changes->parts - 1] : NULL;
    if (last && last->weight == weight && last->first == first) {
        last->count += count;
        return;
    }
    if (changes->parts == changes->room) {
        changes->room = 2 * changes->room + 64;
        changes->part = mem_grow(changes->part, (size_t)changes->room, sizeof *changes->part);
    }
    changes->part[changes->parts++] = (struct part){weight, first, changes->count, count};
}

err_t cuda_changes_add(struct backend *be, struct weight_changes *changes, struct weight *weight,
                       size_t first, const uint32_t *index, const bf16 *value, size_t count)
{
    cuda_of(be);
    TRY(weight_changes_check(weight->N, weight->K, first, index, count,
                             changes->most - changes->count));
    if (!changes->count) // the lists before these may still be read
        TRY_CUDA(cudaStreamWaitEvent(changes->stream, changes->applied, 0));
    TRY(staging_put(&changes->staging, (uint32_t *)changes->index + changes->count, index,
                    count * sizeof *index));
    TRY(staging_put(&changes->staging, (bf16 *)changes->value + changes->count, value,
                    count * sizeof *value));
    note(changes, weight, first, count);
    changes->count += count;
    return OK;
}

static err_t apply(struct cuda *cuda, const struct weight_changes *changes, const struct part *part)
{
    const struct weight *w = part->weight;
    TRY_CUDA(change_weight(cuda->stream, w->packed, w->rows, w->N, w->K, part->first,
                           (const uint32_t *)changes->index + part->from,
                           (const bf16 *)changes->value + part->from, part->count, NULL));
    return OK;
}

err_t cuda_changes_apply(struct backend *be, struct weight_changes *changes)
{
    struct cuda *cuda = cuda_of(be);
    TRY_CUDA(cudaEventRecord(changes->there, changes->stream));
    TRY_CUDA(cudaStreamWaitEvent(cuda->stream, changes->there, 0));
    for (int i = 0; i < changes->parts; i++)
        TRY(apply(cuda, changes, &changes->part[i]));
    TRY_CUDA(cudaEventRecord(changes->applied, cuda->stream));
    changes->parts = 0;
    changes->count = 0;
    return OK;
}

err_t cuda_weight_change(struct backend *be, struct weight *weight, const uint32_t *index,
                         const bf16 *value, size_t count)
{
    TRY_CUDA(change_weight(cuda_of(be)->stream, weight->packed, weight->rows, weight->N, weight->K,
                           0, index, value, count, NULL));
    return OK;
}

void cuda_changes_free(struct backend *be, struct weight_changes *changes)
{
    struct cuda *cuda = cuda_of(be);
    if (!changes)
        return;
    if (changes->stream)
        cudaStreamSynchronize(changes->stream);
    cudaStreamSynchronize(cuda->stream);
    staging_done(&changes->staging);
    cudaFree(changes->index);
    cudaFree(changes->value);
    if (changes->there)
        cudaEventDestroy(changes->there);
    if (changes->applied)
        cudaEventDestroy(changes->applied);
    if (changes->stream)
        cudaStreamDestroy(changes->stream);
    mem_free(changes->part);
    mem_free(changes);
}

/* ---- marked elements */

/* Places of the extents, and of the first block of each. */
static size_t cut(const struct extent *extent, int extents, struct change_extent *ret)
{
    size_t blocks = 0;
    for (int e = 0; e < extents; e++) {
        ret[e] = (struct change_extent){extent[e].first, extent[e].count, blocks};
        blocks += change_blocks(extent[e].count);
    }
    return blocks;
}

/* The extents' counts are differences of their first blocks' places. */
err_t cuda_changes_list(struct backend *be, const bf16 *w, const uint32_t *marks,
                        const struct extent *extent, int extents, size_t most, void *list,
                        uint32_t *ret_count)
{
    struct cuda *cuda = cuda_of(be);
    const size_t cut_bytes = (size_t)extents * sizeof(struct change_extent);
    SCOPED_MEM struct change_extent *parts = mem_array((size_t)extents + 1, sizeof *parts);
    const size_t blocks = cut(extent, extents, parts), places = (size_t)extents + 1;
    const void *there = NULL, *here = NULL;
    void *scratch = NULL;
    TRY(cuda_stage(cuda, parts, cut_bytes, &there));
    TRY(cuda_workspace(cuda, (blocks + 1 + places) * sizeof(uint64_t), &scratch));
    uint64_t *place = scratch, *begin = place + blocks + 1;
    TRY_CUDA(list_changes(cuda->stream, &(struct change_listing){.w = w,
                                                                 .marks = marks,
                                                                 .extent = there,
                                                                 .extents = extents,
                                                                 .blocks = blocks,
                                                                 .place = place,
                                                                 .begin = begin,
                                                                 .most = most,
                                                                 .list = list}));
    TRY(cuda_fetch(cuda, begin, places * sizeof *begin, &here));
    const uint64_t *at = here;
    for (int e = 0; e < extents; e++)
        ret_count[e] = (uint32_t)(at[e + 1] - at[e]);
    if (at[extents] > most)
        return err_new(ERR_EXHAUSTED, "%llu values changed: there is room for %zu",
                       (unsigned long long)at[extents], most);
    return OK;
}
