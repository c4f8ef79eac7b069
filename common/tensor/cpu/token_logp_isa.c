/* The vocabulary row: log-probability of a token, entropy, softmax and the slope. All of them see a
 * row as x[v] = logits[v] * inverse_temperature, its true maximum, and the sum of exp(x - max) in
 * 16 lanes by index mod 16. */
#include "tensor/cpu/isa.h"

struct row_sum {
    float max, sum;
    float moment; // sum of exp(x - max) * (x - max), where asked for
};

INLINE v16 scaled(const float *row, int n, v16 scale)
{
    return v16_mul(v16_load_some(row, n), scale);
}

static float row_max(const float *row, int V, float scale)
{
    const v16 s = v16_set1(scale), lowest = v16_set1(-INFINITY);
    v16 max = lowest;
    int i = 0;
    for (; i + 16 <= V; i += 16)
        max = v16_max(v16_mul(v16_load(row + i), s), max);
    max = v16_max(v16_first(scaled(row + i, V - i, s), V - i, lowest), max);
    return v16_max_lane(max);
}

/* Each lane's sum is one chain over its indices ascending. The exponentials go to ret_exp, unless
 * it is NULL; row and ret_exp may be the same memory. */
static struct row_sum row_sum(const float *row, int V, float scale, bool want_moment,
                              float *ret_exp)
{
    struct row_sum ret = {.max = row_max(row, V, scale)};
    const v16 s = v16_set1(scale), max = v16_set1(ret.max), zero = v16_set1(0.0f);
    v16 sum = zero, moment = zero;
    for (int i = 0; i < V; i += 16) {
        v16 x = v16_sub(scaled(row + i, V - i, s), max);
        v16 e = v16_first(v16_exp(x), V - i, zero);
        sum = v16_add(sum, e);
        if (ret_exp)
            v16_store_some(ret_exp + i, e, V - i);
        if (want_moment) // below -87 e is 0, and the product must be too for a logit of -infinity
            moment = v16_fma(e, v16_max(v16_set1(-87.0f), x), moment);
    }
    ret.sum = v16_sum(sum);
    ret.moment = v16_sum(moment);
    return ret;
}

static struct row_norm norm_of(const struct row_sum *row)
{
    return (struct row_norm){row->max, exact_log(row->sum)};
}

void ISA_NAME(token_logp)(float *logp, float *entropy, const float *logits, const int32_t *token,
                          float inverse_temperature, int N, int V)
{
    for (int n = 0; n < N; n++, logits += V) {
        const struct row_sum row = row_sum(logits, V, inverse_temperature, entropy != NULL, NULL);
        const struct row_norm norm = norm_of(&row);
        logp[n] = row_logp(&norm, logits[token[n]] * inverse_temperature);
        if (entropy)
            entropy[n] = (float)(norm.log_sum - (double)row.moment / row.sum);
    }
}

/* probability = exp(x - max) * (1 / sum), times factor. */
static struct row_sum probabilities(float *ret, const float *logits, int V, float scale,
                                    float factor)
{
    const struct row_sum row = row_sum(logits, V, scale, false, ret);
    const v16 inverse = v16_set1(1.0f / row.sum), f = v16_set1(factor);
    for (int i = 0; i < V; i += 16)
        v16_store_some(ret + i, v16_mul(v16_mul(v16_load_some(ret + i, V - i), inverse), f), V - i);
    return row;
}

struct row_norm ISA_NAME(softmax)(float *probability, const float *logits,
                                  float inverse_temperature, int V)
{
    const struct row_sum row = probabilities(probability, logits, V, inverse_temperature, 1.0f);
    return norm_of(&row);
}

void ISA_NAME(token_logp_backward)(float *logits, const float *dlogp, const int32_t *token,
                                   float inverse_temperature, int N, int V)
{
    for (int n = 0; n < N; n++, logits += V) {
        const float slope = dlogp[n] * inverse_temperature;
        if (dlogp[n] == 0.0f) { // a row outside the loss: prompts, padding
            memset(logits, 0, (size_t)V * sizeof *logits);
            continue;
        }
        probabilities(logits, logits, V, inverse_temperature, -slope);
        logits[token[n]] += slope;
    }
}
