/* Rows of logits in plain C++: the orders that tensor/cuda/vocabulary.h documents. Included by the
 * tests of its kernels. */
#pragma once
#include "tensor/cuda/rows.h"
#include "tensor/cuda/vocabulary.h"
#include "test.h"
#include <algorithm>

/* ---- sums */

struct part_sums {
    float max, sum, moment;
};
struct row_sums {
    float max;
    double sum, moment;
    std::vector<part_sums> part;
    std::vector<double> each; // the parts' sums in the row's units
};

static inline float tree_of_warps(std::vector<float> thread)
{
    float sum = 0;
    for (size_t w = 0; w < thread.size() / 32; w++) {
        const float one = reference_tree(&thread[w * 32]);
        sum = w ? sum + one : one;
    }
    return sum;
}

static inline float exp_of(float x)
{
    return x == x ? reference_exp(x) : x;
}

static inline part_sums reference_part(const float *x, int count, float scale)
{
    part_sums ret = {-INFINITY, 0, 0};
    std::vector<float> sum(256), moment(256);
    for (int v = 0; v < count; v++)
        ret.max = fmaxf(ret.max, x[v] * scale);
    const float base = ret.max == -INFINITY ? 0 : ret.max;
    for (int v = 0; v < count; v++) {
        const int t = v / 4 % 256;
        const float d = x[v] * scale - base, e = exp_of(d);
        sum[t] += e;
        moment[t] = fmaf(e, fmaxf(-87.0f, d), moment[t]);
    }
    ret.sum = tree_of_warps(sum);
    ret.moment = tree_of_warps(moment);
    return ret;
}

static inline double tree_of_lanes(std::vector<double> lane)
{
    for (int with = 16; with; with /= 2)
        for (int i = 0; i < with; i++)
            lane[i] += lane[i + with];
    return lane[0];
}

static inline row_sums reference_row(const std::vector<float> &x, float scale)
{
    row_sums ret = {-INFINITY, 0, 0, {}, {}};
    std::vector<double> sum(32), moment(32);
    for (size_t at = 0; at < x.size(); at += ROW_PART) {
        const int count = (int)std::min<size_t>(x.size() - at, ROW_PART);
        ret.part.push_back(reference_part(&x[at], count, scale));
        ret.max = fmaxf(ret.max, ret.part.back().max);
    }
    for (size_t p = 0; p < ret.part.size(); p++) {
        const part_sums &one = ret.part[p];
        const float down = one.max - ret.max;
        const double factor = exp_of(down);
        ret.each.push_back(factor * one.sum);
        sum[p % 32] += ret.each[p];
        moment[p % 32] += factor * (one.moment + one.sum * (double)fmaxf(-87.0f, down));
    }
    ret.sum = tree_of_lanes(sum);
    ret.moment = tree_of_lanes(moment);
    return ret;
}

static inline double log_of(double x)
{
    return x < INFINITY ? reference_log(x) : x;
}

static inline float reference_logp(const row_sums &row, float logit, float scale)
{
    return (float)((double)(logit * scale) - (double)row.max - log_of(row.sum));
}

static inline float reference_entropy(const row_sums &row)
{
    return (float)(log_of(row.sum) - row.moment / row.sum);
}

/* ---- draws */

typedef unsigned __int128 wide;

static inline uint64_t reference_mass(float weight, int bits)
{
    return (uint64_t)ldexp((double)weight, bits);
}

static inline uint64_t reference_random(const draw_request &r)
{
    uint32_t c[4] = {(uint32_t)r.counter, (uint32_t)(r.counter >> 32), (uint32_t)r.stream,
                     (uint32_t)(r.stream >> 32)};
    for (uint32_t i = 0; i < 10; i++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t k0 = (uint32_t)r.key + i * 0x9E3779B9u,
                       k1 = (uint32_t)(r.key >> 32) + i * 0xBB67AE85u;
        const uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k0, (uint32_t)p1,
                                  (uint32_t)(p0 >> 32) ^ c[3] ^ k1, (uint32_t)p0};
        memcpy(c, next, sizeof c);
    }
    return ((uint64_t)c[1] << 32 | c[0]) >> 11;
}

/* The tokens that top_k, top_p and min_p keep, by sorting. */
static inline std::vector<bool> reference_kept(const std::vector<float> &weight, double total,
                                               const draw_request &r)
{
    const int V = (int)weight.size();
    const double unit = ldexp(1.0, MASS_BITS);
    std::vector<int> order(V);
    std::vector<bool> keep(V, false);
    uint64_t sum = 0;
    for (int v = 0; v < V; v++)
        order[v] = v;
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return weight[a] > weight[b]; });
    int most = r.top_k > 0 && r.top_k < V ? r.top_k : V;
    double limit = total * unit;
    if (most < V) {
        for (int i = 0; i < most; i++)
            sum += reference_mass(weight[order[i]], MASS_BITS);
        limit = (double)sum;
    }
    limit *= r.top_p > 0 && r.top_p < 1 ? (double)r.top_p : 2.0;
    sum = 0;
    for (int i = 0; i < most; i++) {
        keep[order[i]] = weight[order[i]] >= r.min_p;
        sum += reference_mass(weight[order[i]], MASS_BITS);
        if ((double)sum >= limit && sum)
            break;
    }
    return keep;
}

static inline draw_result reference_draw(std::vector<float> x, const draw_request &r,
                                         const int32_t *token)
{
    const float scale = r.inverse_temperature;
    const std::vector<float> logits = x;
    const row_sums plain = reference_row(x, scale);
    std::vector<bool> seen(x.size());
    draw_result ret = {1, 0, 0, 0, 1, 1};
    for (int i = 0; r.penalty != 0 && i < r.tokens; i++) {
        float &one = x[token[i]];
        if (!seen[token[i]])
            one = one < 0 ? one * r.penalty : one / r.penalty;
        seen[token[i]] = true;
    }
    const row_sums drawn = reference_row(x, scale);
    bool bad = false;
    for (float one : x)
        bad |= !(one < INFINITY);
    const float largest = *std::max_element(x.begin(), x.end());
    if (r.greedy ? bad || largest == -INFINITY : !(drawn.sum > 0 && drawn.sum < INFINITY))
        return draw_result{0, 0, 0, 0, 0, 0};
    const double u = ldexp((double)reference_random(r), -53);
    if (r.greedy) {
        ret.token = (int)(std::max_element(x.begin(), x.end()) - x.begin());
    } else if (r.top_k > 0 || r.min_p > 0 || (r.top_p > 0 && r.top_p < 1)) {
        std::vector<float> weight;
        for (float one : x)
            weight.push_back(exp_of(one * scale - drawn.max));
        const std::vector<bool> keep = reference_kept(weight, drawn.sum, r);
        uint64_t all = 0, sum = 0;
        for (size_t v = 0; v < x.size(); v++)
            all += keep[v] ? reference_mass(weight[v], MASS_BITS) : 0;
        const uint64_t goal = (uint64_t)((wide)reference_random(r) * all >> 53);
        for (ret.token = 0;; ret.token++) {
            sum += keep[ret.token] ? reference_mass(weight[ret.token], MASS_BITS) : 0;
            if (sum > goal)
                break;
        }
        ret.mass = fmin(1.0, (double)all / ldexp(1.0, MASS_BITS) / drawn.sum);
        ret.share = (double)reference_mass(weight[ret.token], MASS_BITS) / (double)all;
    } else {
        double before = 0, sum = 0;
        size_t part = 0;
        for (size_t p = 0; p < drawn.part.size() && sum <= u * drawn.sum; p++)
            if (drawn.each[p] != 0) {
                part = p;
                before = sum;
                sum += drawn.each[p];
            }
        const size_t first = part * ROW_PART, end = std::min(first + ROW_PART, x.size());
        std::vector<uint64_t> mass;
        uint64_t all = 0, passed = 0;
        for (size_t v = first; v < end; v++) {
            mass.push_back(reference_mass(exp_of(x[v] * scale - drawn.part[part].max), PART_BITS));
            all += mass.back();
        }
        const double inside = (u * drawn.sum - before) / drawn.each[part];
        const uint64_t goal = std::min((uint64_t)(inside * (double)all), all - 1);
        size_t i = 0;
        while ((passed += mass[i]) <= goal)
            i++;
        ret.token = (int)(first + i);
        ret.share = drawn.each[part] / drawn.sum * ((double)mass[i] / (double)all);
    }
    ret.logp = reference_logp(plain, logits[ret.token], scale);
    return ret;
}
