/* Attention's kernels, and what the host tells them of a call. Valid C and C++; pages are bf16.
 *
 *     TRY(attention_list_make(&list, ...));          -- on the host (attention_list.h)
 *     attention_list_place(&list, there, &call);     -- its copy on the device, and scratch
 *     TRY_CUDA(attention_run(stream, &call));
 *
 * Lists of split tiles and folds may have empty elements.
 * A row's bits are a function of its own query and of the keys that it sees. Positions are cut into
 * chunks of KV_CHUNK, from 0 on. In a chunk an online softmax goes over the pages ascending, from
 * nothing. The chunks' states are folded ascending. So a row alone, in a prompt, or in a piece of
 * one, with or without pages, has the same bits. */
#pragma once
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PAGE_KEYS = 64,      // backend.h's KV_PAGE
    KV_CHUNK = 256,      // positions: a block's work where rows are few
    SPLIT_ROWS = 16,     // rows of a split tile: the height of a tensor core's product
    WALK_ROWS = 64,      // rows of a walked tile: four warps
    ATTENTION_SIZE = 256 // of the largest head
};

/* One sequence's rows. Row r of a kv head is query r / (H/K) of the segment, head r % (H/K) of the
 * group. Its keys lie in pages [page][kv head][KV_PAGE][width]. */
struct attention_segment {
    uint16_t *keys;        // of layer 0, page 0; NULL: in the call's own pages
    int64_t layer, values; // elements from a layer to the next; from the keys to the values
    int64_t part;          // split: its first state
    int32_t chunk, chunks; // split: the first that a row sees, how many
    int32_t first, count, start;
    int32_t page;   // where its pages begin in the call's list
    int32_t prefix; // own pages: the row of position 0
    int32_t fresh;  // its one row is not in its page yet: the split tile puts it there
};

/* A block's work, for each kv head. */
struct attention_item {
    int32_t segment;
    int32_t tile; // walk: of its rows; fill: a page
};

/* A split tile's, with all that it needs: a short block's time is the wait for one read after
 * another. */
struct attention_split {
    struct attention_segment segment;
    int32_t tile, chunk;                // chunk -1: there is no work
    int32_t page[KV_CHUNK / PAGE_KEYS]; // of the chunk
};

/* A split query's states: of a head, `chunks` of them from `part` + head * chunks on. row: the
 * call's. */
struct attention_fold {
    int64_t part;
    int32_t chunks, row; // no chunks: there is no work
};

struct attention_call {
    float *o, *lse; // lse may be NULL
    const float *q, *k, *v;
    const struct attention_segment *segment;
    const struct attention_item *fill, *walk;
    const struct attention_split *split;
    const struct attention_fold *fold;
    const int32_t *page;
    int fills, splits, folds, walks;
    uint16_t *own;      // pages of segments without pages
    float *part, *mass; // split states: part[width], mass[2] (maximum and sum) of each
    int H, K, D, window, layer;
    float scale;  // of the scores
    bool aligned; // q, k and v lie at multiples of 16 bytes, and so do their rows
};

/* A launcher's switch over the widths that kernels are built for. */
#define ATTENTION_WIDTHS(CASE)                                                                     \
    CASE(16) CASE(32) CASE(64) CASE(80) CASE(96) CASE(128) CASE(160) CASE(256)

/* Elements that a head of size D takes in pages: the next size that kernels are built for; 0: D is
 * over ATTENTION_SIZE. The others are zeros. */
static inline int attention_width(int D)
{
#define WIDTH_OF(W)                                                                                \
    if (D <= W)                                                                                    \
        return W;
    ATTENTION_WIDTHS(WIDTH_OF)
#undef WIDTH_OF
    return 0;
}

/* At most four kernels: rows into pages, walked tiles, split tiles, their fold. */
cudaError_t attention_run(cudaStream_t stream, const struct attention_call *call);

/* The parts of it. */
cudaError_t attention_run_walk(cudaStream_t stream, const struct attention_call *call);
cudaError_t attention_run_split(cudaStream_t stream, const struct attention_call *call);

/* Page dst becomes page src, in each of `count` arrays of `pages` pages of `elements`. */
cudaError_t attention_copy_page(cudaStream_t stream, uint16_t *memory, int count, int pages,
                                size_t elements, int dst, int src);

/* backend.h's rope. */
cudaError_t rotary(cudaStream_t stream, float *x, const int32_t *position, const float *cos,
                   const float *sin, int N, int heads, int D, int R, bool inverse);

#ifdef __cplusplus
}
#endif
