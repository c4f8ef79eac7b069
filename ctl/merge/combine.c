#include "ctl/merge/combine.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

static double square(double x)
{
    return x * x;
}

/* A sum of weights that is none: the sum stays as it is. */
static double divisor_of(double weights)
{
    return fabs(weights) < 1e-8 ? 1 : weights;
}

static void combine_row(const struct merge_rule *rule, const struct merge_part *part, int count,
                        size_t row, size_t cols, float *ret)
{
    double weights = 0;
    for (int i = 0; i < count; i++)
        weights += !part[i].has || part[i].has[row] ? part[i].weight : 0;
    const double divisor = rule->normalize ? divisor_of(weights) : 1;
    for (size_t c = 0; c < cols; c++) {
        double sum = 0;
        for (int i = 0; i < count; i++)
            if (!part[i].has || part[i].has[row])
                sum += part[i].weight * (double)part[i].value[row * cols + c];
        ret[c] = (float)(sum / divisor);
    }
}

static void combine_linear(const struct merge_rule *rule, struct merge_part *part, int count,
                           size_t rows, size_t cols, float *ret)
{
    for (size_t row = 0; row < rows; row++) {
        float *merged = ret + row * cols;
        combine_row(rule, part, count, row, cols, merged);
        for (int i = 0; i < count; i++)
            for (size_t c = 0; c < cols && (!part[i].has || part[i].has[row]); c++)
                part[i].moved += square((double)part[i].value[row * cols + c] - (double)merged[c]);
    }
}

/* ---- task vectors */

/* A task vector, and the smallest value of it that is kept: the bits of its size, and how many of
 * that very size. */
struct task {
    struct merge_part *part;
    const float *base;
    uint32_t least;
    size_t equal;
};

static float delta_at(const struct task *task, size_t j)
{
    return task->part->value[j] - task->base[j];
}

/* Sizes compare as the bits do. */
static uint32_t size_bits(float delta)
{
    uint32_t bits;
    memcpy(&bits, &delta, sizeof bits);
    return bits & 0x7fffffff;
}

/* The bucket that the k-th largest is in; *k: its place within. */
static uint32_t bucket_of(const size_t *count, uint32_t buckets, size_t *k)
{
    uint32_t at = buckets - 1;
    for (; at > 0 && count[at] < *k; at--)
        *k -= count[at];
    return at;
}

/* The k-th largest size by two counts, of the upper half of its bits and of the lower. */
static void find_least(struct task *task, size_t n)
{
    enum { HALF = 16, BUCKETS = 1 << HALF };
    const double share = task->part->density;
    size_t k = share >= 1 ? n : (size_t)(share * (double)n);
    k = k ? k : 1;
    SCOPED_MEM size_t *count = mem_array(BUCKETS, sizeof *count);
    for (size_t j = 0; j < n; j++)
        count[size_bits(delta_at(task, j)) >> HALF]++;
    const uint32_t upper = bucket_of(count, BUCKETS, &k);
    memset(count, 0, BUCKETS * sizeof *count);
    for (size_t j = 0; j < n; j++) {
        const uint32_t bits = size_bits(delta_at(task, j));
        if (bits >> HALF == upper)
            count[bits & (BUCKETS - 1)]++;
    }
    task->least = upper << HALF | bucket_of(count, BUCKETS, &k);
    task->equal = k;
}

/* Value j of it, or 0 where it is not kept. In order of j. */
static double take(struct task *task, const struct merge_rule *rule, size_t j)
{
    const float delta = delta_at(task, j);
    task->part->moved += square((double)delta);
    if (rule->method != MERGE_TIES)
        return (double)delta;
    const uint32_t bits = size_bits(delta);
    if (bits < task->least || (bits == task->least && task->equal == 0))
        return 0;
    task->equal -= bits == task->least;
    task->part->kept++;
    return (double)delta;
}

/* The mean of those whose sign is the sum's; delta: weighted. */
static double elect(const struct merge_rule *rule, const struct task *task, const double *delta,
                    int count)
{
    double all = 0, sum = 0, weights = 0;
    for (int i = 0; i < count; i++)
        all += delta[i];
    for (int i = 0; i < count; i++) {
        if (delta[i] == 0)
            continue;
        if ((delta[i] > 0) == (all >= 0)) {
            sum += delta[i];
            weights += task[i].part->weight;
        } else {
            task[i].part->outvoted++;
        }
    }
    return rule->normalize && weights != 0 ? sum / weights : sum;
}

static double mean(const struct merge_rule *rule, const struct task *task, const double *delta,
                   int count)
{
    double sum = 0, weights = 0;
    for (int i = 0; i < count; i++) {
        sum += delta[i];
        weights += task[i].part->weight;
    }
    return rule->normalize ? sum / divisor_of(weights) : sum;
}

static void combine_tasks(const struct merge_rule *rule, const float *base, struct merge_part *part,
                          int count, size_t n, float *ret)
{
    SCOPED_MEM struct task *task = mem_array((size_t)count, sizeof *task);
    SCOPED_MEM double *delta = mem_array((size_t)count, sizeof *delta);
    for (int i = 0; i < count; i++) {
        task[i] = (struct task){.part = &part[i], .base = base};
        if (rule->method == MERGE_TIES)
            find_least(&task[i], n);
    }
    for (size_t j = 0; j < n; j++) {
        for (int i = 0; i < count; i++)
            delta[i] = part[i].weight * take(&task[i], rule, j);
        const double mixed = rule->method == MERGE_TIES ? elect(rule, task, delta, count)
                                                        : mean(rule, task, delta, count);
        ret[j] = (float)((double)base[j] + rule->lambda * mixed);
    }
}

void combine(const struct merge_rule *rule, const float *base, struct merge_part *part, int count,
             size_t rows, size_t cols, float *ret)
{
    if (rule->method == MERGE_LINEAR)
        combine_linear(rule, part, count, rows, cols, ret);
    else
        combine_tasks(rule, base, part, count, rows * cols, ret);
}
