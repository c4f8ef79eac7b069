/* The optimizer: sum of squares for clipping, and one AdamW step. */
#include "tensor/cpu/isa.h"

/* 16 chains of doubles by index mod 16, then the tree. A float's square is exact in double. */
double ISA_NAME(square_sum)(const float *x, size_t count)
{
    double lane[16] = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (int j = 0; j < 16; j++)
            lane[j] += (double)x[i + j] * (double)x[i + j];
    for (int j = 0; i < count; i++, j++)
        lane[j] += (double)x[i] * (double)x[i];
    for (int half = 8; half; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

typedef uint64_t words __attribute__((vector_size(64))); // eight lanes on every instruction set
typedef uint16_t halves __attribute__((vector_size(16)));

/* Sums of hashes by lane, split into words that never carry into one another: high is modulo 2^64,
 * the lower word's halves are signed and hold 2^31 differences of 32 bits. */
struct hash_lanes {
    words high, middle, low;
};

static u128 lane_sum(const struct hash_lanes *lanes, int j)
{
    const __int128 middle = (int64_t)lanes->middle[j], low = (int64_t)lanes->low[j];
    return ((u128)lanes->high[j] << 64) + ((u128)middle << 32) + (u128)low;
}

/* Eight values at a time; one that did not change adds 0. */
INLINE void add_lanes(struct hash_lanes *lanes, uint64_t first, const bf16 *old, const bf16 *now)
{
    const words i = first + (words){0, 1, 2, 3, 4, 5, 6, 7};
    halves was, is;
    memcpy(&was, old, sizeof was);
    memcpy(&is, now, sizeof is);
    words a = WEIGHT_HASH_KEY(i, __builtin_convertvector(is, words)),
          b = WEIGHT_HASH_KEY(i, __builtin_convertvector(was, words));
    a = WEIGHT_HASH_FOLD(a, 32);
    b = WEIGHT_HASH_FOLD(b, 32);
    const words high_a = WEIGHT_HASH_HIGH(a), high_b = WEIGHT_HASH_HIGH(b),
                low_a = WEIGHT_HASH_LOW(a), low_b = WEIGHT_HASH_LOW(b);
    lanes->high += WEIGHT_HASH_FOLD(high_a, 29) - WEIGHT_HASH_FOLD(high_b, 29);
    lanes->middle += (low_a >> 32) - (low_b >> 32);
    lanes->low +=
        (WEIGHT_HASH_FOLD(low_a, 32) & 0xffffffff) - (WEIGHT_HASH_FOLD(low_b, 32) & 0xffffffff);
}

enum { FEW = 2 }; // changes of 16 values: cheaper one by one

/* The first n (at most 16) of the values at i. Bit j of changed: now[j] is another value than
 * old[j]. */
INLINE void add_changes(struct hash_lanes *lanes, struct adamw_sum *sum, uint64_t i,
                        const bf16 *old, const bf16 *now, int n, unsigned changed)
{
    const int count = __builtin_popcount(changed);
    sum->changed += (size_t)count;
    if (n == 16 && count > FEW) {
        add_lanes(lanes, i, old, now);
        add_lanes(lanes, i + 8, old + 8, now + 8);
        return;
    }
    for (; changed; changed &= changed - 1) {
        const int j = __builtin_ctz(changed);
        sum->digest += weight_hash(i + (uint64_t)j, now[j]);
        sum->digest -= weight_hash(i + (uint64_t)j, old[j]);
    }
}

void ISA_NAME(adamw)(float *master, bf16 *w, float *m, float *v, const float *grad, size_t first,
                     size_t count, const struct adamw_constants *c, uint32_t *marks,
                     struct adamw_sum *sum)
{
    const v16 grad_scale = v16_set1(c->grad_scale), beta1 = v16_set1(c->beta1),
              beta2 = v16_set1(c->beta2);
    const v16 new1 = v16_set1(c->one_minus_beta1), new2 = v16_set1(c->one_minus_beta2),
              eps = v16_set1(c->eps);
    const v16 keep = v16_set1(c->keep), minus_rate = v16_set1(-c->rate),
              v_scale = v16_set1(c->v_scale);
    struct hash_lanes lanes = {0};
    bf16 old[16];
    for (size_t i = 0; i < count; i += 16) {
        const int left = count - i < 16 ? (int)(count - i) : 16;
        v16 g = v16_mul(v16_load_some(grad + i, left), grad_scale);
        v16 m1 = v16_fma(beta1, v16_load_some(m + i, left), v16_mul(new1, g));
        v16 v1 = v16_fma(beta2, v16_load_some(v + i, left), v16_mul(new2, v16_mul(g, g)));
        v16 down = v16_add(v16_sqrt(v16_mul(v1, v_scale)), eps);
        v16 p = v16_mul(v16_load_some(master + i, left), keep);
        p = v16_fma(minus_rate, v16_div(m1, down), p);
        v16_store_some(m + i, m1, left);
        v16_store_some(v + i, v1, left);
        v16_store_some(master + i, p, left);
        const unsigned changed = v16_update_bf16(w + i, p, left, old);
        if (marks)
            marks[i / 32] |= changed << i % 32;
        if (changed)
            add_changes(&lanes, sum, first + i, old, w + i, left, changed);
    }
    for (int j = 0; j < 8; j++)
        sum->digest += lane_sum(&lanes, j);
}
