/* Microseconds of the ops other than matrix products, at the shapes of a small model.
 *
 *     build/tests/bench_ops [threads]
 *
 * One JSON object per line: the best of several timings. "per" says what one unit is, "ns" what it
 * costs. */
#include "base/clock.h"
#include "base/mem.h"
#include "tensor/backend.h"
#include <stdio.h>
#include <stdlib.h>

enum { N = 1024, C = 128, V = 2048, SEGMENTS_MAX = 64 };

struct bench {
    struct backend *be;
    float *x, *y, *z, *w, *r; // N * V each, r: N * 16
    bf16 *weight;
    int32_t *token;
    struct attention_shape shape;
    struct segment segments[SEGMENTS_MAX];
    int segment_count;
};
typedef err_t bench_op(struct bench *);

static err_t rmsnorm(struct bench *b)
{
    return b->be->ops->rmsnorm(b->be, b->y, b->r, b->x, b->weight, 1e-5f, N, C);
}
static err_t rmsnorm_backward(struct bench *b)
{
    return b->be->ops->rmsnorm_backward(b->be, b->y, b->z, b->x, b->x, b->r, b->weight, N, C);
}
static err_t rope(struct bench *b)
{
    return b->be->ops->rope(b->be, b->y, b->token, b->z, b->z, N, 4, C / 4, C / 4, 0);
}
static err_t swiglu(struct bench *b)
{
    return b->be->ops->swiglu(b->be, b->y, b->x, b->z, (size_t)N * C);
}
static err_t swiglu_backward(struct bench *b)
{
    return b->be->ops->swiglu_backward(b->be, b->y, b->w, b->x, b->x, b->z, (size_t)N * C);
}
static err_t token_logp(struct bench *b)
{
    return b->be->ops->token_logp(b->be, b->r, NULL, b->x, b->token, 1, N, V);
}
static err_t token_logp_entropy(struct bench *b)
{
    return b->be->ops->token_logp(b->be, b->r, b->r + N, b->x, b->token, 1, N, V);
}
static err_t token_logp_backward(struct bench *b)
{
    return b->be->ops->token_logp_backward(b->be, b->y, b->x, b->token, 1, N, V);
}
static err_t adamw(struct bench *b)
{
    struct adamw_total total = {0};
    const struct adamw_step step = {1e-4f, 0.9f, 0.99f, 1e-8f, 0, 1, 1};
    return b->be->ops->adamw(b->be, b->x, b->weight, b->y, b->z, b->w, 0, (size_t)N * C, &step,
                             NULL, &total);
}
static err_t square_sum(struct bench *b)
{
    double sum;
    return b->be->ops->square_sum(b->be, b->x, (size_t)N * C, &sum);
}
static err_t attention(struct bench *b)
{
    return b->be->ops->attention(b->be, b->y, b->r, b->x, b->x, b->x, b->segments, b->segment_count,
                                 &b->shape, 0);
}
static err_t attention_backward(struct bench *b)
{
    const size_t part = (size_t)N * 512;
    return b->be->ops->attention_backward(b->be, b->y, b->y + part, b->y + 2 * part, b->z, b->x,
                                          b->x, b->x, b->z, b->r, b->segments, b->segment_count,
                                          &b->shape);
}

static err_t report(const char *name, bench_op *op, struct bench *b, double units, const char *per)
{
    double best = 1e9;
    for (int round = 0; round < 15; round++) {
        const double start = clock_s();
        int calls = 0;
        for (; calls < 1 || clock_s() - start < 2e-3; calls++)
            TRY(op(b));
        const double took = (clock_s() - start) / calls;
        best = took < best ? took : best;
    }
    printf("{\"op\":\"%s\",\"us\":%.1f,\"per\":\"%s\",\"ns\":%.3f}\n", name, best * 1e6, per,
           best * 1e9 / units);
    return OK;
}

/* One step of decoding at position T - 1. */
static err_t report_decode(struct bench *b, int T, enum kv_format format)
{
    static int32_t page[N + SEGMENTS_MAX];
    const int each = (T + KV_PAGE - 1) / KV_PAGE, count = b->segment_count;
    const struct attention_shape *a = &b->shape;
    struct kv_pages *kv = NULL;
    char name[128];
    for (int i = 0; i < each * count; i++)
        page[i] = each * count - 1 - i;
    TRY(b->be->ops->kv_new(b->be, 1, a, format, each * count, &kv));
    for (int s = 0; s < count; s++) {
        b->segments[s] = (struct segment){.count = T, .kv = kv, .page = page + each * s};
        TRY(b->be->ops->attention(b->be, b->y, NULL, b->x, b->x, b->x, &b->segments[s], 1, a, 0));
        b->segments[s].first = s;
        b->segments[s].count = 1;
        b->segments[s].start = T - 1;
    }
    snprintf(name, sizeof name, "decode %s T=%d H=%d K=%d D=%d", format ? "bf16" : "f32", T, a->H,
             a->K, a->D);
    err_t failed = report(name, attention, b, (double)count * T * a->H * a->D * 2, "multiply-add");
    b->be->ops->kv_free(b->be, kv);
    return failed;
}

/* Sequences of T tokens: whole, their gradient, and a step of decoding. */
static err_t report_attention(struct bench *b, int T, int H, int K, int D)
{
    char name[128];
    b->shape = (struct attention_shape){H, K, D};
    b->segment_count = N / T < SEGMENTS_MAX ? N / T : SEGMENTS_MAX;
    for (int s = 0; s < b->segment_count; s++)
        b->segments[s] = (struct segment){.first = s * T, .count = T};
    const double pairs = 0.5 * b->segment_count * T * (T + 1) * H * D * 2;
    snprintf(name, sizeof name, "attention T=%d H=%d K=%d D=%d", T, H, K, D);
    TRY(report(name, attention, b, pairs, "multiply-add"));
    snprintf(name, sizeof name, "attention_backward T=%d H=%d K=%d D=%d", T, H, K, D);
    TRY(report(name, attention_backward, b, 2.5 * pairs, "multiply-add"));
    for (enum kv_format format = KV_F32; format <= KV_BF16; format++)
        TRY(report_decode(b, T, format));
    return OK;
}

/* Steps over arrays that no cache holds, where almost all values change and where few do; and what
 * a full digest of them takes. */
static err_t report_large(struct backend *be, size_t count)
{
    enum { STEPS = 7 };
    static const float rates[] = {1e-3f, 1e-5f, 1e-6f};
    SCOPED_MEM float *master = mem_aligned(count * sizeof *master),
                     *m = mem_aligned(count * sizeof *m), *v = mem_aligned(count * sizeof *v),
                     *grad = mem_aligned(count * sizeof *grad);
    SCOPED_MEM bf16 *w = mem_aligned(count * sizeof *w);
    for (size_t i = 0; i < count; i++) {
        master[i] = (float)((int)(i * 7919 % 2003) - 1001) / 25000;
        grad[i] = (float)((int)(i * 104729 % 1999) - 999) / 1000;
    }
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        struct adamw_total total;
        double best = 1e9;
        for (int i = 1; i <= STEPS; i++) {
            const struct adamw_step step = {rates[r], 0.9f, 0.99f, 1e-8f, 0, 1, i};
            total = (struct adamw_total){0};
            const double start = clock_s();
            TRY(be->ops->adamw(be, master, w, m, v, grad, 0, count, &step, NULL, &total));
            const double took = clock_s() - start;
            best = i > 1 && took < best ? took : best;
        }
        printf("{\"op\":\"adamw of %zuM\",\"lr\":%g,\"changed\":%.4f,\"ms\":%.1f}\n",
               count / 1000000, (double)rates[r], (double)total.changed / (double)count,
               best * 1e3);
    }
    const double start = clock_s();
    const struct digest digest = weights_digest(w, 0, count);
    printf("{\"op\":\"digest of %zuM\",\"ms\":%.1f,\"first\":%d}\n", count / 1000000,
           (clock_s() - start) * 1e3, digest.byte[0]);
    return OK;
}

static err_t run(int threads)
{
    static struct bench b;
    SCOPED(backend) be = NULL;
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    b.be = be;
    b.x = mem_aligned((size_t)N * V * 4);
    b.y = mem_aligned((size_t)N * V * 4);
    b.z = mem_aligned((size_t)N * V * 4);
    b.w = mem_aligned((size_t)N * V * 4);
    b.r = mem_aligned((size_t)N * 16 * 4);
    b.weight = mem_aligned((size_t)N * C * 2);
    b.token = mem_aligned((size_t)N * 4);
    for (size_t i = 0; i < (size_t)N * V; i++)
        b.x[i] = (float)(i * 7919 % 1000) / 500 - 1;
    const double elements = (double)N * C, logits = (double)N * V;
    TRY(report("rmsnorm", rmsnorm, &b, elements, "element"));
    TRY(report("rmsnorm_backward", rmsnorm_backward, &b, elements, "element"));
    TRY(report("rope", rope, &b, elements, "element"));
    TRY(report("swiglu", swiglu, &b, elements, "element"));
    TRY(report("swiglu_backward", swiglu_backward, &b, elements, "element"));
    TRY(report("token_logp", token_logp, &b, logits, "logit"));
    TRY(report("token_logp with entropy", token_logp_entropy, &b, logits, "logit"));
    TRY(report("token_logp_backward", token_logp_backward, &b, logits, "logit"));
    TRY(report("square_sum", square_sum, &b, elements, "parameter"));
    TRY(report_attention(&b, 20, 4, 4, 16));
    TRY(report_attention(&b, 128, 4, 2, 32));
    TRY(report_attention(&b, 512, 8, 8, 64));
    TRY(report("adamw", adamw, &b, elements, "parameter"));
    return report_large(be, 125000000);
}

int main(int argc, char **argv)
{
    err_t e = run(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    const int status = err_failed(e);
    err_free(e);
    return status;
}
