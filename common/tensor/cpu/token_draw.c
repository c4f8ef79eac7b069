/* Draws, split over the pool by request. The order of each sum here is part of the draw's
 * definition. */
#include "tensor/cpu/cpu.h"
#include "tensor/token_check.h"
#include <math.h>
#include <string.h>

enum { BLOCK = 256, LANES = 8, EXP_COST = 16 };

struct drawing {
    const float *logits;
    const struct token_request *request;
    struct token_draw *ret;
    int V;
};

/* One thread's memory, and the distribution in it. Requests that share a row share this too. */
struct distribution {
    int V;
    float *p;      // (V) probabilities, or penalised logits
    int32_t *heap; // (V) token ids, likeliest on top
    double *block; // (V / BLOCK, rounded up) sums of probabilities
    double total;  // of block
    struct row_norm norm;
};

/* In floats, so that each part begins at a multiple of 64 bytes. */
static size_t row_floats(int V)
{
    return ((size_t)V + 15) / 16 * 16;
}

static size_t distribution_floats(int V)
{
    return 2 * row_floats(V) + 2 * (size_t)((V + BLOCK - 1) / BLOCK);
}

static struct distribution distribution_in(float *memory, int V)
{
    const size_t row = row_floats(V);
    return (struct distribution){.V = V,
                                 .p = memory,
                                 .heap = (int32_t *)(memory + row),
                                 .block = (double *)(memory + 2 * row)};
}

/* The row under the request's penalty into d->p. */
static void penalise(struct distribution *d, const float *logits, const struct token_request *r)
{
    const size_t V = (size_t)d->V;
    bool *seen = (bool *)d->heap; // the heap is filled later
    memcpy(d->p, logits, V * sizeof *d->p);
    memset(seen, 0, V * sizeof *seen);
    for (int i = 0; i < r->tokens; i++) {
        float *x = &d->p[r->token[i]];
        if (!seen[r->token[i]])
            *x = *x < 0 ? *x * r->repetition_penalty : *x / r->repetition_penalty;
        seen[r->token[i]] = true;
    }
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
static int32_t last_kept(const struct distribution *d, const struct token_request *r)
{
    const float *p = d->p;
    const int V = d->V, most = r->top_k > 0 && r->top_k < V ? r->top_k : V;
    const bool nucleus = r->top_p > 0 && r->top_p < 1;
    int count = V;
    int32_t last = -1;
    double mass = 0, limit = d->total * (double)r->top_p;
    for (int i = 0; i < V; i++)
        d->heap[i] = i;
    for (int i = V / 2; i-- > 0;)
        sift(d->heap, V, p, i);
    if (most < V) {
        for (int i = 0; i < most; i++)
            mass += (double)p[last = take(d->heap, &count, p)];
        limit = mass * (double)r->top_p; // of what top_k has left
    }
    if (!nucleus)
        return last;
    mass = 0;
    for (int i = 0; i < most; i++) {
        last = most < V ? d->heap[V - 1 - i] : take(d->heap, &count, p);
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

/* Whether the likeliest can be drawn: some token is, and none is a NaN or +infinity. */
static bool has_largest(const float *x, int count)
{
    float lane[LANES] = {0}, sum = 0;
    bool some = false;
    int i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int j = 0; j < LANES; j++) // 0, or NaN
            lane[j] += (x[i + j] == -INFINITY ? 0.0f : x[i + j]) * 0.0f;
    for (; i < count; i++)
        lane[0] += (x[i] == -INFINITY ? 0.0f : x[i]) * 0.0f;
    for (int j = 0; j < LANES; j++)
        sum += lane[j];
    for (i = 0; !some && i < count; i++)
        some = x[i] != -INFINITY;
    return some && sum == 0;
}

/* The kept tokens' weight, then the first at which their running sum exceeds u times it. */
static struct token_draw draw_kept(const struct distribution *d, const struct token_request *r)
{
    const float *p = d->p;
    int32_t best, last = -1;
    if (r->top_k > 0 || (r->top_p > 0 && r->top_p < 1))
        last = last_kept(d, r);
    const float floor = r->min_p * largest(p, d->V, &best);
    const double uniform = rng_uniform(&r->rng, r->counter);
    double mass = 0, sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        const double goal = uniform * mass;
        for (int32_t i = 0; i < d->V; i++) {
            if (p[i] < floor || (last >= 0 && i != last && !likelier(p, i, last)))
                continue;
            sum += (double)p[i];
            if (pass && sum > goal)
                return (struct token_draw){
                    .token = i, .mass = mass / d->total, .share = (double)p[i] / mass};
        }
        mass = pass ? mass : sum;
        sum = 0;
    }
    return (struct token_draw){.token = best, // not reached: u < 1
                               .mass = mass / d->total,
                               .share = (double)p[best] / mass};
}

/* Sums of blocks, and of all: the blocks' ascending. */
static double block_sums(const struct distribution *d)
{
    double total = 0;
    for (int at = 0; at < d->V; at += BLOCK) {
        const int left = d->V - at;
        d->block[at / BLOCK] = sum_of(d->p + at, left < BLOCK ? left : BLOCK);
        total += d->block[at / BLOCK];
    }
    return total;
}

/* The first token at which the running sum exceeds goal: blocks first, then tokens of one. Where
 * the two disagree by their rounding, the last token before that is not impossible. */
static int32_t find(const struct distribution *d, double goal)
{
    const float *p = d->p;
    const int V = d->V;
    double before = 0;
    int at = 0;
    for (; at + BLOCK < V && before + d->block[at / BLOCK] <= goal; at += BLOCK)
        before += d->block[at / BLOCK];
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

static void distribute(const struct cpu *cpu, struct distribution *d, const float *logits,
                       const struct token_request *r)
{
    const bool penalised = token_penalises(r);
    if (penalised)
        penalise(d, logits, r);
    d->norm = cpu->kernels->softmax(d->p, penalised ? d->p : logits, r->inverse_temperature, d->V);
    d->total = block_sums(d);
}

/* From the distribution that lies in d. */
static struct token_draw draw_sampled(const struct distribution *d, const struct token_request *r)
{
    if (!isfinite(d->total) || d->total <= 0)
        return (struct token_draw){.finite = false};
    struct token_draw ret;
    if (token_truncates(r)) {
        ret = draw_kept(d, r);
    } else {
        const int32_t token = find(d, rng_uniform(&r->rng, r->counter) * d->total);
        ret =
            (struct token_draw){.token = token, .mass = 1, .share = (double)d->p[token] / d->total};
    }
    ret.finite = true;
    return ret;
}

static struct token_draw draw_greedy(struct distribution *d, const float *logits,
                                     const struct token_request *r)
{
    struct token_draw ret = {.mass = 1, .share = 1};
    if (token_penalises(r)) {
        penalise(d, logits, r);
        logits = d->p;
    }
    ret.finite = has_largest(logits, d->V);
    if (ret.finite)
        largest(logits, d->V, &ret.token);
    return ret;
}

static bool same_distribution(const struct token_request *a, const struct token_request *b)
{
    return a->row == b->row && a->inverse_temperature == b->inverse_temperature &&
           !token_penalises(a) && !token_penalises(b);
}

static void draw_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    const struct drawing *job = data;
    struct distribution d = distribution_in(cpu->scratch[thread].data, job->V);
    const struct token_request *held = NULL; // whose distribution lies in d
    for (size_t i = begin; i < end; i++) {
        const struct token_request *r = &job->request[i];
        const float *logits = job->logits + (size_t)r->row * (size_t)job->V;
        struct token_draw *ret = &job->ret[i];
        if (!r->greedy && !(held && same_distribution(held, r)))
            distribute(cpu, &d, logits, r);
        held = r->greedy ? NULL : r;
        *ret = r->greedy ? draw_greedy(&d, logits, r) : draw_sampled(&d, r);
        if (!ret->finite)
            continue;
        if (r->greedy || token_penalises(r))
            cpu->kernels->token_logp(&ret->logp, NULL, logits, &ret->token, r->inverse_temperature,
                                     1, job->V);
        else
            ret->logp = row_logp(&d.norm, logits[ret->token] * r->inverse_temperature);
    }
}

err_t cpu_token_draw(struct backend *be, const float *logits, int N, int V,
                     const struct token_request *request, int count, struct token_draw *ret)
{
    const struct drawing job = {logits, request, ret, V};
    TRY(token_requests_check(request, count, N, V));
    cpu_reserve(cpu_of(be), distribution_floats(V));
    cpu_split(cpu_of(be), (size_t)count, 1, (double)count * V * EXP_COST, draw_range, &job);
    return OK;
}
