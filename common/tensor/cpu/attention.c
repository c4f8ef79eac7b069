/* Attention over segments, and the cache of one sequence. */
#include "base/mem.h"
#include "tensor/cpu/cpu.h"
#include <string.h>

/* Per layer and kv head: keys in panels [capacity/32][D][32], values in rows [capacity][D]. */
struct kv_cache {
    struct attention_shape shape;
    int layers, capacity; // capacity as asked for; the memory holds it rounded up to whole panels
    int *filled;          // positions present, for each layer
    float *keys, *values;
};

static size_t rounded(int positions)
{
    return ((size_t)positions + PANEL - 1) / PANEL * PANEL;
}

/* Floats of one layer and head, keys or values. */
static size_t head_floats(const struct kv_cache *cache)
{
    return rounded(cache->capacity) * (size_t)cache->shape.D;
}

static float *head_of(const struct kv_cache *cache, float *data, int layer, int head)
{
    return data + ((size_t)layer * cache->shape.K + head) * head_floats(cache);
}

static err_t shape_check(const struct attention_shape *shape)
{
    const int H = shape->H, K = shape->K, D = shape->D;
    if (H < 1 || K < 1 || H % K || D < 2 || D % 2)
        return err_new(ERR_INVALID, "attention with %d heads, %d kv heads of size %d", H, K, D);
    return OK;
}

err_t cpu_kv_new(struct backend *be, int layers, const struct attention_shape *shape, int capacity,
                 struct kv_cache **ret)
{
    (void)be;
    TRY(shape_check(shape));
    if (layers < 1 || capacity < 1)
        return err_new(ERR_INVALID, "kv cache of %d layers, %d positions: both must be positive",
                       layers, capacity);
    struct kv_cache *cache = mem_new(sizeof *cache);
    *cache = (struct kv_cache){.shape = *shape, .layers = layers, .capacity = capacity};
    cache->filled = mem_array((size_t)layers, sizeof *cache->filled);
    const size_t floats = (size_t)layers * (size_t)shape->K * head_floats(cache);
    cache->keys = mem_aligned(floats * sizeof(float));
    cache->values = mem_aligned(floats * sizeof(float));
    *ret = cache;
    return OK;
}

err_t cpu_kv_copy(struct backend *be, struct kv_cache *dst, const struct kv_cache *src,
                  int positions)
{
    (void)be;
    const struct attention_shape *a = &dst->shape, *b = &src->shape;
    if (dst->layers != src->layers || a->H != b->H || a->K != b->K || a->D != b->D)
        return err_new(ERR_INVALID, "kv copy between caches of different models");
    if (positions < 0 || positions > dst->capacity)
        return err_new(ERR_RANGE, "kv copy of %d positions into %d", positions, dst->capacity);
    for (int layer = 0; layer < src->layers; layer++)
        if (positions > src->filled[layer])
            return err_new(ERR_RANGE, "kv copy of %d positions: %d are there", positions,
                           src->filled[layer]);
    const size_t size = rounded(positions) * (size_t)a->D * sizeof(float);
    for (int layer = 0; layer < src->layers && dst != src; layer++)
        for (int head = 0; head < a->K; head++) {
            memcpy(head_of(dst, dst->keys, layer, head), head_of(src, src->keys, layer, head),
                   size);
            memcpy(head_of(dst, dst->values, layer, head), head_of(src, src->values, layer, head),
                   size);
        }
    for (int layer = 0; layer < src->layers; layer++)
        dst->filled[layer] = positions;
    return OK;
}

void cpu_kv_free(struct backend *be, struct kv_cache *cache)
{
    (void)be;
    if (!cache)
        return;
    mem_free(cache->filled);
    mem_free(cache->keys);
    mem_free(cache->values);
    mem_free(cache);
}

/* Checks every segment before anything is written. ret_positions: the longest; ret_work:
 * multiply-adds of all. */
static err_t segments_check(const struct segment *segments, int count,
                            const struct attention_shape *shape, int layer, int *ret_positions,
                            double *ret_work)
{
    int positions = 0;
    double work = 0;
    TRY(shape_check(shape));
    for (int s = 0; s < count; s++) {
        const struct segment *segment = &segments[s];
        const struct kv_cache *cache = segment->cache;
        const long end = (long)segment->start + segment->count;
        if (segment->first < 0 || segment->count < 0 || segment->start < 0)
            return err_new(ERR_RANGE, "segment %d: a negative number", s);
        if (!cache && segment->start)
            return err_new(ERR_RANGE, "segment %d starts at %d without a cache", s, segment->start);
        if (cache && (layer < 0 || layer >= cache->layers || cache->shape.K != shape->K ||
                      cache->shape.D != shape->D))
            return err_new(ERR_RANGE, "segment %d: its cache has no layer %d of this shape", s,
                           layer);
        if (cache && segment->start > cache->filled[layer])
            return err_new(ERR_RANGE, "segment %d starts at %d, its cache ends at %d", s,
                           segment->start, cache->filled[layer]);
        if (cache && end > cache->capacity)
            return err_new(ERR_RANGE, "segment %d ends at %ld, its cache holds %d", s, end,
                           cache->capacity);
        positions = end > positions ? (int)end : positions;
        work += (double)segment->count * (double)end * shape->H * shape->D * 2;
    }
    *ret_positions = positions;
    *ret_work = work;
    return OK;
}

struct attention_job {
    float *o, *lse;
    const float *q, *k, *v, *d_o, *lse_in, *o_in;
    float *dq, *dk, *dv;
    const struct segment *segments;
    const struct attention_shape *shape;
    int layer;
    size_t key_floats; // of scratch, before the unit's own
};

/* Units are segment * K + kv head. */
static void attention_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    const struct attention_job *job = data;
    const int K = job->shape->K, D = job->shape->D, H = job->shape->H;
    float *scratch = cpu->scratch[thread].data;
    for (size_t i = begin; i < end; i++) {
        const struct segment *segment = &job->segments[i / (size_t)K];
        const int head = (int)(i % (size_t)K);
        const size_t first = (size_t)segment->first, q = first * H * D, k = first * K * D;
        struct attention_unit unit = {.shape = job->shape,
                                      .head = head,
                                      .start = segment->start,
                                      .count = segment->count,
                                      .q = job->q + q,
                                      .k = job->k + k,
                                      .v = job->v + k,
                                      .o = job->o + q,
                                      .lse = job->lse ? job->lse + first * H : NULL,
                                      .key_panels = scratch};
        if (segment->cache) {
            unit.key_panels = head_of(segment->cache, segment->cache->keys, job->layer, head);
            unit.values = head_of(segment->cache, segment->cache->values, job->layer, head);
        }
        if (unit.count)
            cpu->kernels->attention(&unit, scratch + job->key_floats);
    }
}

err_t cpu_attention(struct backend *be, float *o, float *lse, const float *q, const float *k,
                    const float *v, const struct segment *segments, int count,
                    const struct attention_shape *shape, int layer)
{
    struct cpu *cpu = cpu_of(be);
    int positions;
    double work;
    TRY(segments_check(segments, count, shape, layer, &positions, &work));
    struct attention_job job = {.o = o,
                                .lse = lse,
                                .q = q,
                                .k = k,
                                .v = v,
                                .segments = segments,
                                .shape = shape,
                                .layer = layer,
                                .key_floats = rounded(positions) * (size_t)shape->D};
    cpu_reserve(cpu, job.key_floats + attention_scratch(positions, shape));
    cpu_split(cpu, (size_t)count * (size_t)shape->K, 1, work, attention_range, &job);
    for (int s = 0; s < count; s++)
        if (segments[s].cache)
            segments[s].cache->filled[layer] = segments[s].start + segments[s].count;
    return OK;
}

static void attention_backward_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                                     int thread)
{
    const struct attention_job *job = data;
    const int K = job->shape->K, D = job->shape->D, H = job->shape->H;
    for (size_t i = begin; i < end; i++) {
        const struct segment *segment = &job->segments[i / (size_t)K];
        const size_t first = (size_t)segment->first, q = first * H * D, k = first * K * D;
        struct attention_gradient unit = {.shape = job->shape,
                                          .head = (int)(i % (size_t)K),
                                          .count = segment->count,
                                          .q = job->q + q,
                                          .k = job->k + k,
                                          .v = job->v + k,
                                          .o = job->o_in + q,
                                          .lse = job->lse_in + first * H,
                                          .d_o = job->d_o + q,
                                          .dq = job->dq + q,
                                          .dk = job->dk + k,
                                          .dv = job->dv + k};
        if (unit.count)
            cpu->kernels->attention_backward(&unit, cpu->scratch[thread].data);
    }
}

err_t cpu_attention_backward(struct backend *be, float *dq, float *dk, float *dv, const float *d_o,
                             const float *q, const float *k, const float *v, const float *o,
                             const float *lse, const struct segment *segments, int count,
                             const struct attention_shape *shape)
{
    struct cpu *cpu = cpu_of(be);
    int positions;
    double work;
    for (int s = 0; s < count; s++)
        if (segments[s].cache)
            return err_new(ERR_INVALID, "segment %d: no gradient through a cache", s);
    TRY(segments_check(segments, count, shape, 0, &positions, &work));
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
                                .shape = shape};
    cpu_reserve(cpu, attention_gradient_scratch(positions, shape));
    cpu_split(cpu, (size_t)count * (size_t)shape->K, 1, 2.5 * work, attention_backward_range, &job);
    return OK;
}

/* Blocks of the widest tile: output, queries, scores (attention_isa.c). */
size_t attention_scratch(int positions, const struct attention_shape *shape)
{
    enum { TILE_ROWS_MAX = 14, BLOCK = TILE_ROWS_MAX * A_STRIDE };
    const size_t D = (size_t)shape->D, blocks = (D + CHAIN_BLOCK - 1) / CHAIN_BLOCK;
    const size_t keys = ((size_t)positions + CHAIN_BLOCK - 1) / CHAIN_BLOCK;
    return TILE_ROWS_MAX * (D + 16) + (blocks + keys) * BLOCK;
}

/* That of gemm; keys and values in panels; p, ds and q of one block of queries
 * (attention_backward_isa.c). */
size_t attention_gradient_scratch(int count, const struct attention_shape *shape)
{
    enum { QUERIES = 28 };
    const size_t D = (size_t)shape->D, all = rounded(count);
    return GEMM_SCRATCH + 2 * all * D + 2 * QUERIES * (all + 16) + QUERIES * D;
}
