#include "ctl/reward/eval/best_of.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

struct answer {
    double score, gold;
};

/* By score, and among equal ones the highest gold first, so that the lowest is taken last. */
static int by_score(const void *a, const void *b)
{
    const struct answer *p = a, *q = b;
    if (p->score != q->score)
        return p->score < q->score ? -1 : 1;
    return p->gold > q->gold ? -1 : p->gold < q->gold;
}

/* The i-th of n in order is the last of k drawn ones with the chance C(i, k - 1) / C(n, k). From
 * k - 1 to k that chance is multiplied by (i - k + 2) / (k - 1) * k / (n - k + 1). */
static void next_chances(double *chance, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i++)
        if (k == 1)
            chance[i] = 1 / (double)n;
        else if (i + 2 > k)
            chance[i] *= (double)(i - k + 2) / (double)(k - 1) * (double)k / (double)(n - k + 1);
        else
            chance[i] = 0;
}

/* Equal scores share their gold. */
static void share_ties(struct answer *answer, size_t n)
{
    for (size_t i = 0, to; i < n; i = to) {
        double sum = 0;
        for (to = i; to < n && answer[to].score == answer[i].score; to++)
            sum += answer[to].gold;
        for (size_t j = i; j < to; j++)
            answer[j].gold = sum / (double)(to - i);
    }
}

void best_of_k(const double *score, const double *gold, size_t n, enum best_of_ties ties,
               size_t most, double *ret)
{
    SCOPED_MEM struct answer *answer = mem_array(n, sizeof *answer);
    SCOPED_MEM double *chance = mem_array(n, sizeof *chance);
    for (size_t i = 0; i < n; i++)
        answer[i] = (struct answer){score[i], gold[i]};
    qsort(answer, n, sizeof *answer, by_score);
    if (ties == BEST_OF_MEAN)
        share_ties(answer, n);
    for (size_t k = 1; k <= most; k++) {
        ret[k - 1] = k <= n ? 0 : NAN;
        if (k > n)
            continue;
        next_chances(chance, n, k);
        for (size_t i = 0; i < n; i++)
            ret[k - 1] += chance[i] * answer[i].gold;
    }
}

double best_of_kl(size_t k)
{
    return log((double)k) - (double)(k - 1) / (double)k;
}
