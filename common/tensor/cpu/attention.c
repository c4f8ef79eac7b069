/* Attention over segments, and the pages of keys and values. */
#include "base/mem.h"
#include "tensor/cpu/cpu.h"
#include "tensor/segment_check.h"
#include <string.h>

/* By layer: the keys of all pages, then their values; by page, kv head (struct attention_unit). A
 * step of decoding reads a sequence's keys and then its values, so both lie together where its
 * pages do. */
struct kv_pages {
    struct kv_extent extent; // first: segment_check.h reads it
    enum kv_format format;
    char *memory;
};

static size_t rounded(int positions)
{
    return ((size_t)positions + PANEL - 1) / PANEL * PANEL;
}

/* Elements of the keys, or of the values, of one page in one layer, and of one head of that. */
static size_t head_elements(const struct kv_pages *kv)
{
    return (size_t)KV_PAGE * (size_t)kv->extent.shape.D;
}

static size_t page_elements(const struct kv_pages *kv)
{
    return (size_t)kv->extent.shape.K * head_elements(kv);
}

/* The keys of a layer, or its values. */
static size_t layer_elements(const struct kv_pages *kv)
{
    return (size_t)kv->extent.pages * page_elements(kv);
}

static size_t element_size(const struct kv_pages *kv)
{
    return kv->format == KV_BF16 ? sizeof(bf16) : sizeof(float);
}

/* Where the keys of a page begin in a layer, from a head on; its values: layer_elements further. */
static char *place(const struct kv_pages *kv, int layer, int32_t page, int head)
{
    const size_t at = 2 * (size_t)layer * layer_elements(kv) + (size_t)page * page_elements(kv) +
                      (size_t)head * head_elements(kv);
    return kv->memory + at * element_size(kv);
}

err_t cpu_kv_new(struct backend *be, int layers, const struct attention_shape *shape,
                 enum kv_format format, int pages, struct kv_pages **ret)
{
    (void)be;
    TRY(attention_shape_check(shape));
    if (layers < 1 || pages < 1)
        return err_new(ERR_INVALID, "%d kv pages of %d layers: both must be positive", pages,
                       layers);
    struct kv_pages kv = {.extent = {*shape, layers, pages}, .format = format};
    void *memory = NULL;
    TRY(cpu_memory(2 * (size_t)layers * layer_elements(&kv) * element_size(&kv), &memory));
    kv.memory = memory;
    *ret = mem_copy(&kv, sizeof kv);
    return OK;
}

err_t cpu_kv_copy(struct backend *be, struct kv_pages *kv, int32_t dst, int32_t src)
{
    (void)be;
    if (dst < 0 || dst >= kv->extent.pages || src < 0 || src >= kv->extent.pages)
        return err_new(ERR_RANGE, "kv page %d copied to %d: there are %d", src, dst,
                       kv->extent.pages);
    const size_t bytes = page_elements(kv) * element_size(kv),
                 to_values = layer_elements(kv) * element_size(kv);
    for (int layer = 0; layer < kv->extent.layers && dst != src; layer++) {
        char *to = place(kv, layer, dst, 0);
        const char *from = place(kv, layer, src, 0);
        memcpy(to, from, bytes);
        memcpy(to + to_values, from + to_values, bytes);
    }
    return OK;
}

void cpu_kv_free(struct backend *be, struct kv_pages *kv)
{
    (void)be;
    if (!kv)
        return;
    mem_free(kv->memory);
    mem_free(kv);
}

/* ret_positions: the longest segment's; ret_work: multiply-adds of all. */
static void segments_measure(const struct segment *segments, int count,
                             const struct attention_shape *shape, int *ret_positions,
                             double *ret_work)
{
    int positions = 0;
    double work = 0;
    for (int s = 0; s < count; s++) {
        const long end = (long)segments[s].start + segments[s].count;
        positions = end > positions ? (int)end : positions;
        work += (double)segments[s].count * (double)end * shape->H * shape->D * 2;
    }
    *ret_positions = positions;
    *ret_work = work;
}

struct attention_job {
    float *o, *lse;
    const float *q, *k, *v, *d_o, *lse_in, *o_in;
    float *dq, *dk, *dv;
    const struct segment *segments;
    int count;
    const struct attention_shape *shape;
    int layer;
    size_t key_floats; // of scratch, twice, before the unit's own: keys, values
};

static bool is_step(const struct segment *segment)
{
    return segment->kv && segment->count == 1;
}

/* Segment * K + kv head; of a step of decoding, as many heads together as the range has. */
static void attention_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    const struct attention_job *job = data;
    const int K = job->shape->K, D = job->shape->D, H = job->shape->H;
    float *scratch = cpu->scratch[thread].data;
    for (size_t i = begin, heads; i < end; i += heads) {
        const struct segment *segment = &job->segments[i / (size_t)K];
        const int head = (int)(i % (size_t)K);
        const size_t left = (size_t)(K - head) < end - i ? (size_t)(K - head) : end - i;
        heads = is_step(segment) ? left : 1;
        const size_t first = (size_t)segment->first, q = first * H * D, k = first * K * D;
        struct attention_unit unit = {.shape = job->shape,
                                      .head = head,
                                      .heads = (int)heads,
                                      .start = segment->start,
                                      .count = segment->count,
                                      .q = job->q + q,
                                      .k = job->k + k,
                                      .v = job->v + k,
                                      .o = job->o + q,
                                      .lse = job->lse ? job->lse + first * H : NULL,
                                      .key_panels = scratch,
                                      .values = scratch + job->key_floats};
        if (!segment->kv && segment->start) {
            unit.prefix_k = job->k + (size_t)segment->prefix * K * D;
            unit.prefix_v = job->v + (size_t)segment->prefix * K * D;
        }
        if (segment->kv) {
            unit.page = segment->page;
            unit.kv = place(segment->kv, job->layer, 0, head);
            unit.page_stride = (ptrdiff_t)page_elements(segment->kv);
            unit.to_values = (ptrdiff_t)layer_elements(segment->kv);
            unit.format = segment->kv->format;
        }
        if (unit.count)
            cpu->kernels->attention(&unit, scratch + 2 * job->key_floats);
    }
}

/* How many heads stay together where all segments are steps of decoding: all, if there are segments
 * enough for every thread. */
static size_t heads_in_a_chunk(const struct cpu *cpu, const struct segment *segments, int count,
                               int K)
{
    const int wanted = 2 * pool_threads(cpu->pool);
    for (int s = 0; s < count; s++)
        if (!is_step(&segments[s]))
            return 1;
    if (count >= wanted)
        return (size_t)K;
    return (size_t)(((long)K * count + wanted - 1) / wanted);
}

err_t cpu_attention(struct backend *be, float *o, float *lse, const float *q, const float *k,
                    const float *v, const struct segment *segments, int count,
                    const struct attention_shape *shape, int layer)
{
    struct cpu *cpu = cpu_of(be);
    int positions = 0;
    double work = 0;
    TRY(attention_shape_check(shape));
    TRY(segments_check(segments, count, shape, layer));
    segments_measure(segments, count, shape, &positions, &work);
    struct attention_job job = {.o = o,
                                .lse = lse,
                                .q = q,
                                .k = k,
                                .v = v,
                                .segments = segments,
                                .shape = shape,
                                .layer = layer,
                                .key_floats = rounded(positions) * (size_t)shape->D};
    cpu_reserve(cpu, 2 * job.key_floats + attention_scratch(positions, shape));
    cpu_split(cpu, (size_t)count * (size_t)shape->K,
              heads_in_a_chunk(cpu, segments, count, shape->K), work, attention_range, &job);
    return OK;
}

static void segment_backward(struct cpu *cpu, const struct attention_job *job, int s, int head,
                             int thread)
{
    const struct segment *segment = &job->segments[s];
    const int K = job->shape->K, D = job->shape->D, H = job->shape->H;
    const size_t first = (size_t)segment->first, q = first * H * D, k = first * K * D;
    const size_t prefix = segment->start ? (size_t)segment->prefix * K * D : k;
    struct attention_gradient unit = {.shape = job->shape,
                                      .head = head,
                                      .start = segment->start,
                                      .count = segment->count,
                                      .q = job->q + q,
                                      .k = job->k + k,
                                      .v = job->v + k,
                                      .o = job->o_in + q,
                                      .lse = job->lse_in + first * H,
                                      .d_o = job->d_o + q,
                                      .dq = job->dq + q,
                                      .dk = job->dk + k,
                                      .dv = job->dv + k,
                                      .prefix_k = job->k + prefix,
                                      .prefix_v = job->v + prefix,
                                      .prefix_dk = job->dk + prefix,
                                      .prefix_dv = job->dv + prefix};
    if (unit.count)
        cpu->kernels->attention_backward(&unit, cpu->scratch[thread].data);
}

/* Units are segment * K + kv head. One that starts at 0 takes along those that share its rows, so
 * one thread adds to them, in order; theirs are empty. */
static void attention_backward_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                                     int thread)
{
    const struct attention_job *job = data;
    const size_t K = (size_t)job->shape->K;
    for (size_t i = begin; i < end; i++) {
        int s = (int)(i / K);
        if (job->segments[s].start)
            continue;
        do
            segment_backward(cpu, job, s, (int)(i % K), thread);
        while (++s < job->count && job->segments[s].start);
    }
}

err_t cpu_attention_backward(struct backend *be, float *dq, float *dk, float *dv, const float *d_o,
                             const float *q, const float *k, const float *v, const float *o,
                             const float *lse, const struct segment *segments, int count,
                             const struct attention_shape *shape)
{
    struct cpu *cpu = cpu_of(be);
    int positions = 0;
    double work = 0;
    for (int s = 0; s < count; s++)
        if (segments[s].kv)
            return err_new(ERR_INVALID, "segment %d: no gradient through pages", s);
    TRY(attention_shape_check(shape));
    TRY(segments_check(segments, count, shape, 0));
    segments_measure(segments, count, shape, &positions, &work);
    struct attention_job job = {.dq = dq,
                                .dk = dk,
                                .dv = dv,
                                .d_o = d_o,
                                .q = q,
                                .k = k,
                                .v = v,
                                .o_in = o,
                                .lse_in = lse,
                                .segments = segments,
                                .count = count,
                                .shape = shape};
    cpu_reserve(cpu, attention_gradient_scratch(positions, shape));
    cpu_split(cpu, (size_t)count * (size_t)shape->K, 1, 2.5 * work, attention_backward_range, &job);
    return OK;
}

/* Output, factors, and blocks of queries and scores: of the widest tile, or of a row of every head
 * (attention_isa.c). */
size_t attention_scratch(int positions, const struct attention_shape *shape)
{
    enum { TILE_ROWS_MAX = 14 };
    const size_t D = (size_t)shape->D, blocks = (D + CHAIN_BLOCK - 1) / CHAIN_BLOCK;
    const size_t keys = ((size_t)positions + CHAIN_BLOCK - 1) / CHAIN_BLOCK;
    const size_t rows = shape->H > TILE_ROWS_MAX ? (size_t)shape->H : TILE_ROWS_MAX;
    return rows * (D + 16 + 16 + (blocks + keys) * A_STRIDE);
}

/* That of gemm; keys and values in panels; p, ds and q of one block of queries
 * (attention_backward_isa.c). */
size_t attention_gradient_scratch(int positions, const struct attention_shape *shape)
{
    enum { QUERIES = 28 };
    const size_t D = (size_t)shape->D, all = rounded(positions);
    return GEMM_SCRATCH + 2 * all * D + 2 * QUERIES * (all + 16) + QUERIES * D;
}
