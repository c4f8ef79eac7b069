/* The products of gemm.h by wgmma: the 64 rows of an instruction are a tile of W, its columns are
 * rows of x, from 8 to 128. Every number of rows of x runs the same instruction but for its width.
 *
 * One thread feeds a ring of stages through the copy engine. A stage is a plain copy for each tile
 * and one for x, since memory has the order that tensor cores want. Four warps multiply a tile.
 * Rows that W or x lack are zeros that the block stored once; no copy reaches them. */
#include "tensor/cuda/gemm_tile.h"
#include "tensor/cuda/hopper.h"

template <int TILES_, int WIDTH_, int PIECES_> struct hopper_tile {
    enum { TILES = TILES_, WIDTH = WIDTH_, PIECES = PIECES_ };
    enum {
        TOKENS = WIDTH / PIECES,
        CONSUMERS = 128 * TILES, // threads
        THREADS = CONSUMERS + 128,
        STAGE = (TILES * GEMM_TILE + WIDTH) * 128,
        /* Blocks that share a processor, so that one's beginning hides another's end. */
        BLOCKS = TILES == 4 || WIDTH == 128 || (TILES == 2 && WIDTH >= 64) ? 1 : 2,
        ROOM = BLOCKS == 2 ? 102 * 1024 : 200 * 1024,
        FIT = ROOM / STAGE,
        STAGES = FIT < 8 ? FIT : 8,
        SHARED_BYTES = STAGES * STAGE,
        /* Registers that the launch gives a thread; that a consumer has behind the exchange. */
        GIVEN = (65536 / BLOCKS / THREADS < 255 ? 65536 / BLOCKS / THREADS : 255) / 8 * 8,
        LEFT = GIVEN + (GIVEN - 24) / TILES / 8 * 8,
        TAKEN = LEFT < 240 ? LEFT : 240,
        SUMS = TOKENS / 8 * 4
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

template <class T>
static __device__ __forceinline__ void feed(const gemm_args &a, const gemm_work &w,
                                            unsigned char *shared, uint64_t *full, uint64_t *empty)
{
    const int columns = gemm_columns<T::TOKENS, T::PIECES>(a, w);
    int tile_bytes[T::TILES], bytes = columns * 128;
#pragma unroll
    for (int t = 0; t < T::TILES; t++) {
        tile_bytes[t] = t < w.tiles ? packed_rows(w.N, w.tile + t) * 128 : 0;
        bytes += tile_bytes[t];
    }
    ring<T::STAGES> at;
    for (int step = 0; step < w.steps; step++, at.next()) {
        unsigned char *to = shared + at.stage * T::STAGE;
        if (step >= T::STAGES)
            barrier_wait(&empty[at.stage], at.round ^ 1);
        barrier_expect(&full[at.stage], bytes);
#pragma unroll
        for (int t = 0; t < T::TILES; t++)
            if (t < w.tiles)
                copy_bulk(to + t * GEMM_TILE * 128,
                          w.w + (size_t)t * GEMM_TILE * a.steps * 128 +
                              (size_t)(w.first + step) * tile_bytes[t],
                          tile_bytes[t], &full[at.stage]);
        copy_bulk(to + T::TILES * GEMM_TILE * 128,
                  a.x + ((size_t)(w.first + step) * a.x_rows + w.token * T::PIECES) * 128,
                  columns * 128, &full[at.stage]);
    }
}

/* The consumers store zeros where no copy will write, before the first one. */
template <class T>
static __device__ __forceinline__ void clear(const gemm_args &a, const gemm_work &w,
                                             unsigned char *shared)
{
    const int last = w.tiles - 1, rows = last * GEMM_TILE + packed_rows(w.N, w.tile + last);
    const int columns = gemm_columns<T::TOKENS, T::PIECES>(a, w);
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

/* Four warps' sums of their tile. */
template <class T>
static __device__ __forceinline__ void consume(const gemm_args &a, const gemm_work &w, int group,
                                               unsigned char *shared, uint64_t *full,
                                               uint64_t *empty)
{
    enum { CHUNK = GEMM_CHUNK / GEMM_STEP, SPAN = GEMM_SPAN / GEMM_STEP };
    const int lane = threadIdx.x % 32;
    float acc[T::WIDTH / 8][4], span[T::SUMS];
    ring<T::STAGES> at;
    for (int begin = 0; begin < w.steps; begin += CHUNK) {
        const int end = begin + CHUNK < w.steps ? begin + CHUNK : w.steps;
        int before = at.stage;
        for (int step = begin; step < end; step++, at.next()) {
            const unsigned char *stage = shared + at.stage * T::STAGE;
            barrier_wait(&full[at.stage], at.round);
            wgmma_fence();
#pragma unroll
            for (int k16 = 0; k16 < GEMM_STEP / 16; k16++)
                wgmma<T::WIDTH>(acc, side(stage + group * GEMM_TILE * 128, k16 * 32),
                                side(stage + T::TILES * GEMM_TILE * 128, k16 * 32),
                                step > begin || k16);
            wgmma_commit();
            wgmma_wait<1>(); // the step before is done: its stage is free
            if (lane == 0 && step > begin)
                barrier_arrive(&empty[before]);
            before = at.stage;
        }
        wgmma_wait<0>();
        if (lane == 0)
            barrier_arrive(&empty[before]);
        gemm_fold<T::PIECES>(span, acc, begin % SPAN == 0);
        if (end % SPAN == 0 || end == w.steps)
            gemm_emit<1, T::TOKENS / 8, T::CONSUMERS>(a, w, begin < SPAN, span, place_of(group));
    }
    if (a.parts == 1)
        return;
    SHARED(bool, last);
    warps_wait(1, T::CONSUMERS);
    if (threadIdx.x == 0)
        last = last_block(&a.counter[w.place], a.parts);
    warps_wait(1, T::CONSUMERS);
    if (last)
        gemm_combine<1, T::TOKENS / 8, T::CONSUMERS>(a, w, place_of(group));
}

template <class T>
static __global__ void __launch_bounds__(T::THREADS, T::BLOCKS) hopper_kernel(const gemm_args a)
{
    SHARED_DYNAMIC(shared);
    SHARED(uint64_t[T::STAGES], full);
    SHARED(uint64_t[T::STAGES], empty);
    /* A shuffle, so that the compiler sees: uniform. */
    const int group = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
    const gemm_work w = gemm_work_of(a, T::TILES, T::TOKENS);
    if (threadIdx.x == 0) {
        for (int i = 0; i < T::STAGES; i++) {
            barrier_init(&full[i], 1);
            barrier_init(&empty[i], T::CONSUMERS / 32);
        }
        barrier_init_fence();
    }
    if (group < T::TILES)
        clear<T>(a, w, shared);
    __syncthreads();
    if (group == T::TILES) {
        registers_give<24>();
        if (threadIdx.x == T::CONSUMERS)
            feed<T>(a, w, shared, full, empty);
    } else {
        registers_take<T::TAKEN>();
        consume<T>(a, w, group, shared, full, empty);
    }
}

template <int TILES, int WIDTH, int PIECES>
static cudaError_t run(cudaStream_t stream, const gemm_args &a)
{
    typedef hopper_tile<TILES, WIDTH, PIECES> T;
    const dim3 grid((unsigned)(a.row_blocks * a.token_blocks * a.parts));
    TRY_CUDA(cudaFuncSetAttribute(hopper_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  T::SHARED_BYTES));
    return launch(hopper_kernel<T>, grid, dim3(T::THREADS), T::SHARED_BYTES, stream, a);
}

cudaError_t gemm_hopper(cudaStream_t stream, const gemm_args &a, const gemm_plan &plan, int pieces)
{
#define PLAN(TILES, WIDTH, PIECES)                                                                 \
    if (plan.tiles == TILES && plan.width == WIDTH && pieces == PIECES)                            \
        return run<TILES, WIDTH, PIECES>(stream, a);
    PLAN(1, 8, 1)
    PLAN(1, 16, 1)
    PLAN(1, 32, 1)
    PLAN(1, 64, 1)
    PLAN(1, 128, 1)
    PLAN(2, 8, 1)
    PLAN(2, 16, 1)
    PLAN(2, 32, 1)
    PLAN(2, 64, 1)
    PLAN(2, 128, 1)
    PLAN(4, 32, 1)
    PLAN(4, 64, 1)
    PLAN(1, 24, 3)
    PLAN(1, 48, 3)
    PLAN(1, 96, 3)
    PLAN(2, 24, 3)
    PLAN(2, 48, 3)
    PLAN(2, 96, 3)
    PLAN(4, 96, 3)
#undef PLAN
    return cudaErrorInvalidValue;
}
