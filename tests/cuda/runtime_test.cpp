/* The emulator's runtime: devices that are absent, small or lost, calls of several threads, and
 * mistakes that it must name. */
#include "test.h"
#include <pthread.h>

/* The environment of whoever opens the device next. */
static cudaError_t opened_with(const char *name, const char *value)
{
    int count = -1;
    setenv(name, value, 1);
    const cudaError_t error = cudaGetDeviceCount(&count);
    assert_int_equal(count, error ? 0 : 1);
    return error;
}

static void memory_runs_out(void **)
{
    void *some, *more;
    size_t left, all;
    assert_cuda(opened_with("CUDA_EMU_MEMORY", "1000000"));
    assert_cuda(cudaMalloc(&some, 600000));
    assert_int_equal(cudaMalloc(&more, 600000), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_cuda(cudaMemGetInfo(&left, &all));
    assert_int_equal(all, 1000000);
    assert_true(left <= 400000 && left > 399000);
    assert_cuda(cudaFree(some));
    assert_cuda(cudaMalloc(&more, 600000));
    assert_cuda(cudaFree(more));
    assert_cuda(opened_with("CUDA_EMU_MEMORY", ""));
}

static void no_device(void **)
{
    void *some;
    int version;
    assert_int_equal(opened_with("CUDA_EMU_FAIL", "none"), cudaErrorNoDevice);
    assert_int_equal(cudaMalloc(&some, 4), cudaErrorNoDevice);
    assert_int_equal(opened_with("CUDA_EMU_FAIL", "driver"), cudaErrorInsufficientDriver);
    assert_cuda(cudaDriverGetVersion(&version));
    assert_true(version < 12000);
    assert_cuda(opened_with("CUDA_EMU_FAIL", ""));
}

__global__ void add_one(float *x, int n)
{
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i < n)
        x[i] += 1.0f;
}

static cudaError_t add_ones(cudaStream_t stream, float *x, int n)
{
    const cudaLaunchConfig_t c = {dim3((n + 255) / 256), dim3(256), 0, stream, NULL, 0};
    return cudaLaunchKernelEx(&c, add_one, x, n);
}

/* From the sixth call on; the first is the one that counts devices. */
static void device_is_lost(void **)
{
    const std::vector<float> zeros(100);
    std::vector<float> got(100, 7.0f);
    cudaStream_t stream;
    float *x;
    assert_cuda(opened_with("CUDA_EMU_FAIL", "lost@6"));
    assert_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    assert_cuda(cudaMalloc(&x, 400));
    assert_cuda(cudaMemcpy(x, zeros.data(), 400, cudaMemcpyHostToDevice));
    assert_cuda(add_ones(stream, x, 100));
    assert_int_equal(cudaMemcpyAsync(got.data(), x, 400, cudaMemcpyDeviceToHost, stream),
                     cudaErrorLaunchFailure);
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
    assert_int_equal(cudaFree(x), cudaErrorLaunchFailure);
    assert_true(got[0] == 7.0f);
    assert_cuda(opened_with("CUDA_EMU_FAIL", ""));
    assert_cuda(cudaMemcpy(got.data(), x, 400, cudaMemcpyDeviceToHost));
    assert_true(got[0] == 0.0f); // the launch was lost, too
    assert_cuda(cudaFree(x));
    assert_cuda(cudaStreamDestroy(stream));
}

static void devices(void **)
{
    const struct {
        const char *sm;
        int major, blocks;
        size_t shared;
    } rows[] = {{"80", 8, 108, 163 << 10}, {"100", 10, 148, 227 << 10}, {"90", 9, 132, 227 << 10}};
    for (const auto &row : rows) {
        struct cudaDeviceProp p;
        int major, blocks;
        assert_cuda(opened_with("CUDA_EMU_SM", row.sm));
        assert_cuda(cudaGetDeviceProperties(&p, 0));
        assert_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
        assert_cuda(cudaDeviceGetAttribute(&blocks, cudaDevAttrMultiProcessorCount, 0));
        assert_int_equal(p.major, row.major);
        assert_int_equal(major, row.major);
        assert_int_equal(blocks, row.blocks);
        assert_int_equal(p.sharedMemPerBlockOptin, row.shared);
        assert_int_equal(cudaFuncSetAttribute(add_one, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              (int)row.shared + 1),
                         cudaErrorInvalidValue);
    }
    assert_int_equal(cudaSetDevice(1), cudaErrorInvalidDevice);
}

static void unknown_words(void **)
{
    assert_found("CUDA_EMU_FAIL=gone: one of", [] { (void)opened_with("CUDA_EMU_FAIL", "gone"); });
    assert_found("CUDA_EMU_SM=60: a number from 70 to 120",
                 [] { (void)opened_with("CUDA_EMU_SM", "60"); });
    assert_found("CUDA_EMU_MMA=near: one of exact, chain, truncate",
                 [] { (void)opened_with("CUDA_EMU_MMA", "near"); });
    assert_found("CUDA_EMU_SEED=x: a number", [] { (void)opened_with("CUDA_EMU_SEED", "x"); });
}

/* ---- two threads: one launches, the other looks at what no kernel touches */

struct reader {
    const float *x;
    bool ok;
};

static void *read_often(void *arg)
{
    reader *r = (reader *)arg;
    cudaStream_t stream;
    r->ok = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess;
    for (int i = 0; i < 300 && r->ok; i++) {
        float got[16] = {0};
        r->ok = !cudaMemcpyAsync(got, r->x, sizeof got, cudaMemcpyDeviceToHost, stream) &&
                !cudaStreamSynchronize(stream);
        for (float value : got)
            r->ok = r->ok && value == 5.0f;
    }
    r->ok = r->ok && cudaStreamDestroy(stream) == cudaSuccess;
    return NULL;
}

static void threads(void **)
{
    device<float> fives(std::vector<float>(16, 5.0f)), x(std::vector<float>(1000));
    cudaStream_t stream;
    pthread_t thread;
    reader r = {fives, false};
    schedule(3);
    assert_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    assert_int_equal(pthread_create(&thread, NULL, read_often, &r), 0);
    for (int i = 0; i < 300; i++) {
        assert_cuda(add_ones(stream, x, 1000));
        if (i % 3 == 0)
            assert_cuda(cudaStreamSynchronize(stream));
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_cuda(cudaStreamSynchronize(stream));
    assert_cuda(cudaStreamDestroy(stream));
    assert_true(r.ok);
    same_bits(x.get(), std::vector<float>(1000, 300.0f), "sums while another thread reads");
}

/* ---- mistakes of the host */

static void mistakes(void **)
{
    float host[4] = {0};
    device<float> x(4);
    schedule(0);
    assert_found("which is not allocated", [&] { (void)cudaFree(host); });
    assert_found("that the direction calls the host's",
                 [&] { (void)cudaMemcpy(host, x, 16, cudaMemcpyHostToHost); });
    assert_found("which is not device memory",
                 [&] { (void)cudaMemcpy(host, host, 16, cudaMemcpyDeviceToHost); });
    assert_found("of an allocation of 16 bytes",
                 [&] { (void)cudaMemcpy(x, host, 20, cudaMemcpyHostToDevice); });
    assert_found("a stream that does not exist",
                 [&] { (void)cudaStreamSynchronize((cudaStream_t)host); });
    assert_int_equal(add_ones(NULL, x, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    if (emu::checked)
        assert_found("the host reads device memory", [&] { (void)(*(volatile float *)x.at); });
}

TESTS(cmocka_unit_test(memory_runs_out), cmocka_unit_test(no_device),
      cmocka_unit_test(device_is_lost), cmocka_unit_test(devices), cmocka_unit_test(unknown_words),
      cmocka_unit_test(threads), cmocka_unit_test(mistakes))
