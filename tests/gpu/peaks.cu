/* Peaks of a device by the simplest loops, as one JSON object:
 *
 *     build/tests/gpu_peaks           -- full size
 *     build/tests/gpu_peaks 0.001     -- that share of the work, as the emulator can bear it
 *
 * read and copy: bytes of device memory a second, a copy's counted twice. mma, wgmma: operations a
 * second, two of each multiply-add of bf16. Exit status 77: there is no device. */
#include "gpu/peaks.h"
#include <stdio.h>
#include <stdlib.h>

/* No step is collected here (tensor/cuda/step_launch.h). */
void *steps_put(cudaStream_t, const struct step_launch *)
{
    return NULL;
}
bool launches_early(void)
{
    return false;
}

enum { THREADS = 256, WARPS = THREADS / 32, ROUNDS = 7, I = 2, J = 8, FILL = 0x3c };

static __global__ void read_loop(uint4 *out, const uint4 *x, size_t count)
{
    uint4 all = make_uint4(0, 0, 0, 0);
    for (size_t i = blockIdx.x * (size_t)THREADS + threadIdx.x; i < count;
         i += gridDim.x * (size_t)THREADS) {
        const uint4 v = x[i];
        all = make_uint4(all.x ^ v.x, all.y ^ v.y, all.z ^ v.z, all.w ^ v.w);
    }
    out[blockIdx.x * (size_t)THREADS + threadIdx.x] = all;
}

static __global__ void copy_loop(uint4 *to, const uint4 *x, size_t count)
{
    for (size_t i = blockIdx.x * (size_t)THREADS + threadIdx.x; i < count;
         i += gridDim.x * (size_t)THREADS)
        to[i] = x[i];
}

static __global__ void __launch_bounds__(THREADS) mma_loop(float *out, int times)
{
    float sum[I][J][4];
    uint32_t a[I][4], b[J][2];
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            a[i][e] = 0x3c003c00u + threadIdx.x + i * 4 + e;
#pragma unroll
    for (int j = 0; j < J; j++)
        b[j][0] = 0x3c003c00u + threadIdx.x * 3 + j, b[j][1] = b[j][0] ^ 0x80000001u;
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int j = 0; j < J; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[i][j][e] = 0;
    for (int t = 0; t < times; t++)
        multiply(sum, a, b);
    float all = 0;
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int j = 0; j < J; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                all += sum[i][j][e];
    out[blockIdx.x * THREADS + threadIdx.x] = all;
}

double peak_mma_operations(int blocks, int times)
{
    return 2.0 * blocks * times * WARPS * I * J * 16 * 8 * 16;
}

cudaError_t peak_mma(cudaStream_t stream, float *out, int blocks, int times)
{
    return launch(mma_loop, dim3(blocks), dim3(THREADS), 0, stream, out, times);
}

struct peaks {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    int multiprocessors, sm;
    size_t bytes;
    int times, rounds;
    void *x, *y;
};

enum work { READ, COPY, MMA, WGMMA };

static cudaError_t start(const peaks &p, work what)
{
    const size_t count = p.bytes / sizeof(uint4);
    const dim3 grid(p.multiprocessors * 8), block(THREADS);
    switch (what) {
    case READ:
        return launch(read_loop, grid, block, 0, p.stream, (uint4 *)p.y, (const uint4 *)p.x, count);
    case COPY:
        return launch(copy_loop, grid, block, 0, p.stream, (uint4 *)p.y, (const uint4 *)p.x, count);
    case MMA:
        return peak_mma(p.stream, (float *)p.y, p.multiprocessors * 2, p.times);
    case WGMMA:
        return peak_wgmma(p.stream, (float *)p.y, p.multiprocessors, p.times);
    }
    return cudaErrorInvalidValue;
}

/* Seconds of the best of several. */
static cudaError_t best_of(const peaks &p, work what, double *ret)
{
    *ret = 1e9;
    for (int i = 0; i < p.rounds; i++) {
        float ms = 0;
        TRY_CUDA(cudaEventRecord(p.begin, p.stream));
        TRY_CUDA(start(p, what));
        TRY_CUDA(cudaEventRecord(p.end, p.stream));
        TRY_CUDA(cudaStreamSynchronize(p.stream));
        TRY_CUDA(cudaEventElapsedTime(&ms, p.begin, p.end));
        const double s = ms > 1e-6f ? ms * 1e-3 : 1e-9; // the emulator's events say 0
        *ret = s < *ret ? s : *ret;
    }
    return cudaSuccess;
}

static cudaError_t prepare(peaks *p, double share)
{
    int major = 0;
    TRY_CUDA(cudaDeviceGetAttribute(&p->multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    TRY_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    p->sm = major * 10;
    p->rounds = share < 1 ? 1 : ROUNDS;
    p->multiprocessors = share < 1 ? 2 : p->multiprocessors;
    p->bytes = (size_t)(share * (4ull << 30)) / 4096 * 4096;
    p->times = (int)(share * 100000) + 1;
    const size_t least = (size_t)p->multiprocessors * 8 * THREADS * sizeof(uint4);
    p->bytes = p->bytes > least ? p->bytes : least;
    TRY_CUDA(cudaStreamCreateWithFlags(&p->stream, cudaStreamNonBlocking));
    TRY_CUDA(cudaEventCreateWithFlags(&p->begin, 0));
    TRY_CUDA(cudaEventCreateWithFlags(&p->end, 0));
    TRY_CUDA(cudaMalloc(&p->x, p->bytes));
    TRY_CUDA(cudaMalloc(&p->y, p->bytes));
    TRY_CUDA(cudaMemsetAsync(p->x, FILL, p->bytes, p->stream));
    return cudaMemsetAsync(p->y, 0, p->bytes, p->stream);
}

/* Whether all of y is what was copied there. */
static cudaError_t check_copy(const peaks &p, bool *ret)
{
    unsigned char *got = (unsigned char *)malloc(p.bytes);
    const cudaError_t error = cudaMemcpy(got, p.y, p.bytes, cudaMemcpyDeviceToHost);
    *ret = true;
    for (size_t i = 0; i < p.bytes; i++)
        *ret = *ret && got[i] == FILL;
    free(got);
    return error;
}

static cudaError_t measure(const peaks &p)
{
    bool copied = false;
    double read = 0, copy = 0, mma = 0, wgmma = 0;
    TRY_CUDA(best_of(p, READ, &read));
    TRY_CUDA(best_of(p, COPY, &copy));
    TRY_CUDA(check_copy(p, &copied));
    if (!copied)
        return cudaErrorUnknown;
    TRY_CUDA(best_of(p, MMA, &mma));
    printf("{\"bench\": \"gpu_peaks\", \"sm\": %d, \"multiprocessors\": %d, \"bytes\": %zu, "
           "\"read_bytes_per_s\": %.4g, \"copy_bytes_per_s\": %.4g, \"mma_flops\": %.4g",
           p.sm, p.multiprocessors, p.bytes, (double)p.bytes / read, 2.0 * (double)p.bytes / copy,
           peak_mma_operations(p.multiprocessors * 2, p.times) / mma);
    if (p.sm == 90) {
        TRY_CUDA(best_of(p, WGMMA, &wgmma));
        printf(", \"wgmma_flops\": %.4g",
               peak_wgmma_operations(p.multiprocessors, p.times) / wgmma);
    }
    printf("}\n");
    return cudaSuccess;
}

int main(int argc, char **argv)
{
    const double share = argc > 1 ? strtod(argv[1], NULL) : 1;
    int devices = 0;
    peaks p = {};
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices < 1) {
        printf("skipped: there is no GPU\n");
        return 77;
    }
    if (!(share > 0 && share <= 1)) {
        fprintf(stderr, "gpu_peaks: share '%s' is not above 0 and at most 1\n", argv[1]);
        return 2;
    }
    cudaError_t error = prepare(&p, share);
    if (error == cudaSuccess)
        error = measure(p);
    if (error != cudaSuccess)
        fprintf(stderr, "gpu_peaks: %s\n", cudaGetErrorString(error));
    return error != cudaSuccess;
}
