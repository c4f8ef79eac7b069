#include "ctl/reward/eval/statistics.h"
#include "base/mem.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct paired {
    const double *x, *y;
    size_t n;
    size_t *by_x, *by_y; // (n) places in ascending order
    bool *new_x, *new_y; // (n) in that order: another value than the one before
    size_t *rank_y;      // (n) dense: equal numbers have one, from 1 on
    size_t ranks;
    double *a, *b, *tree; // (n), (n), (ranks + 1) for the work of a call
};

/* ---- order */

struct placed {
    double value;
    size_t place;
};

static int by_value(const void *a, const void *b)
{
    const struct placed *p = a, *q = b;
    if (p->value != q->value)
        return p->value < q->value ? -1 : 1;
    return p->place < q->place ? -1 : p->place > q->place;
}

static size_t *order_of(const double *value, size_t n)
{
    SCOPED_MEM struct placed *placed = mem_array(n, sizeof *placed);
    size_t *order = mem_array(n, sizeof *order);
    for (size_t i = 0; i < n; i++)
        placed[i] = (struct placed){value[i], i};
    qsort(placed, n, sizeof *placed, by_value);
    for (size_t i = 0; i < n; i++)
        order[i] = placed[i].place;
    return order;
}

static bool *news_of(const double *value, const size_t *order, size_t n)
{
    bool *news = mem_array(n, sizeof *news);
    for (size_t i = 0; i < n; i++)
        news[i] = !i || value[order[i]] != value[order[i - 1]];
    return news;
}

static int by_number(const void *a, const void *b)
{
    const double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

void numbers_sort(double *number, size_t n)
{
    qsort(number, n, sizeof *number, by_number);
}

double quantile_sorted(const double *sorted, size_t n, double q)
{
    const double at = q * (double)(n - 1), low = floor(at);
    const size_t i = (size_t)low, next = i + 1 < n ? i + 1 : i;
    return sorted[i] + (sorted[next] - sorted[i]) * (at - low);
}

struct paired *paired_new(const double *x, const double *y, size_t n)
{
    struct paired *p = mem_new(sizeof *p);
    *p = (struct paired){.x = x, .y = y, .n = n, .by_x = order_of(x, n), .by_y = order_of(y, n)};
    p->rank_y = mem_array(n, sizeof *p->rank_y);
    p->a = mem_array(n, sizeof *p->a);
    p->b = mem_array(n, sizeof *p->b);
    p->new_x = news_of(x, p->by_x, n);
    p->new_y = news_of(y, p->by_y, n);
    for (size_t i = 0; i < n; i++) {
        p->ranks += p->new_y[i];
        p->rank_y[p->by_y[i]] = p->ranks;
    }
    p->tree = mem_array(p->ranks + 1, sizeof *p->tree);
    return p;
}

void paired_free(struct paired *p)
{
    if (!p)
        return;
    mem_free(p->by_x);
    mem_free(p->by_y);
    mem_free(p->new_x);
    mem_free(p->new_y);
    mem_free(p->rank_y);
    mem_free(p->a);
    mem_free(p->b);
    mem_free(p->tree);
    mem_free(p);
}

static double weight_at(const double *weight, size_t i)
{
    return weight ? weight[i] : 1;
}

/* ---- correlation */

static double pearson(const double *x, const double *y, const double *weight, size_t n)
{
    double w = 0, mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        w += weight_at(weight, i);
        mx += weight_at(weight, i) * x[i];
        my += weight_at(weight, i) * y[i];
    }
    if (!(w > 0))
        return NAN;
    mx /= w;
    my /= w;
    for (size_t i = 0; i < n; i++) {
        const double dx = x[i] - mx, dy = y[i] - my;
        xx += weight_at(weight, i) * dx * dx;
        yy += weight_at(weight, i) * dy * dy;
        xy += weight_at(weight, i) * dx * dy;
    }
    /* Of a constant list the mean's rounding is left. */
    const double least = 1e-24 * w;
    if (xx <= least * mx * mx || yy <= least * my * my)
        return NAN;
    return fmax(-1, fmin(1, xy / (sqrt(xx) * sqrt(yy))));
}

double paired_pearson(const struct paired *p, const double *weight)
{
    return pearson(p->x, p->y, weight, p->n);
}

/* Places [from, ret) of the order have one value. */
static size_t ties_end(const bool *news, size_t n, size_t from)
{
    size_t to = from + 1;
    while (to < n && !news[to])
        to++;
    return to;
}

/* Mean ranks, as if each number stood there weight times. */
static void rank(const bool *news, const size_t *order, const double *weight, size_t n, double *ret)
{
    double before = 0;
    for (size_t i = 0, to; i < n; i = to) {
        double here = 0;
        to = ties_end(news, n, i);
        for (size_t j = i; j < to; j++)
            here += weight_at(weight, order[j]);
        for (size_t j = i; j < to; j++)
            ret[order[j]] = before + (here + 1) / 2;
        before += here;
    }
}

double paired_spearman(const struct paired *p, const double *weight)
{
    rank(p->new_x, p->by_x, weight, p->n, p->a);
    rank(p->new_y, p->by_y, weight, p->n, p->b);
    return pearson(p->a, p->b, weight, p->n);
}

/* ---- Kendall's tau-b, by sums of weights below a rank (Fenwick 1994) */

static void tree_add(double *tree, size_t ranks, size_t rank, double weight)
{
    for (; rank <= ranks; rank += rank & -rank)
        tree[rank] += weight;
}

static double tree_sum(const double *tree, size_t rank)
{
    double sum = 0;
    for (; rank; rank -= rank & -rank)
        sum += tree[rank];
    return sum;
}

/* Pairs of equal numbers. */
static double ties(const bool *news, const size_t *order, const double *weight, size_t n)
{
    double sum = 0;
    for (size_t i = 0, to; i < n; i = to) {
        double here = 0;
        to = ties_end(news, n, i);
        for (size_t j = i; j < to; j++)
            here += weight_at(weight, order[j]);
        sum += here * (here - 1) / 2;
    }
    return sum;
}

double paired_kendall(const struct paired *p, const double *weight)
{
    double all = 0, difference = 0; // concordant pairs less discordant ones
    memset(p->tree, 0, (p->ranks + 1) * sizeof *p->tree);
    for (size_t i = 0, to; i < p->n; i = to) {
        to = ties_end(p->new_x, p->n, i);
        for (size_t j = i; j < to; j++) {
            const size_t at = p->by_x[j];
            const double own = weight_at(weight, at);
            if (own == 0) // a third of a bootstrap's draw
                continue;
            const double below = tree_sum(p->tree, p->rank_y[at] - 1),
                         above = all - tree_sum(p->tree, p->rank_y[at]);
            difference += own * (below - above);
        }
        for (size_t j = i; j < to; j++) {
            const size_t at = p->by_x[j];
            const double own = weight_at(weight, at);
            if (own != 0)
                tree_add(p->tree, p->ranks, p->rank_y[at], own);
            all += own;
        }
    }
    const double pairs = all * (all - 1) / 2, x = pairs - ties(p->new_x, p->by_x, weight, p->n),
                 y = pairs - ties(p->new_y, p->by_y, weight, p->n);
    return x > 0 && y > 0 ? fmax(-1, fmin(1, difference / (sqrt(x) * sqrt(y)))) : NAN;
}

/* ---- ROC */

double paired_auc(const struct paired *p, const double *weight)
{
    double good = 0, bad = 0, above = 0;
    for (size_t i = 0, to; i < p->n; i = to) {
        double here_good = 0, here_bad = 0;
        to = ties_end(p->new_x, p->n, i);
        for (size_t j = i; j < to; j++) {
            const size_t at = p->by_x[j];
            *(p->y[at] > 0.5 ? &here_good : &here_bad) += weight_at(weight, at);
        }
        above += here_good * (bad + here_bad / 2);
        good += here_good;
        bad += here_bad;
    }
    return good > 0 && bad > 0 ? above / (good * bad) : NAN;
}

/* ---- chances */

double logistic(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

double log_logistic(double x)
{
    return x >= 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

struct calibration calibration_of(const double *chance, const double *outcome, const double *weight,
                                  size_t n)
{
    struct calibration c = {0};
    double all = 0;
    for (size_t i = 0; i < n; i++) {
        const double w = weight_at(weight, i);
        int bin = (int)(chance[i] * CALIBRATION_BINS);
        bin = bin < CALIBRATION_BINS ? bin : CALIBRATION_BINS - 1;
        c.weight[bin] += w;
        c.chance[bin] += w * chance[i];
        c.outcome[bin] += w * outcome[i];
        all += w;
    }
    for (int i = 0; i < CALIBRATION_BINS; i++) {
        if (c.weight[i] > 0)
            c.ece += fabs(c.chance[i] - c.outcome[i]) / all;
        c.chance[i] /= c.weight[i];
        c.outcome[i] /= c.weight[i];
    }
    if (!(all > 0))
        c.ece = NAN;
    return c;
}
