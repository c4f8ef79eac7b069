/* Shared by the kernels of both families: which piece of which product a block computes, and where
 * its sums go. gemm.h and gemm_backward.h state the orders; gemm_walk.h has a block's stages.
 *
 *     const gemm_work work = gemm_work_of<WAY>(args, TILES, TOKENS);
 *     gemm_emit<ROWS, COLUMNS, THREADS>(args, work, add, sums, place); -- behind each span
 *     gemm_combine<ROWS, COLUMNS, THREADS>(args, work, place); -- in the last block of a split */
#pragma once
#include "tensor/cuda/device.h"
#include "tensor/cuda/gemm_backward.h"
#include "tensor/cuda/packed.h"

/* A sum runs along the rows of 64 elements in which a side lies, or across them. */
enum gemm_way {
    GEMM_ALONG,  // y = x W^T: along both
    GEMM_ACROSS, // y = x W: across W's rows, along those of x
    GEMM_ROWS,   // dw = dw + dy^T x: across both. dy is "x" here, x is "W", dw is y.
};

struct gemm_args {
    const unsigned char *x; // steps of 64 of K, in each x_rows rows of 128 bytes, turned like W's
    int x_rows, M, K, steps;
    const unsigned char *zeros;     // ACROSS: eight rows of them
    const struct gemm_chunk *chunk; // ROWS: as many as there are steps
    int parts, part_steps, parts_of_span;
    int row_blocks, token_blocks;
    bool accumulate;
    int count;
    struct {
        float *y;
        const unsigned char *w;
        int N, first; // its first row block
    } product[GEMM_PRODUCTS];
    float *partial;    // [block of outputs][part][sum][thread]
    unsigned *counter; // of parts that have come, for each block of outputs
};

/* One block's. */
struct gemm_work {
    const unsigned char *w; // ALONG: step 0 of its first tile. Others: the whole W
    float *y;
    int N, tile, tiles; // its tiles of 64 rows; fewer at the end of a product
    int token;          // its first row of x
    int part, first, steps, chunks;
    int place; // of its block of outputs among all
};

enum {
    GEMM_GROUP = 16, // token blocks that run beside each other: their x stays in the L2 cache
    GEMM_CHUNK_STEPS = GEMM_CHUNK / GEMM_STEP,
    GEMM_SPAN_CHUNKS = GEMM_SPAN / GEMM_CHUNK,
    GEMM_ZEROS = 8 * 128 // bytes
};

template <gemm_way WAY>
static __device__ __forceinline__ gemm_work gemm_work_of(const gemm_args &a, int tiles, int tokens)
{
    gemm_work w;
    w.part = blockIdx.x % a.parts;
    w.place = blockIdx.x / a.parts;
    const int group = w.place / (a.row_blocks * GEMM_GROUP) * GEMM_GROUP;
    const int left = a.token_blocks - group, width = left < GEMM_GROUP ? left : (int)GEMM_GROUP;
    const int inside = w.place - group * a.row_blocks, row_block = inside / width;
    int p = 0;
    while (p + 1 < a.count && row_block >= a.product[p + 1].first)
        p++;
    w.N = a.product[p].N;
    w.y = a.product[p].y;
    w.tile = (row_block - a.product[p].first) * tiles;
    const int there = (w.N + GEMM_TILE - 1) / GEMM_TILE - w.tile;
    w.tiles = there < tiles ? there : tiles;
    w.w = a.product[p].w;
    if (WAY == GEMM_ALONG)
        w.w += (size_t)w.tile * GEMM_TILE * a.steps * 128;
    w.token = (group + inside % width) * tokens;
    w.first = w.part * a.part_steps;
    w.steps = a.steps - w.first < a.part_steps ? a.steps - w.first : a.part_steps;
    w.chunks = WAY == GEMM_ROWS ? w.steps : (w.steps + GEMM_CHUNK_STEPS - 1) / GEMM_CHUNK_STEPS;
    return w;
}

/* A thread's sums lie as mma.sync and wgmma leave them, in ROWS by COLUMNS pieces of four: two rows
 * of W, eight apart, by two rows of x. The first one's place is (row, column) of the block. */
struct gemm_place {
    int row, column;
};

template <int ROWS, int COLUMNS, class F>
static __device__ __forceinline__ void gemm_each(const gemm_args &a, const gemm_work &w,
                                                 gemm_place place, F of)
{
    const int out = opaque(w.tile * GEMM_TILE + place.row), token = opaque(w.token + place.column);
#pragma unroll
    for (int j = 0; j < COLUMNS; j++)
#pragma unroll
        for (int odd = 0; odd < 2; odd++) {
            const int t = token + j * 8 + odd;
            float *at = w.y + (size_t)t * w.N + out;
#pragma unroll
            for (int i = 0; i < ROWS * 2; i++)
                if (t < a.M && out + i * 8 < w.N)
                    of((i / 2 * COLUMNS + j) * 4 + i % 2 * 2 + odd, at[i * 8]);
        }
}

template <int ROWS, int COLUMNS>
static __device__ __forceinline__ void gemm_store(const gemm_args &a, const gemm_work &w, bool add,
                                                  const float (&sum)[ROWS * COLUMNS * 4],
                                                  gemm_place place)
{
    gemm_each<ROWS, COLUMNS>(a, w, place,
                             [&](int e, float &y) { y = add ? __fadd_rn(y, sum[e]) : sum[e]; });
}

/* ROWS: a block that takes all chunks adds them to what is there, and begins with it. */
template <gemm_way WAY, int ROWS, int COLUMNS>
static __device__ __forceinline__ void gemm_begin(const gemm_args &a, const gemm_work &w,
                                                  float (&sum)[ROWS * COLUMNS * 4],
                                                  gemm_place place)
{
    if (WAY == GEMM_ROWS && a.parts == 1)
        gemm_each<ROWS, COLUMNS>(a, w, place, [&](int e, float &y) { sum[e] = y; });
}

/* Whether a chunk begins the sum of its span, and whether it ends it. */
template <gemm_way WAY>
static __device__ __forceinline__ bool gemm_begins_span(const gemm_args &a, int chunk)
{
    return WAY == GEMM_ROWS ? a.parts > 1 : chunk % GEMM_SPAN_CHUNKS == 0;
}
template <gemm_way WAY>
static __device__ __forceinline__ bool gemm_ends_span(const gemm_work &w, int chunk)
{
    return chunk + 1 == w.chunks || (WAY != GEMM_ROWS && (chunk + 1) % GEMM_SPAN_CHUNKS == 0);
}
/* Whether the span of this chunk is added to y. */
template <gemm_way WAY>
static __device__ __forceinline__ bool gemm_adds(const gemm_args &a, int chunk)
{
    return WAY != GEMM_ROWS && (a.accumulate || chunk >= GEMM_SPAN_CHUNKS);
}

template <int E, int THREADS>
static __device__ __forceinline__ float *gemm_part(const gemm_args &a, const gemm_work &w, int part)
{
    return a.partial + ((size_t)w.place * a.parts + part) * E * THREADS + threadIdx.x;
}

/* A span of this block is complete: to y, or to the other parts. */
template <int ROWS, int COLUMNS, int THREADS>
static __device__ __forceinline__ void gemm_emit(const gemm_args &a, const gemm_work &w, bool add,
                                                 const float (&sum)[ROWS * COLUMNS * 4],
                                                 gemm_place place)
{
    enum { E = ROWS * COLUMNS * 4 };
    if (a.parts == 1) {
        gemm_store<ROWS, COLUMNS>(a, w, add, sum, place);
        return;
    }
    float *to = gemm_part<E, THREADS>(a, w, w.part);
#pragma unroll
    for (int e = 0; e < E; e++)
        to[e * THREADS] = sum[e];
}

/* In the block whose part came last: spans of the parts, in their order, to y. */
template <int ROWS, int COLUMNS, int THREADS>
static __device__ __forceinline__ void gemm_combine(const gemm_args &a, const gemm_work &w,
                                                    gemm_place place)
{
    enum { E = ROWS * COLUMNS * 4 };
    for (int begin = 0; begin < a.parts; begin += a.parts_of_span) {
        const int left = a.parts - begin, n = left < a.parts_of_span ? left : a.parts_of_span;
        float sum[E];
        for (int i = 0; i < n; i++) {
            const float *from = gemm_part<E, THREADS>(a, w, begin + i);
#pragma unroll
            for (int e = 0; e < E; e++) {
                const float part = __ldcg(from + e * THREADS);
                sum[e] = i ? __fadd_rn(sum[e], part) : part;
            }
        }
        gemm_store<ROWS, COLUMNS>(a, w, a.accumulate || begin, sum, place);
    }
}

/* A chunk's sums join those of its span. With three pieces of x, columns 8 i.. of the tensor cores'
 * sums are groups of eight tokens' high, middle and low ones in turn. */
template <int PIECES, int J>
static __device__ __forceinline__ void gemm_fold(float (&span)[J / PIECES * 4],
                                                 const float (&acc)[J][4], bool first)
{
#pragma unroll
    for (int j = 0; j < J / PIECES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            float sum = acc[j * PIECES][e];
            if constexpr (PIECES == 3)
                sum = __fadd_rn(__fadd_rn(acc[j * 3 + 2][e], acc[j * 3 + 1][e]), sum);
            span[j * 4 + e] = first ? sum : __fadd_rn(span[j * 4 + e], sum);
        }
}

/* The launchers of the families: shared with gemm_plan.cu and gemm_backward.cu. */
cudaError_t gemm_mma(cudaStream_t stream, const gemm_args &args, const gemm_plan &plan,
                     gemm_way way, int pieces);
cudaError_t gemm_hopper(cudaStream_t stream, const gemm_args &args, const gemm_plan &plan,
                        gemm_way way, int pieces);
/* x in that form; counters, or what else is there, become zero. */
cudaError_t pack_x(cudaStream_t stream, unsigned char *to, const float *x, int M, int K, int pieces,
                   unsigned *counter, int counters);
/* Rows of chunks in that form, x_rows in all, with zeros behind a chunk's last. */
cudaError_t pack_chunks(cudaStream_t stream, unsigned char *to, const float *x, int C, int x_rows,
                        const struct gemm_chunk *chunk, int chunks, int longest, unsigned *counter,
                        int counters);
