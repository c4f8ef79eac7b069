/* The products of the backward by mma.sync, dx = dy W and dw += dy^T x: each sum is one chain of
 * steps of 16. */
#include "tensor/cuda/device.h"
#include "tensor/cuda/kernels.h"

/* P: the 16-side (OUT of them a block), Q: the 8-side (TOK). Each is in memory with its rows along
 * K, or across it. */
enum side { ALONG_K, ACROSS_K };

struct chain_product {
    const bf16 *p, *q;
    int outs, tokens, K; // how many there are
    float *y;            // y[token * y_token + out * y_out]
    size_t y_token, y_out;
    bool accumulate;
};

template <int OUT_, int TOK_, int WARPS_OUT_, int WARPS_TOK_, int STAGES_, side P_, side Q_>
struct tile {
    enum {
        OUT = OUT_,
        TOK = TOK_,
        WARPS_OUT = WARPS_OUT_,
        WARPS_TOK = WARPS_TOK_,
        STAGES = STAGES_
    };
    static constexpr side P = P_, Q = Q_;
    enum {
        THREADS = 32 * WARPS_OUT * WARPS_TOK,
        I = OUT / WARPS_OUT / 16,
        J = TOK / WARPS_TOK / 8,
        P_BYTES = OUT * K_STEP * 2,
        Q_BYTES = TOK * K_STEP * 2,
        STAGE_BYTES = P_BYTES + Q_BYTES,
        SHARED_BYTES = STAGES * STAGE_BYTES
    };
};

/* One side's tile of K_STEP steps from k on, up to `end`: rows of K_STEP, or K_STEP rows. Places
 * outside are zeros. */
template <int WIDTH, side S, int THREADS>
__device__ __forceinline__ void load_side(unsigned char *to, const bf16 *from, int first, int count,
                                          int k, int end, int K)
{
    constexpr int rows = S == ALONG_K ? WIDTH : (int)K_STEP,
                  pieces = (S == ALONG_K ? (int)K_STEP : WIDTH) / 8;
#pragma unroll
    for (int i = threadIdx.x; i < rows * pieces; i += THREADS) {
        const int r = i / pieces, c = i % pieces;
        const int outer = S == ALONG_K ? first + r : k + r,
                  inner = (S == ALONG_K ? k : first) + c * 8;
        const bool inside =
            S == ALONG_K ? outer < count && inner < end : outer < end && inner < count;
        const bf16 *at = from + (size_t)outer * (S == ALONG_K ? K : count) + inner;
        copy_async(to + swizzle<pieces>(r, c) * 16, inside ? at : from, inside);
    }
}

/* Sixteen steps from k16 * 16 on. a: rows row.. of P's tile. */
template <class T>
__device__ __forceinline__ void load_p(uint32_t (&a)[4], const unsigned char *tile, int row,
                                       int k16)
{
    const int lane = threadIdx.x % 32;
    if (T::P == ALONG_K)
        load_matrix(a, tile + swizzle<K_STEP / 8>(row + lane % 16, k16 * 2 + lane / 16) * 16);
    else
        load_matrix_trans(a, tile + swizzle<T::OUT / 8>(k16 * 16 + lane % 8 + lane / 16 * 8,
                                                        row / 8 + lane / 8 % 2) *
                                        16);
}
template <class T>
__device__ __forceinline__ void load_q(uint32_t (&b)[4], const unsigned char *tile, int column,
                                       int k16)
{
    const int lane = threadIdx.x % 32;
    if (T::Q == ALONG_K)
        load_matrix(b, tile + swizzle<K_STEP / 8>((column + lane % 8 + lane / 16 * 8) % T::TOK,
                                                  k16 * 2 + lane / 8 % 2) *
                                  16);
    else
        load_matrix_trans(b, tile + swizzle<T::TOK / 8>(k16 * 16 + lane % 16,
                                                        (column / 8 + lane / 16) % (T::TOK / 8)) *
                                        16);
}

/* acc += the products of one stage. */
template <class T>
__device__ __forceinline__ void stage_products(float (&acc)[T::I][T::J][4],
                                               const unsigned char *stage)
{
    const int warp = threadIdx.x / 32, row = warp % T::WARPS_OUT * T::I * 16,
              column = warp / T::WARPS_OUT * T::J * 8;
#pragma unroll
    for (int k16 = 0; k16 < K_STEP / 16; k16++) {
        uint32_t a[T::I][4], b[T::J][2];
#pragma unroll
        for (int i = 0; i < T::I; i++)
            load_p<T>(a[i], stage, row + i * 16, k16);
#pragma unroll
        for (int j = 0; j < T::J; j += 2) { // two columns' worth at a time; the last may be alone
            uint32_t two[4];
            load_q<T>(two, stage + T::P_BYTES, column + j * 8, k16);
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

template <class T, class F> __device__ __forceinline__ void each_output(const chain_product &g, F f)
{
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int out0 = blockIdx.x * T::OUT + warp % T::WARPS_OUT * T::I * 16 + lane / 4;
    const int token0 = blockIdx.y * T::TOK + warp / T::WARPS_OUT * T::J * 8 + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < T::I; i++)
#pragma unroll
        for (int j = 0; j < T::J; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int out = out0 + i * 16 + e / 2 * 8, token = token0 + j * 8 + e % 2;
                if (out < g.outs && token < g.tokens)
                    f(i, j, e, out, token);
            }
}

/* One chain on from y. */
template <class T> __global__ void __launch_bounds__(T::THREADS) chain_kernel(const chain_product g)
{
    SHARED_DYNAMIC(shared);
    const int steps = (g.K + K_STEP - 1) / K_STEP;
    float acc[T::I][T::J][4] = {};
    if (g.accumulate)
        each_output<T>(g, [&](int i, int j, int e, int out, int token) {
            acc[i][j][e] = g.y[token * g.y_token + out * g.y_out];
        });

    auto load = [&](int step) {
        unsigned char *stage = shared + step % T::STAGES * T::STAGE_BYTES;
        if (step < steps) {
            load_side<T::OUT, T::P, T::THREADS>(stage, g.p, blockIdx.x * T::OUT, g.outs,
                                                step * K_STEP, g.K, g.K);
            load_side<T::TOK, T::Q, T::THREADS>(stage + T::P_BYTES, g.q, blockIdx.y * T::TOK,
                                                g.tokens, step * K_STEP, g.K, g.K);
        }
        copy_commit(); // an empty group keeps the count
    };
    for (int step = 0; step < T::STAGES - 1; step++)
        load(step);
    for (int step = 0; step < steps; step++) {
        copy_wait<T::STAGES - 2>();
        __syncthreads();
        load(step + T::STAGES - 1);
        stage_products<T>(acc, shared + step % T::STAGES * T::STAGE_BYTES);
    }
    copy_wait<0>();
    each_output<T>(g, [&](int i, int j, int e, int out, int token) {
        g.y[token * g.y_token + out * g.y_out] = acc[i][j][e];
    });
}

template <class T> static cudaError_t run(cudaStream_t stream, const chain_product &g)
{
    const dim3 grid((g.outs + T::OUT - 1) / T::OUT, (g.tokens + T::TOK - 1) / T::TOK);
    TRY_CUDA(cudaFuncSetAttribute(chain_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  T::SHARED_BYTES));
    return launch(chain_kernel<T>, grid, dim3(T::THREADS), T::SHARED_BYTES, stream, g);
}

typedef tile<64, 64, 2, 2, 3, ACROSS_K, ALONG_K> dx_tile;
cudaError_t matmul_dx(cudaStream_t stream, float *dx, const bf16 *dy, const bf16 *w, int M, int N,
                      int K, bool accumulate)
{
    if (N % 8 || K % 8)
        return cudaErrorInvalidValue;
    const chain_product g = {w, dy, K, M, N, dx, (size_t)K, 1, accumulate};
    return run<dx_tile>(stream, g);
}

typedef tile<64, 64, 2, 2, 3, ACROSS_K, ACROSS_K> dw_tile;
cudaError_t matmul_dw(cudaStream_t stream, float *dw, const bf16 *dy, const bf16 *x, int M, int N,
                      int K)
{
    if (N % 8 || K % 8)
        return cudaErrorInvalidValue;
    const chain_product g = {dy, x, N, K, M, dw, 1, (size_t)K, true};
    return run<dw_tile>(stream, g);
}
