/* The gradient of attention, and what the host tells the kernels of a call. Valid C and C++.
 *
 *     TRY(attention_backward_list_make(...));           -- on the host (attention_backward_list.h)
 *     attention_backward_list_place(&list, there, &call);
 *     TRY_CUDA(attention_backward_run(stream, &call));
 *
 * With D = d_o . o, p = exp(score - lse) and ds = p (d_o . v - D) (Dao 2023):
 *     dv = sum p d_o        dk = scale sum ds q        dq = scale sum ds k
 * Two passes, neither with atomics. In the first a block owns keys and goes through the queries
 * that see them; in the second it owns queries and goes through the keys. q, k, v, d_o, p and ds
 * are rounded to bf16 where tensor cores multiply them; scores have the forward's bits.
 *
 * Each sum has one order: steps of 16 terms ascending, in chunks that begin at zero. A chunk's sum
 * is then added by one rounding, ascending.
 *     dq      over keys by position, chunks of 256 positions from 0 on (KV_CHUNK)
 *     dk, dv  over rows: row r is head r % (H/K) of the query at position r / (H/K). Chunks of 512
 *             rows from 0 on: of the key's own segment, then of each that shares it
 * A masked pair weighs 0 in its step. So the other pairs that a block goes through change no bit.
 */
#pragma once
#include "tensor/cuda/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ROW_CHUNK = 512 };

/* Keys, or rows, of a block: what fits into the shared memory of small devices, too. */
#define ATTENTION_BACKWARD_BLOCK(width) ((width) > 160 ? 48 : 64)
enum { ROUND_ROWS = 16 }; // queries of a block that rounds

struct attention_backward_segment {
    int32_t first, count, start;
    int32_t base;    // its first row among the rounded ones
    int32_t prefix;  // start > 0: the row of position 0 there
    int32_t sharers; // how many segments behind it have their prefix in it
};

struct attention_backward_call {
    float *dq, *dk, *dv;
    const float *d_o, *q, *k, *v, *o, *lse;
    const struct attention_backward_segment *segment;
    const struct attention_item *round, *keys, *queries; // blocks' work, for each kv head
    int rounds, key_blocks, query_blocks;
    size_t rows; // of all segments
    /* Scratch: a kv head's rows lie together. queries and grads (K,rows,H/K,width), rounded q and
     * d_o; keys and values (K,rows,width); stats (K,rows,H/K,2): lse and D. */
    uint16_t *queries_there, *grads_there, *keys_there, *values_there;
    float *stats;
    int H, K, D, window;
    float scale;  // of the scores
    bool aligned; // q, k, v, d_o and o lie at multiples of 16 bytes, and so do their rows
};

/* Bytes of scratch, and its places in memory that begins at a multiple of 16 bytes. */
size_t attention_backward_scratch(const struct attention_backward_call *call);
void attention_backward_place(struct attention_backward_call *call, void *memory);

/* Three kernels: rounding, dk and dv, dq. */
cudaError_t attention_backward_run(cudaStream_t stream, const struct attention_backward_call *call);

/* The parts of it. */
cudaError_t attention_backward_run_keys(cudaStream_t stream,
                                        const struct attention_backward_call *call);
cudaError_t attention_backward_run_queries(cudaStream_t stream,
                                           const struct attention_backward_call *call);

#ifdef __cplusplus
}
#endif
