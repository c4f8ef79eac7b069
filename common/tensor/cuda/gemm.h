/* Products with weights on tensor cores: y = x W^T of the forward, and dx = dy W of the backward.
 * Weights are packed once, rows of x are rounded to bf16 once per call, sums are float32.
 *
 *     pack_weight(stream, packed, rows, N, K, 0, N);       -- packed_bytes(N, K) of device memory
 *     struct gemm g = {.x = x, .M = M, .K = K, .count = 1, .product = {{y, packed, N}},
 *                      .family = GEMM_HOPPER, .processors = 132};
 *     struct gemm_plan plan = gemm_plan_of(&g);
 *     cudaError_t e = gemm_run(stream, &g, &plan, workspace); -- gemm_workspace(&g, &plan) bytes
 *
 * Order of y[m,n]: one, whatever M, the plan, the family and the other products are. A chunk is 512
 * of K; its sum begins at 0, and the tensor core adds a step of 16 at a time, ascending. A span is
 * four chunks; their sums are added ascending. The spans' sums are added to y, ascending; without
 * `accumulate` the first becomes y. Zeros fill the step in which K ends. With `precise` x is three
 * bf16 pieces, x = high + middle + low exactly, and a chunk's sum is (low + middle) + high.
 *
 * With `across` the sums run over the rows of W, y[m,c] = sum_n x[m,n] W[n,c], in the same order
 * over n. The same packed form is read. x is dy then, and is rounded to bf16 for a `precise`
 * weight, too. The rounding changes a gradient's terms by 2^-9 at most, and no bit of the forward.
 *
 * Spans exist for products of few rows. A block that takes a span leaves one number per output; one
 * that took its four chunks would leave four, and such traffic decides how W is shared out. */
#pragma once
#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    GEMM_STEP = 64,    // Elements of K in a pipeline's stage, and in a row of an atom.
    GEMM_CORE = 16,    // Elements of K in a tensor core's step.
    GEMM_CHUNK = 512,  // Elements of K in a chunk.
    GEMM_SPAN = 2048,  // Elements of K in a span.
    GEMM_TILE = 64,    // Rows of W in one piece of packed memory.
    GEMM_PRODUCTS = 4, // The most products of one x.
};

/* ---- packed weights. Memory has tiles of 64 rows, a tile has steps of 64 columns, and a step has
 * atoms of eight rows by 128 bytes. In an atom the 16-byte piece c of row r lies at c ^ r. So
 * shared memory takes a tile's step as it is, by one copy, and no bank is met twice. The last tile
 * has fewer rows, a multiple of eight. Zeros pad N and K. packed.h has an element's address. */
size_t packed_bytes(int N, int K);
/* Rows [row, row + rows) become w (rows,K), device memory. row % 8 == 0, and rows too unless they
 * are the last. */
cudaError_t pack_weight(cudaStream_t stream, void *packed, const uint16_t *w, int N, int K, int row,
                        int rows);
/* Elements [first, first + count) row-major to w, device memory. */
cudaError_t unpack_weight(cudaStream_t stream, uint16_t *w, const void *packed, int N, int K,
                          size_t first, size_t count);
/* W[first + index[i]] = value[i], row-major elements, each at most once. index and value are device
 * memory. An element outside W is not written, and *outside, device memory, counts it unless it is
 * NULL. packed or rows, the row-major form, may be NULL: it is not held so. */
cudaError_t change_weight(cudaStream_t stream, void *packed, uint16_t *rows, int N, int K,
                          size_t first, const uint32_t *index, const uint16_t *value, size_t count,
                          unsigned *outside);

/* ---- products */
enum gemm_family {
    GEMM_MMA,    // mma.sync: sm_80 and later
    GEMM_HOPPER, // wgmma: sm_90a alone
};
struct gemm_product {
    float *y;      // (M,N)
    const void *w; // packed
    int N;         // columns of y: rows of W, or with `across` its columns
};
struct gemm {
    const float *x; // (M,K)
    int M, K, count;
    struct gemm_product product[GEMM_PRODUCTS];
    int accumulate, precise, across; // not both of the last two
    enum gemm_family family;
    int processors; // multiprocessors of the device
};

/* How the work is shared out. Bits do not depend on it. */
struct gemm_plan {
    int width; // columns of a block: its rows of x, or three times as many with `precise`
    int tiles; // of W, 64 rows each, in a block
    int unit;  // K of a block: GEMM_CHUNK, GEMM_SPAN, or 0 for all of it
};
struct gemm_plan gemm_plan_of(const struct gemm *g);
/* Every plan that can run, for tests: 0 behind the last. */
int gemm_plan_number(const struct gemm *g, int i, struct gemm_plan *ret);

size_t gemm_workspace(const struct gemm *g, const struct gemm_plan *plan);
/* The most that a call with g->M rows or fewer needs, by its own plan. More rows may need less. */
size_t gemm_workspace_most(const struct gemm *g);
/* cudaErrorInvalidValue: a number of products, a shape that is not positive, no such plan. M may be
 * 0. workspace: a multiple of 256. */
cudaError_t gemm_run(cudaStream_t stream, const struct gemm *g, const struct gemm_plan *plan,
                     void *workspace);

#ifdef __cplusplus
}
#endif
