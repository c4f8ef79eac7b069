/* The products of gemm.h and gemm_backward.h by mma.sync. W's rows are the 16 of an instruction,
 * its 8 columns are rows of x. A stage is what cp.async brings: pieces of 16 bytes, copied as they
 * lie, since packed memory has the order that ldmatrix reads without meeting a bank twice. */
#include "tensor/cuda/gemm_walk.h"

template <gemm_way WAY_, int TILES_, int WIDTH_, int PIECES_>
struct mma_tile : gemm_shape<WAY_, TILES_, WIDTH_, PIECES_> {
    typedef gemm_shape<WAY_, TILES_, WIDTH_, PIECES_> S;
    enum {
        TILES = TILES_,
        WIDTH = WIDTH_,
        THREADS = 128 * TILES,
        /* Warps beside each other in x; a warp multiplies 16 I rows of W by 8 J columns. */
        ACROSS = WIDTH == 128 ? 4 : 1,
        DOWN = 4 * TILES / ACROSS,
        I = 4 * TILES / DOWN,
        J = WIDTH / 8 / ACROSS,
        BLOCKS = WIDTH == 128 || (TILES == 2 && WIDTH >= 64) ? 1 : 2, // on a processor
        ROOM = (BLOCKS == 1 ? 98 : 49) * 1024,
        FIT = ROOM / S::STAGE,
        STAGES = FIT < 3   ? 3
                 : FIT < 6 ? FIT
                           : 6,
        SHARED_BYTES = STAGES * S::STAGE,
        SUMS = I * (J / PIECES_) * 4
    };
    static_assert((int)SHARED_BYTES <= 99 * 1024, "what every processor from sm_80 on has");
};

/* Rows that the piece lacks become zeros. */
template <int ROWS, int THREADS>
static __device__ __forceinline__ void load_piece(unsigned char *to, gemm_piece p)
{
#pragma unroll
    for (int i = threadIdx.x; i < ROWS * 8; i += THREADS)
        copy_async(to + i * 16, i < p.rows * 8 ? p.from + i * 16 : p.from, i < p.rows * 8);
}

template <class T>
static __device__ __forceinline__ void load_tiles(const gemm_args &a, const gemm_work &w,
                                                  unsigned char *stage, const gemm_walk<T::WAY> &at)
{
#pragma unroll
    for (int t = 0; t < T::TILES; t++)
        load_piece<GEMM_TILE, T::THREADS>(stage + t * GEMM_TILE * 128,
                                          gemm_rows_of<T>(a, w, at, t));
}

template <class T>
static __device__ __forceinline__ void load_blocks(const gemm_args &a, const gemm_work &w,
                                                   unsigned char *stage,
                                                   const gemm_walk<T::WAY> &at)
{
#pragma unroll
    for (int b = 0; b < T::COLUMN_BLOCKS; b++)
        load_piece<T::COLUMN_ROWS, T::THREADS>(stage + T::COLUMNS_AT + b * T::COLUMN_ROWS * 128,
                                               gemm_columns_of<T>(a, w, at, b));
}

/* Sixteen rows of outputs from `row` on. */
template <bool ACROSS>
static __device__ __forceinline__ void load_rows(uint32_t (&a)[4], const unsigned char *rows,
                                                 int row, int k16)
{
    const int lane = threadIdx.x % 32;
    if (ACROSS)
        load_matrix_trans(a, rows + row / GEMM_TILE * GEMM_TILE * 128 +
                                 swizzle<8>(k16 * 16 + lane % 8 + lane / 16 * 8,
                                            row % GEMM_TILE / 8 + lane / 8 % 2) *
                                     16);
    else
        load_matrix(a, rows + swizzle<8>(row + lane % 16, k16 * 2 + lane / 16) * 16);
}

/* Sixteen columns of outputs from `column` on; the first eight twice if there are no others. */
template <bool ACROSS>
static __device__ __forceinline__ void load_columns(uint32_t (&b)[4], const unsigned char *columns,
                                                    int column, int k16, bool alone)
{
    const int lane = threadIdx.x % 32;
    if (ACROSS)
        load_matrix_trans(
            b, columns + column / GEMM_TILE * GEMM_TILE * 128 +
                   swizzle<8>(k16 * 16 + lane % 16, column % GEMM_TILE / 8 + lane / 16) * 16);
    else
        load_matrix(b, columns + swizzle<8>(column + lane % 8 + (alone ? 0 : lane / 16 * 8),
                                            k16 * 2 + lane / 8 % 2) *
                                     16);
}

/* acc += the products of one stage. */
template <class T>
static __device__ __forceinline__ void stage_products(float (&acc)[T::I][T::J][4],
                                                      const unsigned char *stage, int row,
                                                      int column, int cores)
{
#pragma unroll
    for (int k16 = 0; k16 < GEMM_STEP / GEMM_CORE; k16++) {
        if (T::WAY != GEMM_ALONG && k16 >= cores)
            return;
        uint32_t a[T::I][4], b[T::J][2];
#pragma unroll
        for (int i = 0; i < T::I; i++)
            load_rows<T::ROWS_ACROSS>(a[i], stage, row + i * 16, k16);
#pragma unroll
        for (int j = 0; j < T::J; j += 2) { // two columns' worth at a time; the last may be alone
            uint32_t two[4];
            load_columns<T::COLUMNS_ACROSS>(two, stage + T::COLUMNS_AT, column + j * 8, k16,
                                            j + 1 == T::J);
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
    enum { ROWS = T::I, COLUMNS = T::J / T::PIECES };
    SHARED_DYNAMIC(shared);
    const gemm_work w = gemm_work_of<T::WAY>(a, T::TILES, T::TOKENS);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row = warp % T::DOWN * T::I * 16, column = warp / T::DOWN * T::J * 8;
    const gemm_place place = {row + lane / 4, column / T::PIECES + lane % 4 * 2};
    float acc[T::I][T::J][4] = {}, span[T::SUMS];
    if (T::WAY != GEMM_ALONG)
        early_begin();
    gemm_walk<T::WAY> at(a, w), ahead = at;
    /* The forward's W stays as it is: some of it comes while the kernel before this one ends. */
    for (int i = 0; T::WAY == GEMM_ALONG && i < T::STAGES - 1 && ahead.more(w); i++) {
        load_tiles<T>(a, w, shared + i * T::STAGE, ahead);
        ahead.next(a, w);
    }
    if (T::WAY == GEMM_ALONG)
        early_begin();
    gemm_begin<T::WAY, ROWS, COLUMNS>(a, w, span, place);

    ahead = at;
    for (int i = 0; i < T::STAGES - 1; i++) {
        if (ahead.more(w)) {
            if (T::WAY != GEMM_ALONG)
                load_tiles<T>(a, w, shared + i * T::STAGE, ahead);
            load_blocks<T>(a, w, shared + i * T::STAGE, ahead);
            ahead.next(a, w);
        }
        copy_commit(); // an empty group keeps the count
    }
    int stage = 0, next = T::STAGES - 1;
    for (; at.more(w); at.next(a, w)) {
        copy_wait<T::STAGES - 2>();
        __syncthreads();
        if (ahead.more(w)) {
            load_tiles<T>(a, w, shared + next * T::STAGE, ahead);
            load_blocks<T>(a, w, shared + next * T::STAGE, ahead);
            ahead.next(a, w);
        }
        copy_commit();
        stage_products<T>(acc, shared + stage * T::STAGE, row, column, at.cores());
        next = stage;
        stage = stage + 1 == T::STAGES ? 0 : stage + 1;
        if (!at.ends_chunk())
            continue;
        gemm_fold<T::PIECES>((float(&)[T::SUMS])span, (float(&)[T::I * T::J][4]) acc,
                             gemm_begins_span<T::WAY>(a, at.chunk));
#pragma unroll
        for (int i = 0; i < T::I; i++)
#pragma unroll
            for (int j = 0; j < T::J; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    acc[i][j][e] = 0.0f;
        if (gemm_ends_span<T::WAY>(w, at.chunk))
            gemm_emit<ROWS, COLUMNS, T::THREADS>(a, w, gemm_adds<T::WAY>(a, at.chunk), span, place);
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
        gemm_combine<ROWS, COLUMNS, T::THREADS>(a, w, place);
}

template <gemm_way WAY, int TILES, int WIDTH, int PIECES>
static cudaError_t run(cudaStream_t stream, const gemm_args &a)
{
    typedef mma_tile<WAY, TILES, WIDTH, PIECES> T;
    const dim3 grid((unsigned)(a.row_blocks * a.token_blocks * a.parts));
    TRY_CUDA(cudaFuncSetAttribute(mma_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  T::SHARED_BYTES));
    return launch_early(mma_kernel<T>, grid, dim3(T::THREADS), T::SHARED_BYTES, stream, a);
}

cudaError_t gemm_mma(cudaStream_t stream, const gemm_args &a, const gemm_plan &plan, gemm_way way,
                     int pieces)
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
    PLAN(GEMM_ALONG, 1, 24, 3)
    PLAN(GEMM_ALONG, 1, 48, 3)
    PLAN(GEMM_ALONG, 1, 96, 3)
    PLAN(GEMM_ALONG, 2, 24, 3)
    PLAN(GEMM_ALONG, 2, 48, 3)
    PLAN(GEMM_ALONG, 2, 96, 3)
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
