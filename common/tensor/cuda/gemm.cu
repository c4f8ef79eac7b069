/* The products of gemm.h by mma.sync: W's rows are the 16 of an instruction, its 8 columns are rows
 * of x. A stage is what cp.async brings: pieces of 16 bytes, copied as they lie, since packed
 * memory has the order that ldmatrix reads without meeting a bank twice. */
#include "tensor/cuda/gemm_tile.h"

template <int TILES_, int WIDTH_, int PIECES_> struct mma_tile {
    enum { TILES = TILES_, WIDTH = WIDTH_, PIECES = PIECES_ };
    enum {
        TOKENS = WIDTH / PIECES,
        THREADS = 128 * TILES,
        /* Warps beside each other in x; a warp multiplies 16 I rows of W by 8 J columns. */
        ACROSS = WIDTH == 128 ? 4 : 1,
        DOWN = 4 * TILES / ACROSS,
        I = 4 * TILES / DOWN,
        J = WIDTH / 8 / ACROSS,
        STAGE = (TILES * GEMM_TILE + WIDTH) * 128,
        BLOCKS = WIDTH == 128 || (TILES == 2 && WIDTH >= 64) ? 1 : 2, // on a processor
        ROOM = (BLOCKS == 1 ? 98 : 49) * 1024,
        FIT = ROOM / STAGE,
        STAGES = FIT < 3   ? 3
                 : FIT < 6 ? FIT
                           : 6,
        SHARED_BYTES = STAGES * STAGE,
        SUMS = I * (J / PIECES) * 4
    };
    static_assert((int)SHARED_BYTES <= 99 * 1024, "what every processor from sm_80 on has");
};

template <class T>
static __device__ __forceinline__ void load(const gemm_args &a, const gemm_work &w,
                                            unsigned char *stage, int step)
{
    const int columns = gemm_columns<T::TOKENS, T::PIECES>(a, w);
#pragma unroll
    for (int t = 0; t < T::TILES; t++) {
        const int rows = t < w.tiles ? packed_rows(w.N, w.tile + t) : 0;
        const unsigned char *from =
            w.w + (size_t)t * GEMM_TILE * a.steps * 128 + (size_t)(w.first + step) * rows * 128;
#pragma unroll
        for (int i = threadIdx.x; i < GEMM_TILE * 8; i += T::THREADS)
            copy_async(stage + (t * GEMM_TILE * 8 + i) * 16, i < rows * 8 ? from + i * 16 : w.w,
                       i < rows * 8);
    }
    const unsigned char *from =
        a.x + ((size_t)(w.first + step) * a.x_rows + w.token * T::PIECES) * 128;
#pragma unroll
    for (int i = threadIdx.x; i < T::WIDTH * 8; i += T::THREADS)
        copy_async(stage + (T::TILES * GEMM_TILE * 8 + i) * 16,
                   i < columns * 8 ? from + i * 16 : a.x, i < columns * 8);
}

/* acc += the products of one stage. */
template <class T>
static __device__ __forceinline__ void
stage_products(float (&acc)[T::I][T::J][4], const unsigned char *stage, int row, int column)
{
    const int lane = threadIdx.x % 32;
    const unsigned char *x = stage + T::TILES * GEMM_TILE * 128;
#pragma unroll
    for (int k16 = 0; k16 < GEMM_STEP / 16; k16++) {
        uint32_t a[T::I][4], b[T::J][2];
#pragma unroll
        for (int i = 0; i < T::I; i++)
            load_matrix(a[i],
                        stage + swizzle<8>(row + i * 16 + lane % 16, k16 * 2 + lane / 16) * 16);
#pragma unroll
        for (int j = 0; j < T::J; j += 2) { // two columns' worth at a time; the last may be alone
            uint32_t two[4];
            const int r = column + j * 8 + lane % 8 + (j + 1 < T::J ? lane / 16 * 8 : 0);
            load_matrix(two, x + swizzle<8>(r, k16 * 2 + lane / 8 % 2) * 16);
            b[j][0] = two[0];
            b[j][1] = two[1];
            if (j + 1 < T::J) {
                b[j + 1][0] = two[2];
                b[j + 1][1] = two[3];
            }
        }
        multiply(acc, a, b);
    }
}

template <class T>
static __global__ void __launch_bounds__(T::THREADS, T::BLOCKS) mma_kernel(const gemm_args a)
{
    enum { CHUNK = GEMM_CHUNK / GEMM_STEP, SPAN = GEMM_SPAN / GEMM_STEP };
    SHARED_DYNAMIC(shared);
    const gemm_work w = gemm_work_of(a, T::TILES, T::TOKENS);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row = warp % T::DOWN * T::I * 16, column = warp / T::DOWN * T::J * 8;
    const gemm_place place = {row + lane / 4, column / T::PIECES + lane % 4 * 2};
    float acc[T::I][T::J][4] = {}, span[T::SUMS];

    for (int step = 0; step < T::STAGES - 1; step++) {
        if (step < w.steps)
            load<T>(a, w, shared + step * T::STAGE, step);
        copy_commit(); // an empty group keeps the count
    }
    int stage = 0, next = T::STAGES - 1;
    for (int step = 0; step < w.steps; step++) {
        copy_wait<T::STAGES - 2>();
        __syncthreads();
        if (step + T::STAGES - 1 < w.steps)
            load<T>(a, w, shared + next * T::STAGE, step + T::STAGES - 1);
        copy_commit();
        stage_products<T>(acc, shared + stage * T::STAGE, row, column);
        next = stage;
        stage = stage + 1 == T::STAGES ? 0 : stage + 1;
        if ((step + 1) % CHUNK && step + 1 < w.steps)
            continue;
        gemm_fold<T::PIECES>((float(&)[T::SUMS])span, (float(&)[T::I * T::J][4]) acc,
                             step % SPAN < CHUNK);
#pragma unroll
        for (int i = 0; i < T::I; i++)
#pragma unroll
            for (int j = 0; j < T::J; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    acc[i][j][e] = 0.0f;
        if ((step + 1) % SPAN == 0 || step + 1 == w.steps)
            gemm_emit<T::I, T::J / T::PIECES, T::THREADS>(a, w, step < SPAN, span, place);
    }
    copy_wait<0>();
    if (a.parts == 1)
        return;
    SHARED(bool, last);
    __syncthreads();
    if (threadIdx.x == 0)
        last = last_block(&a.counter[w.place], a.parts);
    __syncthreads();
    if (last)
        gemm_combine<T::I, T::J / T::PIECES, T::THREADS>(a, w, place);
}

template <int TILES, int WIDTH, int PIECES>
static cudaError_t run(cudaStream_t stream, const gemm_args &a)
{
    typedef mma_tile<TILES, WIDTH, PIECES> T;
    const dim3 grid((unsigned)(a.row_blocks * a.token_blocks * a.parts));
    TRY_CUDA(cudaFuncSetAttribute(mma_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  T::SHARED_BYTES));
    return launch(mma_kernel<T>, grid, dim3(T::THREADS), T::SHARED_BYTES, stream, a);
}

cudaError_t gemm_mma(cudaStream_t stream, const gemm_args &a, const gemm_plan &plan, int pieces)
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
    PLAN(1, 24, 3)
    PLAN(1, 48, 3)
    PLAN(1, 96, 3)
    PLAN(2, 24, 3)
    PLAN(2, 48, 3)
    PLAN(2, 96, 3)
#undef PLAN
    return cudaErrorInvalidValue;
}
