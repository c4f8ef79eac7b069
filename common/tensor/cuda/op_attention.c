/* Attention, its gradient, its pages, and the rotation of heads. */
#include "base/mem.h"
#include "tensor/cuda/attention_backward_list.h"
#include "tensor/cuda/attention_list.h"
#include "tensor/cuda/cuda.h"
#include <math.h>

_Static_assert((int)PAGE_KEYS == (int)KV_PAGE, "kernels and callers have the same pages");

static struct cuda_attention *attention_of(struct cuda *cuda)
{
    if (!cuda->attention)
        cuda->attention = mem_new(sizeof *cuda->attention);
    return cuda->attention;
}

/* ---- pages */

err_t cuda_kv_new(struct backend *be, int layers, const struct attention_shape *shape,
                  enum kv_format format, int pages, struct kv_pages **ret)
{
    TRY(cuda_attention_check(shape));
    if (layers < 1 || pages < 1)
        return err_new(ERR_INVALID, "%d kv pages of %d layers: both must be positive", pages,
                       layers);
    if (format != KV_BF16)
        return err_new(ERR_UNIMPLEMENTED, "backend '%s' has kv pages of bf16 only", be->ops->name);
    struct kv_pages kv = {.extent = {*shape, layers, pages}, .width = attention_width(shape->D)};
    const size_t page = kv_page_elements(shape->K, kv.width) * sizeof(bf16);
    size_t all = 0, bytes = 0;
    void *memory = NULL;
    if (__builtin_mul_overflow(2 * (size_t)layers, (size_t)pages, &all) ||
        __builtin_mul_overflow(all, page, &bytes))
        return err_new(ERR_EXHAUSTED, "%d kv pages of %d layers, each of %zu bytes", pages, layers,
                       2 * page);
    TRY(cuda_memory_new(be, bytes, &memory));
    kv.memory = memory;
    *ret = mem_copy(&kv, sizeof kv);
    return OK;
}

err_t cuda_kv_copy(struct backend *be, struct kv_pages *kv, int32_t dst, int32_t src)
{
    if (dst < 0 || dst >= kv->extent.pages || src < 0 || src >= kv->extent.pages)
        return err_new(ERR_RANGE, "kv page %d copied to %d: there are %d", src, dst,
                       kv->extent.pages);
    TRY_CUDA(attention_copy_page(cuda_in_step(be)->stream, kv->memory, 2 * kv->extent.layers,
                                 kv->extent.pages, kv_page_elements(kv->extent.shape.K, kv->width),
                                 dst, src));
    return OK;
}

void cuda_kv_free(struct backend *be, struct kv_pages *kv)
{
    if (!kv)
        return;
    cuda_attention_forget(attention_of(cuda_of(be)));
    cuda_memory_free(be, kv->memory);
    mem_free(kv);
}

/* ---- attention */

/* A size that grows a few times only: the next power of two. */
static size_t roomy(size_t bytes)
{
    size_t room = 4096;
    while (room < bytes)
        room *= 2;
    return room;
}

/* The device's copy of a list that changed. */
static err_t send_list(struct backend *be, struct cuda_attention *attention, int i)
{
    const struct attention_list *list = &attention->list[i];
    struct cuda *cuda = cuda_in_step(be);
    if (steps_collects(cuda))
        return cuda_stage(cuda, list->data, list->bytes, &attention->placed[i]);
    if (list->bytes > attention->room[i]) {
        void *memory = NULL;
        const size_t room = roomy(list->bytes);
        TRY(cuda_sync(be)); // kernels may still read it
        cudaFree(attention->there[i]);
        attention->there[i] = NULL;
        attention->room[i] = 0;
        TRY(device_memory(room, &memory));
        attention->there[i] = memory;
        attention->room[i] = room;
    }
    attention->placed[i] = attention->there[i];
    return cuda_put(be, attention->there[i], list->data, list->bytes);
}

/* Own pages, then states, each at a multiple of 256 bytes. */
static err_t place_scratch(struct cuda *cuda, const struct attention_list *list,
                           struct attention_call *call)
{
    enum { ALIGN = 256 };
    const size_t width = (size_t)attention_width(call->D);
    const size_t page = 2 * kv_page_elements(call->K, (int)width) * sizeof(bf16);
    const size_t own = ((size_t)list->own_pages * page + ALIGN - 1) / ALIGN * ALIGN;
    const size_t part = list->states * width * sizeof(float),
                 mass = list->states * 2 * sizeof(float);
    void *memory = NULL;
    if (own + part + mass == 0)
        return OK;
    TRY(cuda_workspace(cuda, roomy(own + part + mass), &memory));
    call->own = memory;
    call->part = (float *)((char *)memory + own);
    call->mass = call->part + list->states * width;
    return OK;
}

static bool is_aligned(const float *a, const float *b, const float *c, int D)
{
    return D % 4 == 0 && ((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) % 16 == 0;
}

err_t cuda_attention(struct backend *be, float *o, float *lse, const float *q, const float *k,
                     const float *v, const struct segment *segments, int count,
                     const struct attention_shape *shape, int layer)
{
    struct cuda *cuda = cuda_in_step(be);
    struct cuda_attention *attention = attention_of(cuda);
    const int i = shape->window > 0;
    struct attention_list *list = &attention->list[i];
    struct attention_call call = {.o = o,
                                  .lse = lse,
                                  .q = q,
                                  .k = k,
                                  .v = v,
                                  .H = shape->H,
                                  .K = shape->K,
                                  .D = shape->D,
                                  .window = i ? shape->window : 0,
                                  .layer = layer,
                                  .scale = 1.0f / sqrtf((float)shape->D),
                                  .aligned = is_aligned(q, k, v, shape->D)};
    bool changed = false;
    TRY(attention_list_make(list, segments, count, shape, layer, &changed));
    if (changed) {
        const err_t e = send_list(be, attention, i);
        if (err_failed(e)) {
            attention_list_forget(list); // the device's copy is another
            return e;
        }
    }
    attention_list_place(list, attention->placed[i], &call);
    TRY(place_scratch(cuda, list, &call));
    TRY_CUDA(attention_run(cuda->stream, &call));
    return OK;
}

/* Where kernels read four floats at once. */
static bool are_aligned(const struct attention_backward_call *call)
{
    return is_aligned(call->q, call->k, call->v, call->D) &&
           is_aligned(call->d_o, call->o, call->o, call->D);
}

err_t cuda_attention_backward(struct backend *be, float *dq, float *dk, float *dv, const float *d_o,
                              const float *q, const float *k, const float *v, const float *o,
                              const float *lse, const struct segment *segments, int count,
                              const struct attention_shape *shape)
{
    struct cuda *cuda = cuda_of(be);
    const void *there = NULL;
    void *scratch = NULL;
    struct attention_backward_call call = {.dq = dq,
                                           .dk = dk,
                                           .dv = dv,
                                           .d_o = d_o,
                                           .q = q,
                                           .k = k,
                                           .v = v,
                                           .o = o,
                                           .lse = lse,
                                           .H = shape->H,
                                           .K = shape->K,
                                           .D = shape->D,
                                           .scale = 1.0f / sqrtf((float)shape->D)};
    SCOPED_VALUE(attention_backward_list) list = {0};
    TRY(attention_backward_list_make(segments, count, shape, &list));
    if (!list.rows)
        return OK;
    call.aligned = are_aligned(&call);
    TRY(cuda_stage(cuda, list.data, list.bytes, &there));
    attention_backward_list_place(&list, there, &call);
    TRY(cuda_workspace(cuda, roomy(attention_backward_scratch(&call)), &scratch));
    attention_backward_place(&call, scratch);
    TRY_CUDA(attention_backward_run(cuda->stream, &call));
    return OK;
}

err_t cuda_rope(struct backend *be, float *x, const int32_t *position, const float *cos,
                const float *sin, int N, int heads, int D, int R, int inverse)
{
    if (R < 2 || R % 2 || R > D)
        return err_new(
            ERR_INVALID,
            "rotary embedding of %d elements of heads of %d: an even number from 2 to %d", R, D, D);
    TRY_CUDA(rotary(cuda_in_step(be)->stream, x, position, cos, sin, N, heads, D, R, inverse != 0));
    return OK;
}
