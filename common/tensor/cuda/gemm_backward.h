/* Gradients of weights on tensor cores: dw (N,K) += dy^T x. dy and x are rounded to bf16 once per
 * call, a head's too; sums are float32. gemm.h has the backward's other product, dx = dy W.
 *
 *     int rows, count = gemm_chunks(end, sequences, NULL, &rows);
 *     gemm_chunks(end, sequences, chunk, &rows);            -- then to device memory, `there`
 *     struct gemm_dw g = {.dw = dw, .dy = dy, .x = x, .N = N, .K = K, .chunk = there,
 *                         .chunks = count, .rows = rows, .family = GEMM_HOPPER, .processors = 132};
 *     struct gemm_plan plan = gemm_dw_plan_of(&g);
 *     cudaError_t e = gemm_dw_run(stream, &g, &plan, workspace); -- gemm_dw_workspace(&g, &plan)
 *
 * Order of dw[n,k]: a sequence's rows are cut into chunks of 512, from its first row on. A chunk's
 * sum begins at 0, and the tensor core adds a step of 16 rows at a time, ascending. Zeros fill the
 * last step. Chunks' sums are added to dw, ascending. So calls over consecutive sequences have the
 * bits of one call over all of them, and no chain in a tensor core is longer than 512 rows. */
#pragma once
#include "tensor/cuda/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows [first, first + rows) of dy and x. Packed they begin at row `at`, a multiple of 16. */
struct gemm_chunk {
    int first, rows, at;
};
/* The chunks of sequences, of which the i-th ends before row end[i]; end ascends. Returns how many
 * they are, and in *ret_rows how many rows they have packed. chunk NULL: they are counted only. */
int gemm_chunks(const int *end, int sequences, struct gemm_chunk *chunk, int *ret_rows);

struct gemm_dw {
    float *dw;           // (N,K)
    const float *dy, *x; // (M,N), (M,K)
    int N, K;
    const struct gemm_chunk *chunk; // device memory
    int chunks, rows;               // as gemm_chunks tells them
    enum gemm_family family;
    int processors;
};

/* width: of N; tiles: of 64 columns of K; unit: 1, a block for each chunk, or 0. */
struct gemm_plan gemm_dw_plan_of(const struct gemm_dw *g);
/* Every plan that can run, for tests: 0 behind the last. */
int gemm_dw_plan_number(const struct gemm_dw *g, int i, struct gemm_plan *ret);
size_t gemm_dw_workspace(const struct gemm_dw *g, const struct gemm_plan *plan);
/* cudaErrorInvalidValue: a shape that is not positive, no such plan. No chunks: nothing is done.
 * workspace: a multiple of 256. */
cudaError_t gemm_dw_run(cudaStream_t stream, const struct gemm_dw *g, const struct gemm_plan *plan,
                        void *workspace);

#ifdef __cplusplus
}
#endif
