/* Around attention: rows into pages, copies of pages, the rotation of heads. */
#include "tensor/cuda/attention_tile.h"

enum { THREADS = 128 };

/* A block for each (segment, page, kv head): the call's rows that are positions of this page. In
 * own pages those before the segment's are rows of its prefix. */
__global__ void __launch_bounds__(THREADS) attention_fill_kernel(attention_call a, int width)
{
    early_begin();
    const attention_item item = a.fill[blockIdx.x];
    const attention_segment &s = a.segment[item.segment];
    const int head = blockIdx.y, pieces = width / 8, position0 = item.tile * PAGE_KEYS;
    const int begin = s.keys ? max(s.start - position0, 0) : 0;
    const int end = min(s.start + s.count - position0, (int)PAGE_KEYS);
    bf16 *keys = s.keys ? (bf16 *)s.keys + a.layer * s.layer : (bf16 *)a.own;
    keys += ((size_t)a.page[s.page + item.tile] * a.K + head) * PAGE_KEYS * width;
    for (int i = begin * pieces + threadIdx.x; i < end * pieces; i += THREADS) {
        const int position = position0 + i / pieces, c = i % pieces;
        const size_t row = position < s.start ? s.prefix + position : s.first + position - s.start;
        const size_t from = (row * a.K + head) * a.D;
        *(uint4 *)(keys + (size_t)i * 8) = eight_of(a.k + from, c, a.D, a.aligned);
        *(uint4 *)(keys + s.values + (size_t)i * 8) = eight_of(a.v + from, c, a.D, a.aligned);
    }
}

static cudaError_t attention_run_fill(cudaStream_t stream, const attention_call *call)
{
    if (!call->fills)
        return cudaSuccess;
    return launch_early(attention_fill_kernel, dim3(call->fills, call->K), dim3(THREADS), 0, stream,
                        *call, attention_width(call->D));
}

cudaError_t attention_run(cudaStream_t stream, const attention_call *call)
{
    TRY_CUDA(attention_run_fill(stream, call));
    TRY_CUDA(attention_run_walk(stream, call));
    return attention_run_split(stream, call);
}

__global__ void __launch_bounds__(THREADS)
    copy_page_kernel(uint16_t *memory, int pages, size_t elements, int dst, int src)
{
    uint16_t *array = memory + (size_t)blockIdx.y * pages * elements;
    const size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * 8;
    if (at < elements)
        *(uint4 *)(array + dst * elements + at) = *(const uint4 *)(array + src * elements + at);
}

cudaError_t attention_copy_page(cudaStream_t stream, uint16_t *memory, int count, int pages,
                                size_t elements, int dst, int src)
{
    if (dst == src)
        return cudaSuccess;
    return launch(copy_page_kernel, dim3((unsigned)((elements / 8 + THREADS - 1) / THREADS), count),
                  dim3(THREADS), 0, stream, memory, pages, elements, dst, src);
}

/* A thread for each pair (d, d + R/2). a' = a cos - b sin, b' = b cos + a sin; the product with sin
 * is rounded first, then the fma: the CPU's chain. */
__global__ void __launch_bounds__(THREADS)
    rotary_kernel(float *x, const int32_t *position, const float *cos, const float *sin, int heads,
                  int D, int half, float direction)
{
    early_begin();
    const int i = blockIdx.y * THREADS + threadIdx.x;
    if (i >= heads * half)
        return;
    const int d = i % half;
    float *at = x + ((size_t)blockIdx.x * heads + i / half) * D + d;
    const size_t angle = (size_t)position[blockIdx.x] * half + d;
    const float a = at[0], b = at[half], c = cos[angle], s = __fmul_rn(sin[angle], direction);
    at[0] = __fmaf_rn(a, c, -__fmul_rn(b, s));
    at[half] = __fmaf_rn(b, c, __fmul_rn(a, s));
}

cudaError_t rotary(cudaStream_t stream, float *x, const int32_t *position, const float *cos,
                   const float *sin, int N, int heads, int D, int R, bool inverse)
{
    if (!N || !heads)
        return cudaSuccess;
    return launch_early(rotary_kernel, dim3(N, (heads * (R / 2) + THREADS - 1) / THREADS),
                        dim3(THREADS), 0, stream, x, position, cos, sin, heads, D, R / 2,
                        inverse ? -1.0f : 1.0f);
}
