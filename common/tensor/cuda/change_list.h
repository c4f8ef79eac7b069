/* Lists of marked elements: device pointers, done when `stream` says so. Valid C and C++.
 *
 *     TRY_CUDA(list_changes(cuda->stream, &listing));
 *
 * Blocks of the grid have CHANGE_BLOCK elements of one extent each. The first launch counts their
 * marks, the second adds the counts up, the third writes. So an element's place follows from the
 * marks before it alone. */
#pragma once
#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

enum { CHANGE_BLOCK = 65536 };

struct change_extent {
    size_t first, count; // elements of the flat array
    size_t block;        // the first of its blocks
};
static inline size_t change_blocks(size_t count)
{
    return (count + CHANGE_BLOCK - 1) / CHANGE_BLOCK;
}

struct change_listing {
    const uint16_t *w;
    const uint32_t *marks; // bit i % 32 of word i / 32: element i
    const struct change_extent *extent;
    int extents;
    size_t blocks; // of all extents
    /* (blocks + 1) becomes the marks before each block, and all of them. */
    uint64_t *place;
    uint64_t *begin; // (extents + 1) becomes the marks before each extent, and all of them
    size_t most;     // more marks: nothing is listed
    void *list;      // elements from their extent's first, uint32_t; then the values
};

#ifdef __cplusplus
extern "C"
#endif
    cudaError_t
    list_changes(cudaStream_t stream, const struct change_listing *listing);
