/* Kernels of the optimizer. Each call enqueues on `stream`; addresses are the device's, with any
 * alignment that their type has. bf16 is uint16_t here. Valid C and C++.
 *
 *     TRY_CUDA(optimizer_adamw(stream, &arrays, first, count, &constants, marks, total));
 *
 * Orders. AdamW is the chain of cpu/adamw_isa.c for each element, so its bits are the CPU's.
 * Changes are counted and hashed in integers, exact in any order.
 *
 * The sum of squares: pieces of 16384 floats. Thread t of 256 takes floats 4t..4t+3 of a piece,
 * then those 1024 further, ascending; one fma chain in double from 0. Then come the tree of a warp,
 * and warps ascending (rows.h). Of the pieces' sums thread t takes those of pieces t, t + 256, ...
 * ascending; the same tree follows. */
#pragma once
#include "tensor/adamw_constants.h"
#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

struct optimizer_arrays {
    float *master;
    uint16_t *w;
    float *m, *v;
    const float *grad;
};
/* struct adamw_total (tensor/backend.h) in the device's words. */
struct optimizer_total {
    unsigned long long changed, high, low;
};

#ifdef __cplusplus
extern "C" {
#endif

/* One step over `count` elements; w[0] is element `first` of those that are hashed. Bit i % 32 of
 * word i / 32 of marks is set where w[i] changed; marks may be NULL. Changes add to *total. */
cudaError_t optimizer_adamw(cudaStream_t stream, const struct optimizer_arrays *arrays,
                            size_t first, size_t count, const struct adamw_constants *constants,
                            uint32_t *marks, struct optimizer_total *total);

/* The sum is the first double of work (optimizer_square_bytes). */
size_t optimizer_square_bytes(size_t count);
cudaError_t optimizer_square_sum(cudaStream_t stream, const float *x, size_t count, void *work);

#ifdef __cplusplus
}
#endif
