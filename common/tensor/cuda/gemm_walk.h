/* The stages of a block's sums, in their order, and what lies where in each.
 *
 *     for (gemm_walk<WAY> at(a, w); at.more(w); at.next(a, w)) {
 *         ... at.cores() steps of 16; at.chunk's sum is complete behind at.ends_chunk() }
 *     gemm_rows_of<T>(a, w, at, t); gemm_columns_of<T>(a, w, at, b); -- what a stage copies
 *
 * A stage has 64 rows of 128 bytes for each tile, and for the columns COLUMN_BLOCKS of COLUMN_ROWS.
 * Along, a row is an output and holds 64 terms of its sum. Across, a row is a term and holds those
 * of 64 outputs; rows are fewer than 64 where a sum ends. */
#pragma once
#include "tensor/cuda/gemm_tile.h"

template <gemm_way WAY_, int TILES_, int WIDTH_, int PIECES_> struct gemm_shape {
    static constexpr gemm_way WAY = WAY_;
    static constexpr bool ROWS_ACROSS = WAY != GEMM_ALONG, COLUMNS_ACROSS = WAY == GEMM_ROWS;
    enum { TILES = TILES_, WIDTH = WIDTH_, PIECES = PIECES_ };
    enum {
        TOKENS = WIDTH / PIECES,
        COLUMN_BLOCKS = COLUMNS_ACROSS ? WIDTH / GEMM_TILE : 1,
        COLUMN_ROWS = WIDTH / COLUMN_BLOCKS,
        COLUMNS_AT = TILES * GEMM_TILE * 128, // in a stage
        STAGE = COLUMNS_AT + WIDTH * 128
    };
};

template <gemm_way WAY> struct gemm_walk {
    int chunk = 0, stage = 0;
    int at, cores_of_chunk; // of the chunk: its first step, or with ROWS packed row

    __device__ __forceinline__ gemm_walk(const gemm_args &a, const gemm_work &w)
    {
        enter(a, w);
    }
    __device__ __forceinline__ bool more(const gemm_work &w) const
    {
        return chunk < w.chunks;
    }
    __device__ __forceinline__ void next(const gemm_args &a, const gemm_work &w)
    {
        if (!ends_chunk()) {
            stage++;
            return;
        }
        stage = 0;
        chunk++;
        if (more(w))
            enter(a, w);
    }
    __device__ __forceinline__ bool ends_chunk() const
    {
        return (stage + 1) * (GEMM_STEP / GEMM_CORE) >= cores_of_chunk;
    }
    /* Steps of the tensor cores in this stage. */
    __device__ __forceinline__ int cores() const
    {
        const int left = cores_of_chunk - stage * (GEMM_STEP / GEMM_CORE);
        return WAY == GEMM_ALONG || left > GEMM_STEP / GEMM_CORE ? GEMM_STEP / GEMM_CORE : left;
    }
    __device__ __forceinline__ int position() const
    {
        return at + (WAY == GEMM_ROWS ? stage * GEMM_STEP : stage);
    }

  private:
    __device__ __forceinline__ void enter(const gemm_args &a, const gemm_work &w)
    {
        if constexpr (WAY == GEMM_ROWS) {
            const gemm_chunk now = a.chunk[w.first + chunk];
            at = now.at;
            cores_of_chunk = (now.rows + GEMM_CORE - 1) / GEMM_CORE;
        } else {
            const int done = chunk * GEMM_CHUNK_STEPS, left = w.steps - done;
            const int steps = left < GEMM_CHUNK_STEPS ? left : (int)GEMM_CHUNK_STEPS;
            at = w.first + done;
            cores_of_chunk = steps * (GEMM_STEP / GEMM_CORE);
            if (WAY == GEMM_ACROSS && at + steps == a.steps)
                cores_of_chunk -= (GEMM_STEP - packed_rows(a.K, a.steps - 1)) / GEMM_CORE;
        }
    }
};

struct gemm_piece {
    const unsigned char *from;
    int rows; // of 128 bytes
};

/* Rows of x that a block reads along: columns of its tile that are not zeros. */
template <class T>
static __device__ __forceinline__ int gemm_columns(const gemm_args &a, const gemm_work &w)
{
    const int left = T::PIECES == 1 ? a.M - w.token : a.x_rows / T::PIECES - w.token;
    return (left < T::TOKENS ? left : (int)T::TOKENS) * T::PIECES;
}

/* Of tile t. */
template <class T>
static __device__ __forceinline__ gemm_piece gemm_rows_of(const gemm_args &a, const gemm_work &w,
                                                          const gemm_walk<T::WAY> &at, int t)
{
    if (t >= w.tiles)
        return {w.w, 0};
    if constexpr (T::WAY == GEMM_ALONG) {
        const int rows = packed_rows(w.N, w.tile + t);
        return {w.w + (size_t)t * GEMM_TILE * a.steps * 128 + (size_t)at.position() * rows * 128,
                rows};
    } else if constexpr (T::WAY == GEMM_ACROSS) {
        const int rows = packed_rows(a.K, at.position());
        return {w.w + ((size_t)at.position() * GEMM_TILE * packed_steps(w.N) +
                       (size_t)(w.tile + t) * rows) *
                          128,
                rows};
    } else {
        return {w.w + ((size_t)(w.tile + t) * a.x_rows + at.position()) * 128,
                at.cores() * GEMM_CORE};
    }
}

/* Of block b of the columns. */
template <class T>
static __device__ __forceinline__ gemm_piece gemm_columns_of(const gemm_args &a, const gemm_work &w,
                                                             const gemm_walk<T::WAY> &at, int b)
{
    if constexpr (T::COLUMNS_ACROSS) {
        const int step = w.token / GEMM_STEP + b;
        if (step * GEMM_STEP >= a.M)
            return {a.x, 0};
        return {a.x + ((size_t)step * a.x_rows + at.position()) * 128, at.cores() * GEMM_CORE};
    } else {
        return {a.x + ((size_t)at.position() * a.x_rows + w.token * T::PIECES) * 128,
                gemm_columns<T>(a, w)};
    }
}
