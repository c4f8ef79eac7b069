/* Terms of whole rows of logits and their slopes (tensor/row_terms.h): a block a row. Thread t
 * takes tokens t, t + 256, ... ascending, then come the trees of block_sum. */
#include "tensor/cuda/row_part.h"
#include "tensor/row_terms.h"

struct term_norm {
    float max, inverse, log_sum;
    double sum;
};

__device__ static float scaled(const float *row, int v, float scale)
{
    return __fmul_rn(row[v], scale);
}

__device__ static term_norm term_norm_of(const float *row, int V, float scale,
                                         float (&scratch)[8][PART_WARPS])
{
    float max = MINUS_INFINITY, sum = 0.0f;
    for (int v = threadIdx.x; v < V; v += PART_THREADS)
        max = fmaxf(max, scaled(row, v, scale));
    max = block_max<PART_THREADS>(max, scratch[0]);
    for (int v = threadIdx.x; v < V; v += PART_THREADS)
        sum = __fadd_rn(sum, exact_exp(__fsub_rn(scaled(row, v, scale), max)));
    sum = block_sum<PART_THREADS>(sum, scratch[1]);
    return {max, __frcp_rn(sum), (float)exact_log((double)sum), (double)sum};
}

/* One token, as cpu/token_logp_isa.c has it. */
struct term_place {
    float p, logp, q, d, mixed;
};

__device__ static float term_log(float x, const term_norm &norm)
{
    return __fsub_rn(fmaxf(-200.0f, x), norm.log_sum);
}

struct term_row {
    const float *logits, *reference;
    term_norm policy, other;
    float scale, beta;
};

__device__ static term_place term_at(const term_row &row, int v)
{
    float x = __fsub_rn(scaled(row.logits, v, row.scale), row.policy.max);
    term_place ret = {__fmul_rn(exact_exp(x), row.policy.inverse), term_log(x, row.policy), 0, 0,
                      0};
    if (!row.reference)
        return ret;
    x = __fsub_rn(scaled(row.reference, v, row.scale), row.other.max);
    ret.q = __fmul_rn(exact_exp(x), row.other.inverse);
    ret.d = fminf(TERM_DISTANCE_MAX,
                  fmaxf(-TERM_DISTANCE_MAX, __fsub_rn(ret.logp, term_log(x, row.other))));
    const double odds = (double)exact_exp(-ret.d), beta = (double)row.beta;
    ret.mixed = (float)-exact_log(__dadd_rn(__dadd_rn(1.0, -beta), __dmul_rn(beta, odds)));
    return ret;
}

/* The terms, and the sum of p log(p / m) behind them. The rival is the first of the largest. */
struct term_totals {
    float at[TERM_COUNT], mixed;
    int rival;
};

__device__ static int term_rival(const float *row, int token, int V, int (&found)[PART_WARPS])
{
    int best = V;
    for (int v = threadIdx.x; v < V; v += PART_THREADS)
        if (v != token && (best == V || row[v] > row[best]))
            best = v;
    for (int with = 16; with; with /= 2) {
        const int other = __shfl_xor_sync(0xffffffffu, best, with);
        if (other < V &&
            (best == V || row[other] > row[best] || (row[other] == row[best] && other < best)))
            best = other;
    }
    if (threadIdx.x % 32 == 0)
        found[threadIdx.x / 32] = best;
    __syncthreads();
    for (int w = 0; w < PART_WARPS; w++) {
        const int other = found[w];
        if (other < V &&
            (best == V || row[other] > row[best] || (row[other] == row[best] && other < best)))
            best = other;
    }
    return best;
}

__device__ static term_totals term_totals_of(const term_row &row, int token, int V,
                                             float (&scratch)[8][PART_WARPS],
                                             int (&found)[PART_WARPS])
{
    float sum[5] = {};
    for (int v = threadIdx.x; v < V; v += PART_THREADS) {
        const term_place x = term_at(row, v);
        const float weighed = __fmul_rn(x.p, x.mixed);
        sum[0] = __fmaf_rn(x.p, x.logp, sum[0]);
        sum[1] = __fmaf_rn(x.q, x.d, sum[1]);
        sum[2] = __fmaf_rn(x.p, x.d, sum[2]);
        sum[3] = __fmaf_rn(__fmul_rn(row.beta, x.q), __fsub_rn(x.mixed, x.d), sum[3]);
        sum[3] = __fmaf_rn(__fsub_rn(1.0f, row.beta), weighed, sum[3]);
        sum[4] = __fadd_rn(sum[4], weighed);
    }
    for (int k = 0; k < 5; k++)
        sum[k] = block_sum<PART_THREADS>(sum[k], scratch[2 + k]);
    term_totals ret = {{-sum[0], -sum[1], sum[2], sum[3], 0}, sum[4], V};
    ret.rival = term_rival(row.logits, token, V, found);
    if (ret.rival < V) {
        const double x = (double)scaled(row.logits, ret.rival, row.scale);
        ret.at[TERM_RIVAL_LOGP] =
            (float)__dadd_rn(__dadd_rn(x, -(double)row.policy.max), -exact_log(row.policy.sum));
    }
    return ret;
}

__device__ static term_row term_row_of(const float *logits, const float *reference, float scale,
                                       float beta, int V, float (&scratch)[8][PART_WARPS])
{
    const size_t at = (size_t)blockIdx.x * V;
    term_row row = {logits + at, reference ? reference + at : NULL, {}, {}, scale, beta};
    row.policy = term_norm_of(row.logits, V, scale, scratch);
    if (reference)
        row.other = term_norm_of(row.reference, V, scale, scratch);
    return row;
}

/* value (N, TERM_COUNT). */
__global__ void __launch_bounds__(PART_THREADS, 1)
    terms_kernel(float *value, const float *logits, const float *reference, const int32_t *token,
                 float scale, float beta, int V)
{
    SHARED(float[8][PART_WARPS], scratch);
    SHARED(int[PART_WARPS], found);
    early_begin();
    const term_row row = term_row_of(logits, reference, scale, beta, V, scratch);
    const term_totals all = term_totals_of(row, token[blockIdx.x], V, scratch, found);
    if (threadIdx.x < TERM_COUNT)
        value[(size_t)blockIdx.x * TERM_COUNT + threadIdx.x] = all.at[threadIdx.x];
}

cudaError_t vocabulary_terms(cudaStream_t stream, float *value, const float *logits,
                             const float *reference, const int32_t *token,
                             float inverse_temperature, float beta, int N, int V)
{
    if (!N)
        return cudaSuccess;
    return launch_early(terms_kernel, dim3(N), dim3(PART_THREADS), 0, stream, value, logits,
                        reference, token, inverse_temperature, beta, V);
}

/* slope (N, TERM_SLOPES). Each thread overwrites what it alone reads from then on. */
__global__ void __launch_bounds__(PART_THREADS)
    terms_slope_kernel(float *logits, const float *reference, const int32_t *token,
                       const float *slope, float scale, float beta, int V)
{
    SHARED(float[8][PART_WARPS], scratch);
    SHARED(int[PART_WARPS], found);
    early_begin();
    const float *const mine = slope + (size_t)blockIdx.x * TERM_SLOPES;
    float *const out = logits + (size_t)blockIdx.x * V;
    bool any = false;
    for (int k = 0; k < TERM_SLOPES; k++)
        any = any || mine[k] != 0.0f;
    if (!any) {
        for (int v = threadIdx.x; v < V; v += PART_THREADS)
            out[v] = 0.0f;
        return;
    }
    const int target = token[blockIdx.x];
    const term_row row = term_row_of(logits, reference, scale, beta, V, scratch);
    const term_totals all = term_totals_of(row, target, V, scratch, found);
    const float gone = __fadd_rn(mine[TERM_LOGP], mine[TERM_RIVAL_LOGP]),
                jsd = __fmul_rn(mine[TERM_JSD], __fsub_rn(1.0f, beta));
    __syncthreads(); // the rival's logit was read by all
    for (int v = threadIdx.x; v < V; v += PART_THREADS) {
        const term_place x = term_at(row, v);
        float at = __fmul_rn(mine[TERM_ENTROPY], __fadd_rn(x.logp, all.at[TERM_ENTROPY]));
        at = __fadd_rn(at, gone);
        at = __fsub_rn(__fmul_rn(mine[TERM_REVERSE_KL], __fsub_rn(x.d, all.at[TERM_REVERSE_KL])),
                       at);
        at = __fmaf_rn(jsd, __fsub_rn(x.mixed, all.mixed), at);
        at = __fmaf_rn(x.p, at, __fmul_rn(mine[TERM_FORWARD_KL], __fsub_rn(x.p, x.q)));
        at = __fmul_rn(at, scale);
        if (v == target)
            at = __fadd_rn(at, __fmul_rn(mine[TERM_LOGP], scale));
        if (v == all.rival)
            at = __fadd_rn(at, __fmul_rn(mine[TERM_RIVAL_LOGP], scale));
        out[v] = at;
    }
}

cudaError_t vocabulary_terms_backward(cudaStream_t stream, float *logits, const float *reference,
                                      const int32_t *token, const float *slope,
                                      float inverse_temperature, float beta, int N, int V)
{
    if (!N)
        return cudaSuccess;
    return launch_early(terms_slope_kernel, dim3(N), dim3(PART_THREADS), 0, stream, logits,
                        reference, token, slope, inverse_temperature, beta, V);
}
