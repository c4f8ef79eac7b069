/* The products of gemm.h and gemm_backward.h by wgmma: the 64 rows of an instruction are a tile of
 * W, its columns are rows of x, from 8 to 128. Every number of rows of x runs the same instruction
 * but for its width.
 *
 * Two threads feed a ring of stages through the copy engine: one with tiles, one with columns. The
 * forward's tiles are of W, which stays as it is: so they come while the kernel before this one
 * ends. A stage is a plain copy for each tile and for each block of the columns, since memory has
 * the order that tensor cores want. Four warps multiply a tile. Outputs that W or x lack are zeros
 * that the block stored once; no copy reaches them. */
#include "tensor/cuda/gemm_walk.h"
#include "tensor/cuda/hopper.h"

template <gemm_way WAY_, int TILES_, int WIDTH_, int PIECES_>
struct hopper_tile : gemm_shape<WAY_, TILES_, WIDTH_, PIECES_> {
    typedef gemm_shape<WAY_, TILES_, WIDTH_, PIECES_> S;
    enum {
        TILES = TILES_,
        WIDTH = WIDTH_,
        CONSUMERS = 128 * TILES, // threads
        THREADS = CONSUMERS + 128,
        /* Blocks that share a processor, so that one's beginning hides another's end. */
        BLOCKS = TILES == 4 || WIDTH == 128 || (TILES == 2 && WIDTH >= 64) ? 1 : 2,
        ROOM = BLOCKS == 2 ? 102 * 1024 : 200 * 1024,
        FIT = ROOM / S::STAGE,
        STAGES = FIT < 8 ? FIT : 8,
        SHARED_BYTES = STAGES * S::STAGE,
        /* Registers that the launch gives a thread; that a consumer has behind the exchange. */
        GIVEN = (65536 / BLOCKS / THREADS < 255 ? 65536 / BLOCKS / THREADS : 255) / 8 * 8,
        FEEDING = 32, // a thread that feeds has so many
        LEFT = GIVEN + (GIVEN - FEEDING) / TILES / 8 * 8,
        TAKEN = LEFT < 240 ? LEFT : 240,
        SUMS = S::TOKENS / 8 * 4
    };
    static_assert((int)STAGES >= 4, "a ring of at least four stages");
};

/* A place in the ring, and how often it went round. */
template <int STAGES> struct ring {
    int stage = 0, round = 0;
    __device__ __forceinline__ void next()
    {
        if (++stage == STAGES)
            stage = 0, round ^= 1;
    }
};

/* The bytes that a piece brings. Across, the eighth row may be the last of a core's sixteen. */
template <class T> static __device__ __forceinline__ int bytes_of(gemm_piece p)
{
    return (T::WAY == GEMM_ACROSS ? (p.rows + 15) / 16 * 16 : p.rows) * 128;
}

/* The step's stage is free, and so many bytes of it are on their way. */
template <class T>
static __device__ __forceinline__ void announce(const ring<T::STAGES> &to, int step, int bytes,
                                                uint64_t *full, uint64_t *empty)
{
    if (step >= T::STAGES)
        barrier_wait(&empty[to.stage], to.round ^ 1);
    barrier_expect(&full[to.stage], bytes);
}

template <class T>
static __device__ __forceinline__ void feed_tiles(const gemm_args &a, const gemm_work &w,
                                                  unsigned char *shared, uint64_t *full,
                                                  uint64_t *empty)
{
    ring<T::STAGES> to;
    int step = 0;
    for (gemm_walk<T::WAY> at(a, w); at.more(w); at.next(a, w), to.next(), step++) {
        unsigned char *stage = shared + to.stage * T::STAGE;
        gemm_piece tile[T::TILES];
        int bytes = 0;
#pragma unroll
        for (int t = 0; t < T::TILES; t++) {
            tile[t] = gemm_rows_of<T>(a, w, at, t);
            bytes += bytes_of<T>(tile[t]);
        }
        announce<T>(to, step, bytes, full, empty);
#pragma unroll
        for (int t = 0; t < T::TILES; t++) {
            unsigned char *rows = stage + t * GEMM_TILE * 128;
            if (tile[t].rows)
                copy_bulk(rows, tile[t].from, tile[t].rows * 128, &full[to.stage]);
            if (T::WAY == GEMM_ACROSS && tile[t].rows % 16)
                copy_bulk(rows + tile[t].rows * 128, a.zeros, 8 * 128, &full[to.stage]);
        }
    }
}

template <class T>
static __device__ __forceinline__ void feed_columns(const gemm_args &a, const gemm_work &w,
                                                    unsigned char *shared, uint64_t *full,
                                                    uint64_t *empty)
{
    ring<T::STAGES> to;
    int step = 0;
    for (gemm_walk<T::WAY> at(a, w); at.more(w); at.next(a, w), to.next(), step++) {
        unsigned char *columns = shared + to.stage * T::STAGE + T::COLUMNS_AT;
        gemm_piece block[T::COLUMN_BLOCKS];
        int bytes = 0;
#pragma unroll
        for (int b = 0; b < T::COLUMN_BLOCKS; b++) {
            block[b] = gemm_columns_of<T>(a, w, at, b);
            bytes += block[b].rows * 128;
        }
        announce<T>(to, step, bytes, full, empty);
#pragma unroll
        for (int b = 0; b < T::COLUMN_BLOCKS; b++)
            if (block[b].rows)
                copy_bulk(columns + b * T::COLUMN_ROWS * 128, block[b].from, block[b].rows * 128,
                          &full[to.stage]);
    }
}

/* Rows and columns of a stage that copies fill. */
template <class T> static __device__ __forceinline__ int filled_rows(const gemm_work &w)
{
    if (T::ROWS_ACROSS)
        return w.tiles * GEMM_TILE;
    return (w.tiles - 1) * GEMM_TILE + packed_rows(w.N, w.tile + w.tiles - 1);
}
template <class T>
static __device__ __forceinline__ int filled_columns(const gemm_args &a, const gemm_work &w)
{
    if (!T::COLUMNS_ACROSS)
        return gemm_columns<T>(a, w);
    const int left = (a.M + GEMM_TILE - 1) / GEMM_TILE * GEMM_TILE - w.token;
    return left < T::WIDTH ? left : (int)T::WIDTH;
}

/* The consumers store zeros where no copy will write, before the first one. */
template <class T>
static __device__ __forceinline__ void clear(const gemm_args &a, const gemm_work &w,
                                             unsigned char *shared)
{
    const int rows = filled_rows<T>(w), columns = filled_columns<T>(a, w);
    const int no_rows = T::TILES * GEMM_TILE - rows, none = no_rows + T::WIDTH - columns;
    for (int i = threadIdx.x; i < none * 8 * T::STAGES; i += T::CONSUMERS) {
        const int stage = i / (none * 8), r = i / 8 % none;
        const int row = r < no_rows ? rows + r : T::TILES * GEMM_TILE + columns + r - no_rows;
        *(uint4 *)(shared + stage * T::STAGE + row * 128 + i % 8 * 16) = make_uint4(0, 0, 0, 0);
    }
    proxy_fence();
}

/* Of the thread's first sum. */
static __device__ __forceinline__ gemm_place place_of(int group)
{
    const int thread = opaque(threadIdx.x), lane = thread % 32;
    return {group * GEMM_TILE + thread % 128 / 32 * 16 + lane / 4, lane % 4 * 2};
}

template <bool ACROSS>
static __device__ __forceinline__ uint64_t side_of(const unsigned char *tile, int k16)
{
    return ACROSS ? side_across(tile, k16) : side(tile, k16 * 32);
}

/* The first CORES steps of 16 of a stage. */
template <class T, int CORES>
static __device__ __forceinline__ void multiply_cores(float (&acc)[T::WIDTH / 8][4],
                                                      const unsigned char *tile,
                                                      const unsigned char *columns, bool add)
{
    wgmma_fence();
#pragma unroll
    for (int k16 = 0; k16 < CORES; k16++)
        wgmma<T::WIDTH, T::ROWS_ACROSS, T::COLUMNS_ACROSS>(acc, side_of<T::ROWS_ACROSS>(tile, k16),
                                                           side_of<T::COLUMNS_ACROSS>(columns, k16),
                                                           add || k16);
    wgmma_commit();
}

/* No condition stands between two instructions of one stage: the compiler would put a fence
 * there. */
template <class T>
static __device__ __forceinline__ void
multiply_stage(float (&acc)[T::WIDTH / 8][4], const unsigned char *tile,
               const unsigned char *columns, int cores, bool add)
{
    if (T::WAY == GEMM_ALONG || cores == 4)
        multiply_cores<T, 4>(acc, tile, columns, add);
    else if (cores == 3)
        multiply_cores<T, 3>(acc, tile, columns, add);
    else if (cores == 2)
        multiply_cores<T, 2>(acc, tile, columns, add);
    else
        multiply_cores<T, 1>(acc, tile, columns, add);
}

/* Four warps' sums of their tile. */
template <class T>
static __device__ __forceinline__ void consume(const gemm_args &a, const gemm_work &w, int group,
                                               unsigned char *shared, uint64_t *full,
                                               uint64_t *empty)
{
    enum { COLUMNS = T::TOKENS / 8 };
    const int lane = threadIdx.x % 32;
    float acc[T::WIDTH / 8][4], span[T::SUMS];
    gemm_begin<T::WAY, 1, COLUMNS>(a, w, span, place_of(group));
    ring<T::STAGES> from;
    for (gemm_walk<T::WAY> at(a, w); at.more(w); at.next(a, w)) {
        int before = from.stage;
        for (bool first = true;; first = false, from.next(), at.next(a, w)) {
            const unsigned char *stage = shared + from.stage * T::STAGE;
            barrier_wait(&full[from.stage], from.round);
            multiply_stage<T>(acc, stage + group * GEMM_TILE * 128, stage + T::COLUMNS_AT,
                              at.cores(), !first);
            wgmma_wait<1>(); // the step before is done: its stage is free
            if (lane == 0 && !first)
                barrier_arrive(&empty[before]);
            before = from.stage;
            if (at.ends_chunk())
                break;
        }
        from.next();
        wgmma_wait<0>();
        if (lane == 0)
            barrier_arrive(&empty[before]);
        gemm_fold<T::PIECES>(span, acc, gemm_begins_span<T::WAY>(a, at.chunk));
        if (gemm_ends_span<T::WAY>(w, at.chunk))
            gemm_emit<1, COLUMNS, T::CONSUMERS>(a, w, gemm_adds<T::WAY>(a, at.chunk), span,
                                                place_of(group));
    }
    if (a.parts == 1)
        return;
    SHARED(bool, last);
    warps_wait(1, T::CONSUMERS);
    if (threadIdx.x == 0)
        last = last_block(&a.counter[w.place], a.parts);
    warps_wait(1, T::CONSUMERS);
    if (last)
        gemm_combine<1, COLUMNS, T::CONSUMERS>(a, w, place_of(group));
}

template <class T>
static __global__ void __launch_bounds__(T::THREADS, T::BLOCKS) hopper_kernel(const gemm_args a)
{
    SHARED_DYNAMIC(shared);
    SHARED(uint64_t[T::STAGES], full);
    SHARED(uint64_t[T::STAGES], empty);
    /* A shuffle, so that the compiler sees: uniform. */
    const int group = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
    const gemm_work w = gemm_work_of<T::WAY>(a, T::TILES, T::TOKENS);
    if (threadIdx.x == 0) {
        for (int i = 0; i < T::STAGES; i++) {
            barrier_init(&full[i], 2); // the threads that feed
            barrier_init(&empty[i], T::CONSUMERS / 32);
        }
        barrier_init_fence();
    }
    if (group < T::TILES)
        clear<T>(a, w, shared);
    __syncthreads();
    const bool feeds_tiles = threadIdx.x == T::CONSUMERS + 32;
    if (T::WAY != GEMM_ALONG || !feeds_tiles)
        early_begin();
    if (group == T::TILES) {
        registers_give<T::FEEDING>();
        if (threadIdx.x == T::CONSUMERS)
            feed_columns<T>(a, w, shared, full, empty);
        else if (feeds_tiles) {
            feed_tiles<T>(a, w, shared, full, empty);
            if (T::WAY == GEMM_ALONG)
                early_begin();
        }
    } else {
        registers_take<T::TAKEN>();
        consume<T>(a, w, group, shared, full, empty);
    }
}

template <gemm_way WAY, int TILES, int WIDTH, int PIECES>
static cudaError_t run(cudaStream_t stream, const gemm_args &a)
{
    typedef hopper_tile<WAY, TILES, WIDTH, PIECES> T;
    const dim3 grid((unsigned)(a.row_blocks * a.token_blocks * a.parts));
    TRY_CUDA(cudaFuncSetAttribute(hopper_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  T::SHARED_BYTES));
    return launch_early(hopper_kernel<T>, grid, dim3(T::THREADS), T::SHARED_BYTES, stream, a);
}

cudaError_t gemm_hopper(cudaStream_t stream, const gemm_args &a, const gemm_plan &plan,
                        gemm_way way, int pieces)
{
#define PLAN(WAY, TILES, WIDTH, PIECES)                                                            \
    if (way == WAY && plan.tiles == TILES && plan.width == WIDTH && pieces == PIECES)              \
        return run<WAY, TILES, WIDTH, PIECES>(stream, a);
    PLAN(GEMM_ALONG, 1, 8, 1)
    PLAN(GEMM_ALONG, 1, 16, 1)
    PLAN(GEMM_ALONG, 1, 32, 1)
    PLAN(GEMM_ALONG, 1, 64, 1)
    PLAN(GEMM_ALONG, 1, 128, 1)
    PLAN(GEMM_ALONG, 2, 8, 1)
    PLAN(GEMM_ALONG, 2, 16, 1)
    PLAN(GEMM_ALONG, 2, 32, 1)
    PLAN(GEMM_ALONG, 2, 64, 1)
    PLAN(GEMM_ALONG, 2, 128, 1)
    PLAN(GEMM_ALONG, 4, 32, 1)
    PLAN(GEMM_ALONG, 4, 64, 1)
    PLAN(GEMM_ALONG, 1, 24, 3)
    PLAN(GEMM_ALONG, 1, 48, 3)
    PLAN(GEMM_ALONG, 1, 96, 3)
    PLAN(GEMM_ALONG, 2, 24, 3)
    PLAN(GEMM_ALONG, 2, 48, 3)
    PLAN(GEMM_ALONG, 2, 96, 3)
    PLAN(GEMM_ALONG, 4, 96, 3)
    PLAN(GEMM_ACROSS, 1, 64, 1)
    PLAN(GEMM_ACROSS, 1, 128, 1)
    PLAN(GEMM_ACROSS, 2, 64, 1)
    PLAN(GEMM_ACROSS, 2, 128, 1)
    PLAN(GEMM_ROWS, 1, 64, 1)
    PLAN(GEMM_ROWS, 1, 128, 1)
    PLAN(GEMM_ROWS, 2, 64, 1)
    PLAN(GEMM_ROWS, 2, 128, 1)
#undef PLAN
    return cudaErrorInvalidValue;
}
