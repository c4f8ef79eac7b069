/* The ops that go row by row or element by element, split over the pool. */
#include "base/mem.h"
#include "tensor/cpu/cpu.h"
#include "tensor/token_check.h"
#include <math.h>

/* How many multiply-adds an element takes as long as: with an exponential, without one. */
enum { EXP_COST = 16, PLAIN_COST = 4, LINE = 64 };

/* One job type for all of them: each range function reads what its op has set. */
struct rows {
    float *y, *y2;
    const float *x, *x2, *x3;
    const bf16 *weight;
    const int32_t *index;
    float number;
    int N, C, heads, turned, inverse, by_tanh;
    const struct token_range *range;
    int ranges;
};

static void embed_backward_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                                 int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->embed_backward(job->y, job->x, job->index, job->N, job->C, (int)begin, (int)end);
}

err_t cpu_embed_backward(struct backend *be, float *dtable, const float *dy, const int32_t *token,
                         int N, int C)
{
    const struct rows job = {.y = dtable, .x = dy, .index = token, .N = N, .C = C};
    cpu_split(cpu_of(be), (size_t)C, LINE, (double)N * C, embed_backward_range, &job);
    return OK;
}

static void rmsnorm_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct rows *job = data;
    const size_t at = begin * (size_t)job->C;
    cpu->kernels->rmsnorm(job->y + at, job->y2 + begin, job->x + at, job->weight, job->number,
                          (int)(end - begin), job->C);
}

err_t cpu_rmsnorm(struct backend *be, float *y, float *r, const float *x, const bf16 *weight,
                  float eps, int N, int C)
{
    const struct rows job = {.y = y, .y2 = r, .x = x, .weight = weight, .number = eps, .C = C};
    cpu_split(cpu_of(be), (size_t)N, 1, (double)N * C * PLAIN_COST, rmsnorm_range, &job);
    return OK;
}

static void rmsnorm_dx_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                             int thread)
{
    (void)thread;
    const struct rows *job = data;
    const size_t at = begin * (size_t)job->C;
    cpu->kernels->rmsnorm_dx(job->y + at, job->x + at, job->x2 + at, job->x3 + begin, job->weight,
                             (int)(end - begin), job->C);
}

static void rmsnorm_dweight_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                                  int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->rmsnorm_dweight(job->y2, job->x, job->x2, job->x3, job->N, job->C, (int)begin,
                                  (int)end);
}

err_t cpu_rmsnorm_backward(struct backend *be, float *dx, float *dweight, const float *dy,
                           const float *x, const float *r, const bf16 *weight, int N, int C)
{
    const struct rows job = {
        .y = dx, .y2 = dweight, .x = dy, .x2 = x, .x3 = r, .weight = weight, .N = N, .C = C};
    const double work = (double)N * C * PLAIN_COST;
    cpu_split(cpu_of(be), (size_t)C, LINE, work, rmsnorm_dweight_range, &job);
    cpu_split(cpu_of(be), (size_t)N, 1, work, rmsnorm_dx_range, &job);
    return OK;
}

static void layernorm_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct rows *job = data;
    const size_t at = begin * (size_t)job->C;
    cpu->kernels->layernorm(job->y + at, job->y2 + 2 * begin, job->x + at, job->weight, job->number,
                            (int)(end - begin), job->C);
}

err_t cpu_layernorm(struct backend *be, float *y, float *stats, const float *x, const bf16 *weight,
                    float eps, int N, int C)
{
    const struct rows job = {.y = y, .y2 = stats, .x = x, .weight = weight, .number = eps, .C = C};
    cpu_split(cpu_of(be), (size_t)N, 1, (double)N * C * PLAIN_COST, layernorm_range, &job);
    return OK;
}

static void layernorm_dx_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                               int thread)
{
    (void)thread;
    const struct rows *job = data;
    const size_t at = begin * (size_t)job->C;
    cpu->kernels->layernorm_dx(job->y + at, job->x + at, job->x2 + at, job->x3 + 2 * begin,
                               job->weight, (int)(end - begin), job->C);
}

static void layernorm_dweight_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                                    int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->layernorm_dweight(job->y2, job->x, job->x2, job->x3, job->N, job->C, (int)begin,
                                    (int)end);
}

err_t cpu_layernorm_backward(struct backend *be, float *dx, float *dweight, const float *dy,
                             const float *x, const float *stats, const bf16 *weight, int N, int C)
{
    const struct rows job = {
        .y = dx, .y2 = dweight, .x = dy, .x2 = x, .x3 = stats, .weight = weight, .N = N, .C = C};
    const double work = (double)N * C * PLAIN_COST;
    cpu_split(cpu_of(be), (size_t)C, LINE, work, layernorm_dweight_range, &job);
    cpu_split(cpu_of(be), (size_t)N, 1, work, layernorm_dx_range, &job);
    return OK;
}

static void bias_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->bias(job->y + begin * (size_t)job->C, job->weight, (int)(end - begin), job->C);
}

err_t cpu_bias(struct backend *be, float *y, const bf16 *bias, int N, int C)
{
    const struct rows job = {.y = y, .weight = bias, .C = C};
    cpu_split(cpu_of(be), (size_t)N, 1, (double)N * C, bias_range, &job);
    return OK;
}

static void bias_backward_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                                int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->bias_backward(job->y, job->x, job->N, job->C, (int)begin, (int)end);
}

err_t cpu_bias_backward(struct backend *be, float *dbias, const float *dy, int N, int C)
{
    const struct rows job = {.y = dbias, .x = dy, .N = N, .C = C};
    cpu_split(cpu_of(be), (size_t)C, LINE, (double)N * C, bias_backward_range, &job);
    return OK;
}

static void rope_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->rope(job->y + begin * (size_t)job->heads * (size_t)job->C, job->index + begin,
                       job->x, job->x2, (int)(end - begin), job->heads, job->C, job->turned,
                       job->inverse);
}

err_t cpu_rope(struct backend *be, float *x, const int32_t *position, const float *cos,
               const float *sin, int N, int heads, int D, int R, int inverse)
{
    if (R < 2 || R % 2 || R > D)
        return err_new(
            ERR_INVALID,
            "rotary embedding of %d elements of heads of %d: an even number from 2 to %d", R, D, D);
    const struct rows job = {.y = x,
                             .index = position,
                             .x = cos,
                             .x2 = sin,
                             .heads = heads,
                             .C = D,
                             .turned = R,
                             .inverse = inverse};
    cpu_split(cpu_of(be), (size_t)N, 1, (double)N * heads * R * PLAIN_COST, rope_range, &job);
    return OK;
}

static void swiglu_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->swiglu(job->y + begin, job->x + begin, job->x2 + begin, end - begin);
}

err_t cpu_swiglu(struct backend *be, float *y, const float *gate, const float *up, size_t count)
{
    const struct rows job = {.y = y, .x = gate, .x2 = up};
    cpu_split(cpu_of(be), count, LINE, (double)count * EXP_COST, swiglu_range, &job);
    return OK;
}

static void swiglu_backward_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                                  int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->swiglu_backward(job->y + begin, job->y2 + begin, job->x + begin, job->x2 + begin,
                                  job->x3 + begin, end - begin);
}

err_t cpu_swiglu_backward(struct backend *be, float *dgate, float *dup, const float *dy,
                          const float *gate, const float *up, size_t count)
{
    const struct rows job = {.y = dgate, .y2 = dup, .x = dy, .x2 = gate, .x3 = up};
    cpu_split(cpu_of(be), count, LINE, (double)count * EXP_COST, swiglu_backward_range, &job);
    return OK;
}

static void gelu_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->gelu(job->y + begin, job->x + begin, end - begin, job->by_tanh);
}

err_t cpu_gelu(struct backend *be, float *y, const float *x, size_t count, int by_tanh)
{
    const struct rows job = {.y = y, .x = x, .by_tanh = by_tanh};
    cpu_split(cpu_of(be), count, LINE, (double)count * EXP_COST, gelu_range, &job);
    return OK;
}

static void gelu_backward_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                                int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->gelu_backward(job->y + begin, job->x + begin, job->x2 + begin, end - begin,
                                job->by_tanh);
}

err_t cpu_gelu_backward(struct backend *be, float *dx, const float *dy, const float *x,
                        size_t count, int by_tanh)
{
    const struct rows job = {.y = dx, .x = dy, .x2 = x, .by_tanh = by_tanh};
    cpu_split(cpu_of(be), count, LINE, (double)count * EXP_COST, gelu_backward_range, &job);
    return OK;
}

static void add_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->add(job->y + begin, job->x + begin, end - begin);
}

err_t cpu_add(struct backend *be, float *y, const float *x, size_t count)
{
    const struct rows job = {.y = y, .x = x};
    cpu_split(cpu_of(be), count, LINE, (double)count, add_range, &job);
    return OK;
}

static void scale_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)cpu;
    (void)thread;
    const struct rows *job = data;
    for (size_t i = begin; i < end; i++)
        job->y[i] *= job->number;
}

err_t cpu_scale(struct backend *be, float *x, float factor, size_t count)
{
    const struct rows job = {.y = x, .number = factor};
    cpu_split(cpu_of(be), count, LINE, (double)count, scale_range, &job);
    return OK;
}

static void round_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)cpu;
    (void)thread;
    const struct rows *job = data;
    for (size_t i = begin; i < end; i++)
        job->y[i] = bf16_to_float(bf16_from_float(job->y[i]));
}

err_t cpu_round_bf16(struct backend *be, float *x, size_t count)
{
    const struct rows job = {.y = x};
    cpu_split(cpu_of(be), count, LINE, (double)count * PLAIN_COST, round_range, &job);
    return OK;
}

/* ---- the vocabulary row */

static void token_logp_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                             int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->token_logp(job->y + begin, job->y2 ? job->y2 + begin : NULL,
                             job->x + begin * (size_t)job->C, job->index + begin, job->number,
                             (int)(end - begin), job->C);
}

err_t cpu_token_logp(struct backend *be, float *logp, float *entropy, const float *logits,
                     const int32_t *token, float inverse_temperature, int N, int V)
{
    TRY(token_check(token, N, V));
    const struct rows job = {.y = logp,
                             .y2 = entropy,
                             .x = logits,
                             .index = token,
                             .number = inverse_temperature,
                             .C = V};
    cpu_split(cpu_of(be), (size_t)N, 1, (double)N * V * EXP_COST, token_logp_range, &job);
    return OK;
}

static void token_logp_backward_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                                      int thread)
{
    (void)thread;
    const struct rows *job = data;
    cpu->kernels->token_logp_backward(job->y + begin * (size_t)job->C, job->x + begin,
                                      job->index + begin, job->number, (int)(end - begin), job->C);
}

err_t cpu_token_logp_backward(struct backend *be, float *logits, const float *dlogp,
                              const int32_t *token, float inverse_temperature, int N, int V)
{
    TRY(token_check(token, N, V));
    const struct rows job = {
        .y = logits, .x = dlogp, .index = token, .number = inverse_temperature, .C = V};
    cpu_split(cpu_of(be), (size_t)N, 1, (double)N * V * EXP_COST, token_logp_backward_range, &job);
    return OK;
}

struct row_terms_job {
    float *logits;
    const float *reference;
    const struct row_call *call;
    const struct row_values *values;
    const struct row_slopes *slopes; // NULL: values are asked for
};

static void row_terms_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct row_terms_job *job = data;
    const struct cpu_kernels *kernels = cpu->kernels;
    if (job->slopes)
        kernels->row_terms_backward(job->logits, job->reference, job->call, job->slopes, (int)begin,
                                    (int)end);
    else
        kernels->row_terms(job->logits, job->reference, job->call, job->values, (int)begin,
                           (int)end);
}

static err_t row_terms(struct backend *be, const struct row_terms_job *job)
{
    enum { PASSES = 4 }; // over a row, each with an exponential
    const struct row_call *call = job->call;
    TRY(token_check(call->token, call->N, call->V));
    cpu_split(cpu_of(be), (size_t)call->N, 1, (double)call->N * call->V * EXP_COST * PASSES,
              row_terms_range, job);
    return OK;
}

err_t cpu_row_terms(struct backend *be, const float *logits, const float *reference,
                    const struct row_call *call, const struct row_values *ret)
{
    return row_terms(be, &(struct row_terms_job){(float *)logits, reference, call, ret, NULL});
}

err_t cpu_row_terms_backward(struct backend *be, float *logits, const float *reference,
                             const struct row_call *call, const struct row_slopes *slopes)
{
    return row_terms(be, &(struct row_terms_job){logits, reference, call, NULL, slopes});
}

static void token_mask_range(struct cpu *cpu, const void *data, size_t begin, size_t end,
                             int thread)
{
    (void)cpu;
    (void)thread;
    const struct rows *job = data;
    for (size_t n = begin; n < end; n++) {
        float *row = job->y + n * (size_t)job->C;
        for (int i = 0; i < job->ranges; i++)
            for (int32_t v = 0; v < job->range[i].count; v++)
                row[job->range[i].first + v] = -INFINITY;
    }
}

err_t cpu_token_mask(struct backend *be, float *logits, const struct token_range *range, int ranges,
                     int N, int V)
{
    double masked = 0;
    TRY(token_ranges_check(range, ranges, V));
    for (int i = 0; i < ranges; i++)
        masked += range[i].count;
    const struct rows job = {.y = logits, .range = range, .ranges = ranges, .C = V};
    cpu_split(cpu_of(be), (size_t)N, 1, N * masked, token_mask_range, &job);
    return OK;
}
