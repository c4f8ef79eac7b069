/* The products of gemm.cu for Hopper, by the same chain: a block of 128 outputs by TOK tokens; one thread feeds a ring of stages
 * through the copy engine, eight warps multiply by wgmma. Every number of tokens runs the same instruction but for its width.
 *
 * Both sides lie in memory as the tensor cores want them in shared memory, so that a stage is two plain copies and no tensor maps
 * are needed: atoms of 8 rows by 64 of K (1024 bytes), [K/64][rows/8], piece c of row r at c ^ r. Weights are packed so when they
 * come; activations by who makes them. */
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/device.h"
#include "tensor/cuda/hopper.h"

enum { OUT = 128, STAGES = 4, CONSUMERS = 8, THREADS = 32 * CONSUMERS + 128, ATOM = 1024 };

__global__ void pack_kernel(unsigned char *to, const bf16 *from, int rows, int all, int K)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x, r = i / (K / 8), c = i % (K / 8);
    if (r >= all)
        return;
    const uint4 piece = r < rows ? *(const uint4 *)(from + (size_t)r * K + c * 8) : make_uint4(0, 0, 0, 0);
    *(uint4 *)(to + ((size_t)(c / 8) * (all / 8) + r / 8) * ATOM + r % 8 * 128 + ((c ^ r) & 7) * 16) = piece;
}

enum how { WHOLE, PART };
struct sides {
    const unsigned char *w, *x;
    int w_atoms, x_atoms; // for each 64 of K
    int N, T, K;
};

template <int TOK> constexpr int stage_bytes = (OUT + TOK) * 128;

__device__ __forceinline__ void feed(const sides &s, unsigned char *shared, uint64_t *full, uint64_t *empty, int tok, int first, int steps)
{
    const int bytes = (OUT + tok) * 128;
    for (int step = 0; step < steps; step++) {
        const int stage = step % STAGES;
        unsigned char *to = shared + stage * bytes;
        if (step >= STAGES)
            barrier_wait(&empty[stage], (step / STAGES - 1) & 1); // BUG_NO_EMPTY
        barrier_expect(&full[stage], bytes);
        copy_bulk(to, s.w + ((size_t)(first + step) * s.w_atoms + blockIdx.x * (OUT / 8)) * ATOM, OUT * 128, &full[stage]);
        copy_bulk(to + OUT * 128, s.x + ((size_t)(first + step) * s.x_atoms + blockIdx.y * (tok / 8)) * ATOM, tok * 128, &full[stage]);
    }
}

/* Sums of the warp's 16 outputs (of 64 of its four warps) by TOK tokens. */
template <int TOK>
__device__ __forceinline__ void consume(float (&total)[TOK / 8][4], unsigned char *shared, uint64_t *full, uint64_t *empty, int warp, int steps)
{
    const int lane = threadIdx.x % 32;
    float acc[TOK / 8][4];
    for (int begin = 0; begin < steps; begin += K_CHUNK / K_STEP) {
        const int end = begin + K_CHUNK / K_STEP < steps ? begin + K_CHUNK / K_STEP : steps;
        for (int step = begin; step < end; step++) {
            const int stage = step % STAGES;
            const unsigned char *at = shared + stage * stage_bytes<TOK>;
            barrier_wait(&full[stage], step / STAGES & 1); // BUG_NO_FULL
            wgmma_fence();
#pragma unroll
            for (int k16 = 0; k16 < K_STEP / 16; k16++)
                wgmma<TOK>(acc, side(at + warp / 4 * 64 * 128, k16 * 32), side(at + OUT * 128, k16 * 32), step > begin || k16);
            wgmma_commit();
            wgmma_wait<1>(); // what was issued a step ago is done: its stage is free
            if (lane == 0 && step > begin)
                barrier_arrive(&empty[(step - 1) % STAGES]);
        }
        wgmma_wait<0>(); // BUG_NO_WGMMA_WAIT
        if (lane == 0)
            barrier_arrive(&empty[(end - 1) % STAGES]);
#pragma unroll
        for (int j = 0; j < TOK / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                total[j][e] = begin ? __fadd_rn(total[j][e], acc[j][e]) : acc[j][e];
    }
}

template <int TOK, how HOW> __global__ void __launch_bounds__(THREADS, 1) hopper_kernel(float *y, const sides s, bool accumulate)
{
    SHARED_DYNAMIC(shared);
    SHARED(uint64_t[STAGES], full);
    SHARED(uint64_t[STAGES], empty);
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0), lane = threadIdx.x % 32; // the compiler sees: uniform
    const int first = HOW == PART ? blockIdx.z * (K_CHUNK / K_STEP) : 0, all = s.K / K_STEP;
    const int steps = HOW == PART && all - first > K_CHUNK / K_STEP ? K_CHUNK / K_STEP : all - first;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(&full[i], 1);
            barrier_init(&empty[i], CONSUMERS);
        }
        barrier_init_fence();
    }
    __syncthreads();
    if (warp >= CONSUMERS) {
        registers_give<24>();
        if (threadIdx.x == 32 * CONSUMERS)
            feed(s, shared, full, empty, TOK, first, steps);
    } else {
        registers_take<240>();
        float total[TOK / 8][4];
        consume<TOK>(total, shared, full, empty, warp, steps);
        y += HOW == PART ? blockIdx.z * (size_t)s.N * s.T : 0;
#pragma unroll
        for (int j = 0; j < TOK / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int out = blockIdx.x * OUT + warp * 16 + lane / 4 + e / 2 * 8;
                const int token = blockIdx.y * TOK + j * 8 + lane % 4 * 2 + e % 2;
                if (out < s.N && token < s.T) {
                    float *at = y + (size_t)token * s.N + out;
                    *at = HOW == WHOLE && accumulate ? __fadd_rn(*at, total[j][e]) : total[j][e];
                }
            }
    }
}

/* ---- host */

static int width_of(int T)
{
    return T <= 8 ? 8 : T <= 16 ? 16 : T <= 32 ? 32 : T <= 64 ? 64 : 128;
}
static int rounded(int n, int to)
{
    return (n + to - 1) / to * to;
}

size_t tiles_bytes(int rows, int K, bool weights)
{
    return (size_t)rounded(rows, weights ? (int)OUT : width_of(rows)) * K * 2;
}

cudaError_t tiles_pack(cudaStream_t stream, void *to, const bf16 *from, int rows, int K, bool weights)
{
    const int all = rounded(rows, weights ? (int)OUT : width_of(rows)), pieces = all * (K / 8);
    if (K % K_STEP)
        return cudaErrorInvalidValue;
    return launch(pack_kernel, dim3((pieces + 255) / 256), dim3(256), 0, stream, (unsigned char *)to, from, rows, all, K);
}

template <int TOK> static cudaError_t run(cudaStream_t stream, float *y, const sides &s, bool accumulate, float *workspace)
{
    const int parts = (s.K + K_CHUNK - 1) / K_CHUNK, bytes = STAGES * stage_bytes<TOK>;
    const dim3 grid(s.w_atoms / (OUT / 8), s.x_atoms / (TOK / 8), TOK <= 32 ? parts : 1);
    constexpr how HOW = TOK > 32 ? WHOLE : PART;
    TRY_CUDA(cudaFuncSetAttribute(hopper_kernel<TOK, HOW>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    TRY_CUDA(launch(hopper_kernel<TOK, HOW>, grid, dim3(THREADS), bytes, stream, HOW == WHOLE ? y : workspace, s, accumulate));
    return HOW == WHOLE ? cudaSuccess : combine_parts(stream, y, workspace, (size_t)s.T * s.N, parts, accumulate);
}

cudaError_t matmul_tiles(cudaStream_t stream, float *y, const void *x, const void *w, int M, int N, int K, bool accumulate, float *workspace)
{
    const sides s = {(const unsigned char *)w, (const unsigned char *)x, rounded(N, OUT) / 8, rounded(M, width_of(M)) / 8, N, M, K};
    switch (width_of(M)) {
    case 8:
        return run<8>(stream, y, s, accumulate, workspace);
    case 16:
        return run<16>(stream, y, s, accumulate, workspace);
    case 32:
        return run<32>(stream, y, s, accumulate, workspace);
    case 64:
        return run<64>(stream, y, s, accumulate, workspace);
    default:
        return run<128>(stream, y, s, accumulate, workspace);
    }
}
