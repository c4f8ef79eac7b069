/* Launches of kernels, now or into the step that is collected (steps.h).
 *
 *     TRY_CUDA(launch(kernel, dim3(N), dim3(256), 0, stream, y, x, C));
 *     TRY_CUDA(launch_early(kernel, dim3(N), dim3(256), 0, stream, y, x, C));
 *
 * An early launch may begin while the kernel before it in the stream still runs, if that kernel has
 * said dependents_launch() in all its blocks. So each of its threads says dependency_wait() before
 * it touches what any other kernel writes, and says dependents_launch() behind that. Before its
 * wait it may read what the kernel before it does not write: all earlier ones have ended.
 * The arguments are checked against the kernel's parameters. No <<<>>>: any C++ compiler can read
 * it. */
#pragma once
#include "tensor/cuda/ptx.h"
#include "tensor/cuda/step_launch.h"
#include <new>
#include <tuple>

template <class... P> struct launch_call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
};

template <class... P>
static inline cudaError_t launch_now(const step_launch &l, cudaStream_t stream,
                                     void (*kernel)(P...), const P &...arguments)
{
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(l.grid[0], l.grid[1], l.grid[2]);
    config.blockDim = dim3(l.block[0], l.block[1], l.block[2]);
    config.dynamicSmemBytes = l.shared;
    config.stream = stream;
    config.attrs = &early;
    config.numAttrs = l.early;
    return cudaLaunchKernelEx(&config, kernel, arguments...);
}

template <class... P> static cudaError_t launch_again(const step_launch *l, cudaStream_t stream)
{
    const auto *call = (const launch_call<P...> *)(l + 1);
    return std::apply(
        [&](const P &...arguments) { return launch_now(*l, stream, call->kernel, arguments...); },
        call->arguments);
}

template <class... P, class... A>
static inline cudaError_t launch_as(bool early, void (*kernel)(P...), dim3 grid, dim3 block,
                                    size_t shared, cudaStream_t stream, A &&...arguments)
{
    typedef launch_call<P...> call;
    static_assert(sizeof(step_launch) % STEP_ALIGN == 0 && alignof(call) <= STEP_ALIGN,
                  "arguments lie behind their launch");
    const step_launch l = {launch_again<P...>,
                           {grid.x, grid.y, grid.z},
                           {block.x, block.y, block.z},
                           (unsigned)shared,
                           early && launches_early(),
                           (sizeof(call) + STEP_ALIGN - 1) / STEP_ALIGN * STEP_ALIGN,
                           0};
    if (void *at = steps_put(stream, &l)) {
        new (at) call{kernel, std::tuple<P...>(static_cast<P>(arguments)...)};
        return cudaSuccess;
    }
    return launch_now<P...>(l, stream, kernel, static_cast<P>(arguments)...);
}

template <class... P, class... A>
static inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                                 cudaStream_t stream, A &&...arguments)
{
    return launch_as(false, kernel, grid, block, shared, stream, arguments...);
}

template <class... P, class... A>
static inline cudaError_t launch_early(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                                       cudaStream_t stream, A &&...arguments)
{
    return launch_as(true, kernel, grid, block, shared, stream, arguments...);
}

/* The beginning of a kernel of launch_early that has nothing to do before. */
__device__ __forceinline__ void early_begin()
{
    dependency_wait();
    dependents_launch();
}
