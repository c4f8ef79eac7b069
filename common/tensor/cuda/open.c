/* The CUDA backend as a module: its table, and how one is opened. */
#include "base/mem.h"
#include "tensor/cuda/cuda.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUDA_ROW(op) .op = cuda_##op,
static const struct backend_ops cuda_ops = {.name = "cuda", BACKEND_OPS(CUDA_ROW)};

/* Of a device that is not made of silicon: how it rounds. The emulator has its own. */
__attribute__((weak)) const char *cuda_device_words(void);
__attribute__((weak)) const char *cuda_device_words(void)
{
    return "";
}

extern const char cuda_build[]; // a name of the module's sources (cmake/cuda_build.cmake)

static struct numerics numerics_of(const struct cuda *cuda)
{
    struct numerics n = {.repeats = NUMERICS_INVARIANT};
    snprintf(n.id, sizeof n.id, "backend=cuda build=%s arch=sm_%d%s%s", cuda_build, cuda->sm,
             cuda->sm == 90 ? "a" : "", cuda_device_words());
    return n;
}

void cuda_free(struct backend *be)
{
    struct cuda *cuda = cuda_of(be);
    if (cuda->stream)
        cudaStreamSynchronize(cuda->stream);
    reader_done(&cuda->reader);
    results_done(&cuda->results);
    paging_done(&cuda->paging);
    pthread_mutex_destroy(&cuda->reader.lock);
    staging_done(&cuda->staging);
    cudaFree(cuda->workspace);
    cuda_attention_free(cuda->attention);
    steps_done(&cuda->steps);
    if (cuda->stream)
        cudaStreamDestroy(cuda->stream);
    mem_free(cuda);
}

/* 0 or 1 in the environment; else `usual`. */
static err_t switch_of(const char *name, bool usual, bool *ret)
{
    const char *text = getenv(name);
    if (text && *text && strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return err_new(ERR_INVALID, "%s=%s: 0 or 1", name, text);
    *ret = text && *text ? *text == '1' && usual : usual;
    return OK;
}

static err_t fill(struct cuda *cuda, const struct backend_config *config)
{
    bool graphs = false;
    TRY(cuda_take_device(cuda, config->device));
    TRY(switch_of("RLHFD_CUDA_GRAPHS", true, &graphs));
    TRY(switch_of("RLHFD_CUDA_EARLY", cuda->sm >= 90, &cuda->early));
    cuda->steps.off = !graphs;
    cuda->steps.wanted = STEP_ARENA;
    TRY_CUDA(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking));
    TRY(staging_open(cuda->stream, &cuda->staging));
    TRY(reader_open(&cuda->reader));
    cuda->base.rounds = cuda->base.apart = cuda->base.cuda = true;
    cuda->base.forward = cuda->base.training = numerics_of(cuda);
    return OK;
}

static err_t cuda_open(const struct backend_config *config, struct backend **ret)
{
    struct cuda *cuda = mem_new(sizeof *cuda);
    SCOPED(backend) be = &cuda->base;
    cuda->base.ops = &cuda_ops;
    pthread_mutex_init(&cuda->reader.lock, NULL);
    TRY(fill(cuda, config));
    *ret = STEAL(be);
    return OK;
}

extern const struct backend_module rlhfd_backend_module;
const struct backend_module rlhfd_backend_module = {.abi = BACKEND_ABI, .open = cuda_open};
