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

/* ---- terms of whole rows (tensor/row_terms.h), of one row at a time */

/* A row's normaliser: p = exp(x - max) * inverse, log p = (x - max) - log_sum. */
struct term_norm {
    float max, inverse, log_sum;
    double exact_log_sum;
};

static struct term_norm term_norm_of(const float *row, int V, float scale)
{
    const v16 s = v16_set1(scale), lowest = v16_set1(-INFINITY), zero = v16_set1(0.0f);
    v16 max = lowest, sum = zero;
    for (int i = 0; i < V; i += 16)
        max = v16_max(v16_first(scaled(row + i, V - i, s), V - i, lowest), max);
    const float top = v16_max_lane(max);
    for (int i = 0; i < V; i += 16) {
        const v16 x = v16_sub(scaled(row + i, V - i, s), v16_set1(top));
        sum = v16_add(sum, v16_first(v16_exp(x), V - i, zero));
    }
    const float all = v16_sum(sum);
    const double log_sum = exact_log((double)all);
    return (struct term_norm){top, 1.0f / all, (float)log_sum, log_sum};
}

/* Sixteen tokens of the row: p, log p; q, their distance, and log(p / m) of the mixture. */
struct block {
    v16 p, logp, q, d, mixed;
};

/* log p of a token that is none is finite, so that its product with p = 0 is 0. */
INLINE v16 log_of(v16 x, const struct term_norm *norm)
{
    return v16_sub(v16_max(v16_set1(-200.0f), x), v16_set1(norm->log_sum));
}

static v16 mixed_of(v16 d, float beta)
{
    float odds[16];
    v16_store(odds, v16_exp(v16_sub(v16_set1(0.0f), d)));
    for (int i = 0; i < 16; i++)
        odds[i] = (float)-exact_log(1.0 - (double)beta + (double)beta * (double)odds[i]);
    return v16_load(odds);
}

struct term_row {
    const float *logits, *reference;
    struct term_norm policy, other;
    float scale, beta;
    bool mixes;
};

static struct block block_at(const struct term_row *row, int i, int n)
{
    const v16 s = v16_set1(row->scale), zero = v16_set1(0.0f);
    const v16 far = v16_set1(TERM_DISTANCE_MAX), near = v16_set1(-TERM_DISTANCE_MAX);
    v16 x = v16_sub(scaled(row->logits + i, n, s), v16_set1(row->policy.max));
    struct block b = {.p = v16_mul(v16_first(v16_exp(x), n, zero), v16_set1(row->policy.inverse)),
                      .logp = log_of(x, &row->policy),
                      .q = zero,
                      .d = zero,
                      .mixed = zero};
    if (!row->reference)
        return b;
    x = v16_sub(scaled(row->reference + i, n, s), v16_set1(row->other.max));
    b.q = v16_mul(v16_first(v16_exp(x), n, zero), v16_set1(row->other.inverse));
    b.d = v16_min(far, v16_max(near, v16_sub(b.logp, log_of(x, &row->other))));
    if (row->mixes)
        b.mixed = mixed_of(b.d, row->beta);
    return b;
}

/* Row n of the call. */
static struct term_row term_row_of(const float *logits, const float *reference,
                                   const struct row_call *call, int n, bool mixes)
{
    const size_t at = (size_t)n * (size_t)call->V;
    struct term_row row = {.logits = logits + at,
                           .reference = reference ? reference + at : NULL,
                           .scale = call->inverse_temperature,
                           .beta = call->beta,
                           .mixes = mixes};
    row.policy = term_norm_of(row.logits, call->V, row.scale);
    if (reference)
        row.other = term_norm_of(row.reference, call->V, row.scale);
    return row;
}

/* The first of the largest but for the token; V: there is no other. */
static int rival_of(const float *logits, int token, int V)
{
    int best = V;
    for (int v = 0; v < V; v++)
        if (v != token && (best == V || logits[v] > logits[best]))
            best = v;
    return best;
}

/* The terms, and behind them the sum of p log(p / m), which the slope of the mixture needs. */
struct terms {
    float at[TERM_COUNT], mixed;
    int rival;
};

static struct terms terms_of(const struct term_row *row, int token, int V)
{
    const v16 zero = v16_set1(0.0f), b = v16_set1(row->beta), a = v16_set1(1.0f - row->beta);
    v16 entropy = zero, forward = zero, reverse = zero, jsd = zero, mixed = zero;
    struct terms ret = {.rival = rival_of(row->logits, token, V)};
    for (int i = 0; i < V; i += 16) {
        const struct block x = block_at(row, i, V - i);
        const v16 weighed = v16_mul(x.p, x.mixed);
        entropy = v16_fma(x.p, x.logp, entropy);
        forward = v16_fma(x.q, x.d, forward);
        reverse = v16_fma(x.p, x.d, reverse);
        jsd = v16_fma(v16_mul(b, x.q), v16_sub(x.mixed, x.d), jsd);
        jsd = v16_fma(a, weighed, jsd);
        mixed = v16_add(mixed, weighed);
    }
    ret.at[TERM_ENTROPY] = 0.0f - v16_sum(entropy);
    ret.at[TERM_FORWARD_KL] = 0.0f - v16_sum(forward);
    ret.at[TERM_REVERSE_KL] = v16_sum(reverse);
    ret.at[TERM_JSD] = v16_sum(jsd);
    ret.mixed = v16_sum(mixed);
    if (ret.rival < V)
        ret.at[TERM_RIVAL_LOGP] = (float)((double)(row->logits[ret.rival] * row->scale) -
                                          row->policy.max - row->policy.exact_log_sum);
    return ret;
}

void ISA_NAME(row_terms)(const float *logits, const float *reference, const struct row_call *call,
                         const struct row_values *ret, int from, int to)
{
    for (int n = from; n < to; n++) {
        const struct term_row row =
            term_row_of(logits, reference, call, n, ret->at[TERM_JSD] != NULL);
        const struct terms terms = terms_of(&row, call->token[n], call->V);
        for (int k = 0; k < TERM_COUNT; k++)
            if (ret->at[k])
                ret->at[k][n] = terms.at[k];
    }
}

static float slope_at(const struct row_slopes *slopes, int term, int n)
{
    return slopes->at[term] ? slopes->at[term][n] : 0.0f;
}

/* The row's slopes; whether there is one. */
static bool take_slopes(const struct row_slopes *slopes, int n, float ret[TERM_SLOPES])
{
    bool any = false;
    for (int k = 0; k < TERM_SLOPES; k++) {
        ret[k] = slope_at(slopes, k, n);
        any = any || ret[k] != 0.0f;
    }
    return any;
}

static void row_backward(float *dx, const struct term_row *row, const struct terms *terms,
                         const float slope[TERM_SLOPES], int V)
{
    const v16 s = v16_set1(row->scale), gone = v16_set1(slope[TERM_LOGP] + slope[TERM_RIVAL_LOGP]),
              bonus = v16_set1(slope[TERM_ENTROPY]), entropy = v16_set1(terms->at[TERM_ENTROPY]),
              forward = v16_set1(slope[TERM_FORWARD_KL]),
              reverse = v16_set1(slope[TERM_REVERSE_KL]),
              mean = v16_set1(terms->at[TERM_REVERSE_KL]),
              jsd = v16_set1(slope[TERM_JSD] * (1.0f - row->beta)), mixed = v16_set1(terms->mixed);
    for (int i = 0; i < V; i += 16) {
        const struct block x = block_at(row, i, V - i);
        v16 at = v16_mul(bonus, v16_add(x.logp, entropy));
        at = v16_add(at, gone);
        at = v16_sub(v16_mul(reverse, v16_sub(x.d, mean)), at);
        at = v16_fma(jsd, v16_sub(x.mixed, mixed), at);
        at = v16_fma(x.p, at, v16_mul(forward, v16_sub(x.p, x.q)));
        v16_store_some(dx + i, v16_mul(at, s), V - i);
    }
}

void ISA_NAME(row_terms_backward)(float *logits, const float *reference,
                                  const struct row_call *call, const struct row_slopes *slopes,
                                  int from, int to)
{
    const int V = call->V;
    for (int n = from; n < to; n++) {
        float slope[TERM_SLOPES], *dx = logits + (size_t)n * (size_t)V;
        if (!take_slopes(slopes, n, slope)) {
            memset(dx, 0, (size_t)V * sizeof *dx);
            continue;
        }
        const struct term_row row =
            term_row_of(logits, reference, call, n, slope[TERM_JSD] != 0.0f);
        const struct terms terms = terms_of(&row, call->token[n], V);
        row_backward(dx, &row, &terms, slope, V);
        dx[call->token[n]] += slope[TERM_LOGP] * row.scale;
        if (terms.rival < V)
            dx[terms.rival] += slope[TERM_RIVAL_LOGP] * row.scale;
    }
}
