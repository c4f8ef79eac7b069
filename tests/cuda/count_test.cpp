/* Bytes of device memory and operations of tensor cores by kernel, where they are known. */
#include "cuda_emu_count.h"
#include "tensor/cuda/device.h"
#include "tensor/cuda/hopper.h"
#include "test.h"

enum { N = 1024 };

/* Reads every `step`th float twice, and writes it once. */
__global__ void twice(float *y, const float *x, int step)
{
    const int i = threadIdx.x * step;
    y[i] = x[i] + ((const volatile float *)x)[i];
}

/* Bulk copies and cp.async into shared memory; one thread writes 4 bytes. */
__global__ void into_shared(float *y, const float *x)
{
    SHARED_DYNAMIC(shared);
    SHARED(uint64_t, full);
    if (threadIdx.x == 0) {
        barrier_init(&full, 1);
        barrier_expect(&full, 1024);
        copy_bulk(shared, x, 1024, &full);
    }
    copy_async(shared + 1024 + threadIdx.x * 16, x + 256 + threadIdx.x * 4, threadIdx.x < 16);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    barrier_wait(&full, 0);
    if (threadIdx.x == 0)
        y[0] = ((float *)shared)[0] + ((float *)shared)[256];
}

/* Two products of 32 rows by 16 columns in each of two warps. */
__global__ void by_mma(float *y)
{
    float c[2][2][4] = {};
    const uint32_t a[2][4] = {}, b[2][2] = {};
    multiply(c, a, b);
    multiply(c, a, b);
    y[threadIdx.x] = c[0][0][0];
}

/* 64 rows by 24 columns, four times 16 steps. */
__global__ void by_wgmma(float *y)
{
    SHARED_DYNAMIC(shared);
    float d[3][4];
    for (int i = threadIdx.x; i < (64 + 24) * 32; i += 128)
        ((float *)shared)[i] = 0;
    proxy_fence();
    __syncthreads();
    wgmma_fence();
    for (int k = 0; k < 4; k++)
        wgmma<24>(d, side(shared, k * 32), side(shared + 8192, k * 32), k > 0);
    wgmma_commit();
    wgmma_wait<0>();
    y[threadIdx.x] = d[0][0];
}

static const cuda_emu_count &row(const cuda_emu_count *rows, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(rows[i].name, name))
            return rows[i];
    fail_msg("no row is named %s", name);
}

static void known_counts(void **)
{
    cuda_emu_count rows[10];
    if (!emu::checked)
        skip();
    device<float> x(floats(N, 1, 1)), y(N);
    cuda_emu_count_begin();
    y.put(floats(N, 1, 2));
    assert_cuda(launch(twice, dim3(1), dim3(128), 0, NULL, y, x, 1));
    assert_cuda(launch(twice, dim3(1), dim3(128), 0, NULL, y, x, 8));
    assert_cuda(launch(into_shared, dim3(1), dim3(32), 2048, NULL, y, x));
    assert_cuda(launch(by_mma, dim3(3), dim3(64), 0, NULL, y));
    assert_cuda(launch(by_wgmma, dim3(1), dim3(128), 8192 + 3072, NULL, y));
    (void)y.get();
    const size_t count = cuda_emu_count_end(rows, 10);
    assert_int_equal(count, 6);
    assert_int_equal(row(rows, count, "by_mma").flops, 3 * 2 * 2 * (2 * 32 * 16 * 16));
    assert_int_equal(row(rows, count, "by_wgmma").flops, 2 * 64 * 24 * 64);
    const cuda_emu_count &a = row(rows, count, "twice"), &b = row(rows, count, "into_shared");
    assert_int_equal(a.launches, 2);
    assert_int_equal(a.flops, 0);
    assert_int_equal(a.read, 2 * 128 * 8);
    assert_int_equal(a.written, 2 * 128 * 4);
    assert_int_equal(a.unique_read, 128 * 4 + 128 * 32);
    assert_int_equal(a.unique_written, 128 * 4 + 128 * 32);
    assert_int_equal(b.read, 1024 + 256);
    assert_int_equal(b.unique_read, 1024 + 256);
    assert_int_equal(b.written, 4);
    assert_int_equal(b.unique_written, 32);
    assert_int_equal(row(rows, count, "cudaMemcpy to the device").written, N * 4);
    assert_int_equal(row(rows, count, "cudaMemcpy to the host").read, N * 4);
}

TESTS(cmocka_unit_test(known_counts))
