#include "ctl/reward/eval/curve.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KL, SCORE, GOLD, TOKENS, WIN_BASE, WIN_OWN, MEANS, SCORE_GAIN = MEANS, GOLD_GAIN, FIGURES };

/* Of a point and a prompt: the sum of each figure over its lines, and how many lines it has. */
struct cell {
    double sum[MEANS], count[MEANS];
};

struct work {
    const struct curve *curve;
    struct cell *cell; // (points, prompts)
};

static void work_done(struct work *w)
{
    mem_free(w->cell);
}

static double who(double a, double b)
{
    return a > b ? 1 : a < b ? 0 : 0.5;
}

static void add(struct cell *cell, int figure, double value)
{
    if (isnan(value))
        return;
    cell->sum[figure] += value;
    cell->count[figure]++;
}

static int by_prompt(const void *a, const void *b)
{
    const struct curve_line *p = a, *q = b;
    return p->prompt < q->prompt ? -1 : p->prompt > q->prompt;
}

/* The mean over the base's completions of this prompt; its lines lie by prompt. NaN: it has
 * none. */
static double against(const struct curve_point *base, const struct curve_line *line)
{
    size_t low = 0, high = base->lines;
    double sum = 0, count = 0;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (base->line[middle].prompt < line->prompt)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < base->lines && base->line[low].prompt == line->prompt; low++, count++)
        sum += who(line->gold, base->line[low].gold);
    return count > 0 ? sum / count : NAN;
}

static void fill(const struct curve *curve, size_t p, struct cell *cell)
{
    for (size_t i = 0; i < curve->point[p].lines; i++) {
        const struct curve_line *line = &curve->point[p].line[i];
        struct cell *to = &cell[line->prompt];
        add(to, KL, line->kl);
        add(to, SCORE, line->score);
        add(to, GOLD, line->gold);
        add(to, TOKENS, line->tokens);
        add(to, WIN_BASE, against(&curve->point[curve->base], line));
        add(to, WIN_OWN, isnan(line->own) ? NAN : who(line->gold, line->own));
    }
}

static void figures(void *arg, const double *weight, double *ret)
{
    const struct work *w = arg;
    const struct curve *curve = w->curve;
    for (size_t p = 0; p < curve->points; p++)
        for (int f = 0; f < MEANS; f++) {
            const struct cell *cell = w->cell + p * curve->prompts;
            double sum = 0, count = 0;
            for (size_t c = 0; c < curve->prompts; c++) {
                sum += weight[c] * cell[c].sum[f];
                count += weight[c] * cell[c].count[f];
            }
            ret[p * FIGURES + (size_t)f] = count > 0 ? sum / count : NAN;
        }
    const double *base = ret + curve->base * FIGURES;
    for (size_t p = 0; p < curve->points; p++) {
        ret[p * FIGURES + SCORE_GAIN] = ret[p * FIGURES + SCORE] - base[SCORE];
        ret[p * FIGURES + GOLD_GAIN] = ret[p * FIGURES + GOLD] - base[GOLD];
    }
}

/* ---- base, order, and what the figures say */

static double mean_kl(const struct curve_point *point)
{
    double sum = 0;
    for (size_t i = 0; i < point->lines; i++)
        sum += point->line[i].kl;
    return sum / (double)point->lines;
}

static int by_kl(const void *a, const void *b)
{
    const struct curve_point *p = a, *q = b;
    const double x = mean_kl(p), y = mean_kl(q);
    return x != y ? (x < y ? -1 : 1) : strcmp(p->name, q->name);
}

static err_t find_base(struct curve *curve, const char *base)
{
    curve->base = 0;
    if (!base)
        return OK;
    for (; curve->base < curve->points; curve->base++)
        if (strcmp(curve->point[curve->base].name, base) == 0)
            return OK;
    return err_new(ERR_INVALID, "--base '%s' is none of the points; the first is '%s'", base,
                   curve->point[0].name);
}

static void take(const struct estimate *estimate, struct curve_point *point)
{
    point->kl = estimate[KL];
    point->score = estimate[SCORE];
    point->gold = estimate[GOLD];
    point->tokens = estimate[TOKENS];
    point->win_base = estimate[WIN_BASE];
    point->win_own = estimate[WIN_OWN];
    point->score_gain = estimate[SCORE_GAIN];
    point->gold_gain = estimate[GOLD_GAIN];
}

static void judge(struct curve *curve)
{
    SCOPED_MEM double *kl = mem_array(curve->points, sizeof *kl);
    SCOPED_MEM double *gain = mem_array(curve->points, sizeof *gain);
    curve->best = 0;
    for (size_t p = 0; p < curve->points; p++) {
        kl[p] = p == curve->base ? 0 : curve->point[p].kl.value; // 0 is left out of the fit
        gain[p] = curve->point[p].gold_gain.value;
        if (curve->point[p].gold.value > curve->point[curve->best].gold.value)
            curve->best = p;
    }
    const struct curve_point *best = &curve->point[curve->best];
    for (size_t p = 0; p < curve->points; p++)
        curve->point[p].over =
            curve->point[p].kl.value > best->kl.value && curve->point[p].gold.high < best->gold.low;
    curve->drift = drift_fit(curve->law, kl, gain, curve->points);
}

err_t curve_measure(struct curve *curve, const char *base, const struct bootstrap *given)
{
    struct bootstrap bootstrap = *given;
    bootstrap.clusters = curve->prompts;
    for (size_t p = 0; p < curve->points; p++)
        qsort(curve->point[p].line, curve->point[p].lines, sizeof(struct curve_line), by_prompt);
    qsort(curve->point, curve->points, sizeof *curve->point, by_kl);
    TRY(find_base(curve, base));
    if (curve->prompts > CURVE_CELLS / curve->points)
        return err_new(ERR_INVALID, "%zu points of %zu prompts in all; at most %d of both together",
                       curve->points, curve->prompts, CURVE_CELLS);
    SCOPED_VALUE(work)
    w = {.curve = curve, .cell = mem_array(curve->points * curve->prompts, sizeof(struct cell))};
    SCOPED_MEM struct estimate *estimate = mem_array(curve->points * FIGURES, sizeof *estimate);
    for (size_t p = 0; p < curve->points; p++)
        fill(curve, p, w.cell + p * curve->prompts);
    bootstrap_run(&bootstrap, figures, &w, curve->points * FIGURES, estimate);
    for (size_t p = 0; p < curve->points; p++)
        take(estimate + p * FIGURES, &curve->point[p]);
    judge(curve);
    return OK;
}
