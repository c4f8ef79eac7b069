#include "model/engine/sampler.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include <math.h>

enum { BLOCK = 256, LANES = 8 };

struct sampler {
    int V;
    double *block; // (V / BLOCK, rounded up) sums of probabilities
    int32_t *heap; // (V) token ids, likeliest on top
    bool *seen;    // (V) by the call under way
};

err_t sampling_check(const struct sampling *s)
{
    if (!(s->temperature == 0 || (s->temperature >= 1e-3f && s->temperature <= 1e3f)))
        return err_new(ERR_INVALID,
                       "temperature is %g; it must be 0 (greedy) or from 0.001 to 1000",
                       (double)s->temperature);
    if (s->top_k < 0)
        return err_new(ERR_INVALID, "top_k is %d; it must be 0 (all) or more", s->top_k);
    if (!(s->top_p >= 0 && s->top_p <= 1))
        return err_new(ERR_INVALID, "top_p is %g; it must be from 0 to 1", (double)s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return err_new(ERR_INVALID, "min_p is %g; it must be from 0 to 1", (double)s->min_p);
    if (!(s->repetition_penalty >= 0 && s->repetition_penalty <= 100))
        return err_new(ERR_INVALID, "repetition_penalty is %g; it must be from 0 to 100",
                       (double)s->repetition_penalty);
    return OK;
}

struct sampler *sampler_new(int V)
{
    struct sampler *sampler = mem_new(sizeof *sampler);
    sampler->V = V;
    sampler->block = mem_array((size_t)(V + BLOCK - 1) / BLOCK, sizeof *sampler->block);
    sampler->heap = mem_array((size_t)V, sizeof *sampler->heap);
    sampler->seen = mem_array((size_t)V, sizeof *sampler->seen);
    return sampler;
}

void sampler_penalise(struct sampler *sampler, const struct sampling *s, float *logits,
                      const int32_t *token, int count)
{
    for (int i = 0; i < count; i++) {
        float *x = &logits[token[i]];
        if (!sampler->seen[token[i]])
            *x = *x < 0 ? *x * s->repetition_penalty : *x / s->repetition_penalty;
        sampler->seen[token[i]] = true;
    }
    for (int i = 0; i < count; i++)
        sampler->seen[token[i]] = false;
}

static bool likelier(const float *p, int32_t a, int32_t b)
{
    return p[a] != p[b] ? p[a] > p[b] : a < b;
}

static void sift(int32_t *heap, int count, const float *p, int at)
{
    int32_t moving = heap[at];
    for (int child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && likelier(p, heap[child + 1], heap[child]);
        if (!likelier(p, heap[child], moving))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/* Takes the likeliest; what is taken lies behind the heap's end, so that heap[count..V-1] holds
 * them in reverse. */
static int32_t take(int32_t *heap, int *count, const float *p)
{
    int32_t top = heap[0];
    heap[0] = heap[--*count];
    heap[*count] = top;
    if (*count)
        sift(heap, *count, p, 0);
    return top;
}

/* The least likely token kept by top_k, then top_p. All that are at least as likely (ties: smaller
 * id) are kept. -1: all are. */
static int32_t last_kept(struct sampler *sampler, const struct sampling *s, const float *p,
                         double total)
{
    const int V = sampler->V, most = s->top_k > 0 && s->top_k < V ? s->top_k : V;
    const bool nucleus = s->top_p > 0 && s->top_p < 1;
    int count = V;
    int32_t last = -1;
    double mass = 0, limit = total * (double)s->top_p;
    for (int i = 0; i < V; i++)
        sampler->heap[i] = i;
    for (int i = V / 2; i-- > 0;)
        sift(sampler->heap, V, p, i);
    if (most < V) {
        for (int i = 0; i < most; i++)
            mass += (double)p[last = take(sampler->heap, &count, p)];
        limit = mass * (double)s->top_p; // of what top_k has left
    }
    if (!nucleus)
        return last;
    mass = 0;
    for (int i = 0; i < most; i++) {
        last = most < V ? sampler->heap[V - 1 - i] : take(sampler->heap, &count, p);
        mass += (double)p[last];
        if (mass >= limit)
            break;
    }
    return last;
}

/* The first of the largest. In lanes, as one chain of comparisons would wait for itself. */
static float largest(const float *x, int V, int32_t *ret_at)
{
    float lane[LANES], best = x[0];
    int i = 0, at = 0;
    for (int j = 0; j < LANES; j++)
        lane[j] = x[0];
    for (; i + LANES <= V; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (; i < V; i++)
        lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    for (int j = 0; j < LANES; j++)
        best = lane[j] > best ? lane[j] : best;
    while (x[at] != best)
        at++;
    *ret_at = at;
    return best;
}

/* Each lane takes every eighth; then the lanes, ascending. */
static double sum_of(const float *x, int count)
{
    double lane[LANES] = {0}, sum = 0;
    int i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += (double)x[i + j];
    for (int j = 0; i < count; i++, j++)
        lane[j] += (double)x[i];
    for (int j = 0; j < LANES; j++)
        sum += lane[j];
    return sum;
}

static bool all_finite(const float *x, int count)
{
    float lane[LANES] = {0}, sum = 0;
    int i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += x[i + j] * 0.0f; // 0, or NaN if it is not finite
    for (; i < count; i++)
        lane[0] += x[i] * 0.0f;
    for (int j = 0; j < LANES; j++)
        sum += lane[j];
    return sum == 0;
}

static err_t greedy(int V, const float *logits, struct draw *ret)
{
    int32_t best;
    if (!all_finite(logits, V))
        return err_new(ERR_DATA_LOSS, "the model's logits are not finite");
    largest(logits, V, &best);
    *ret = (struct draw){.token = best, .mass = 1, .share = 1};
    return OK;
}

/* The kept tokens' weight, then the first at which their running sum exceeds u times it. */
static struct draw draw_kept(struct sampler *sampler, const struct sampling *s, const float *p,
                             double total, double u)
{
    const int V = sampler->V;
    int32_t best, last = -1;
    if (s->top_k > 0 || (s->top_p > 0 && s->top_p < 1))
        last = last_kept(sampler, s, p, total);
    const float floor = s->min_p * largest(p, V, &best);
    double mass = 0, sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        const double goal = u * mass;
        for (int32_t i = 0; i < V; i++) {
            if (p[i] < floor || (last >= 0 && i != last && !likelier(p, i, last)))
                continue;
            sum += (double)p[i];
            if (pass && sum > goal)
                return (struct draw){
                    .token = i, .mass = mass / total, .share = (double)p[i] / mass};
        }
        mass = pass ? mass : sum;
        sum = 0;
    }
    return (struct draw){
        .token = best, .mass = mass / total, .share = (double)p[best] / mass}; // not reached: u < 1
}

/* Sums of blocks, and of all: the blocks' ascending. */
static double block_sums(struct sampler *sampler, const float *p)
{
    double total = 0;
    for (int at = 0; at < sampler->V; at += BLOCK) {
        const int left = sampler->V - at;
        sampler->block[at / BLOCK] = sum_of(p + at, left < BLOCK ? left : BLOCK);
        total += sampler->block[at / BLOCK];
    }
    return total;
}

/* The first token at which the running sum exceeds goal: blocks first, then tokens of one. Where
 * the two disagree by their rounding, the last token before that is not impossible. */
static int32_t find(const struct sampler *sampler, const float *p, double goal)
{
    const int V = sampler->V;
    double before = 0;
    int at = 0;
    for (; at + BLOCK < V && before + sampler->block[at / BLOCK] <= goal; at += BLOCK)
        before += sampler->block[at / BLOCK];
    for (int i = at; i < V && i < at + BLOCK; i++) {
        before += (double)p[i];
        if (before > goal)
            return i;
    }
    int last = at + BLOCK < V ? at + BLOCK - 1 : V - 1;
    while (last > 0 && p[last] == 0)
        last--;
    return last;
}

err_t sampler_draw(struct sampler *sampler, const struct sampling *s, uint64_t completion,
                   uint64_t position, const float *logits, const float *probability,
                   struct draw *ret)
{
    const int V = sampler->V;
    if (s->temperature == 0)
        return greedy(V, logits, ret);
    const double total = block_sums(sampler, probability);
    if (!isfinite(total) || total <= 0)
        return err_new(ERR_DATA_LOSS, "the model's logits are not finite");
    const uint64_t slot[2] = {s->prompt, s->epoch};
    const struct rng rng = rng_keyed(s->seed, RNG_SAMPLE, hash64(slot, sizeof slot, 0), completion);
    const double u = rng_uniform(&rng, position);
    if (sampling_truncates(s)) {
        *ret = draw_kept(sampler, s, probability, total, u);
        return OK;
    }
    const int32_t token = find(sampler, probability, u * total);
    *ret = (struct draw){.token = token, .mass = 1, .share = (double)probability[token] / total};
    return OK;
}

float sampler_logp(const struct sampling *s, float logp, const struct draw *draw)
{
    const float sampled =
        (float)(sampling_penalises(s) ? log(draw->share) : (double)logp - log(draw->mass));
    return sampled < 0 ? sampled : 0.0f;
}

void sampler_free(struct sampler *sampler)
{
    if (!sampler)
        return;
    mem_free(sampler->block);
    mem_free(sampler->heap);
    mem_free(sampler->seen);
    mem_free(sampler);
}
