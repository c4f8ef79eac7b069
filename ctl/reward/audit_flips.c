#include "ctl/reward/audit_flips.h"
#include "base/mem.h"
#include "ctl/reward/proportion.h"
#include <math.h>
#include <stdlib.h>

enum { ROUNDS = 200, NEWTON = 20 };
#define SHARE_BEGIN 0.1 // of flips
#define SHARE_LEAST 1e-4
#define SHARE_MOST  0.5 // above it the labels and not the flips would be the exception
#define PULL_MOST   6.0 // of a group's log odds

/* The kinds of groups that may have a share of flips of their own. */
enum { BY_LENGTH, BY_ANNOTATOR, BY_SOURCE, KINDS };

struct fit {
    size_t count;
    const double *margin; // (count) made smaller by its uncertainty; NaN: none
    int *group[KINDS];    // (count) -1: of none
    double *pull[KINDS];  // (groups) what a group adds to the log odds
    size_t groups[KINDS];
    double *flipped; // (count) chance given label and margin
    double share, temperature;
};

static void fit_done(struct fit *fit)
{
    for (int k = 0; k < KINDS; k++) {
        mem_free(fit->group[k]);
        mem_free(fit->pull[k]);
    }
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* Chance of a flip before its label and margin are looked at. */
static double before(const struct fit *fit, size_t i)
{
    double odds = log(fit->share / (1 - fit->share));
    for (int k = 0; k < KINDS; k++)
        if (fit->group[k][i] >= 0)
            odds += fit->pull[k][fit->group[k][i]];
    return fmin(0.95, sigmoid(odds));
}

static void expect(struct fit *fit)
{
    for (size_t i = 0; i < fit->count; i++) {
        if (isnan(fit->margin[i]))
            continue;
        const double chance = before(fit, i), won = sigmoid(fit->temperature * fit->margin[i]);
        const double flip = chance * (1 - won), keep = (1 - chance) * won;
        fit->flipped[i] = flip / fmax(1e-300, flip + keep);
    }
}

/* The slope of a logistic regression without intercept, of labels that are flipped by `flipped`. */
static void fit_temperature(struct fit *fit)
{
    double t = fit->temperature;
    for (int step = 0; step < NEWTON; step++) {
        double slope = 0, curve = 1e-9;
        for (size_t i = 0; i < fit->count; i++) {
            const double m = fit->margin[i];
            if (isnan(m))
                continue;
            const double p = sigmoid(t * m);
            slope += m * (1 - fit->flipped[i] - p);
            curve += m * m * p * (1 - p);
        }
        const double next = fmin(fmax(t + slope / curve, t / 2), 2 * t);
        const double moved = fabs(next - t);
        t = fmin(1e6, fmax(1e-6, next));
        if (moved < 1e-9 * t)
            break;
    }
    fit->temperature = t;
}

static void fit_pulls(struct fit *fit, int kind)
{
    SCOPED_MEM double *seen = mem_array(fit->groups[kind], sizeof *seen);
    SCOPED_MEM double *meant = mem_array(fit->groups[kind], sizeof *meant);
    for (size_t i = 0; i < fit->count; i++) {
        const int group = fit->group[kind][i];
        if (isnan(fit->margin[i]) || group < 0)
            continue;
        seen[group] += fit->flipped[i];
        meant[group] += before(fit, i);
    }
    for (size_t g = 0; g < fit->groups[kind]; g++) {
        const double drawn = AUDIT_SHRINK * fit->share;
        const double moved = log((seen[g] + drawn) / (meant[g] + drawn));
        fit->pull[kind][g] = fmin(PULL_MOST, fmax(-PULL_MOST, fit->pull[kind][g] + moved));
    }
}

static void fit_all(struct fit *fit, size_t scored)
{
    fit->share = SHARE_BEGIN;
    fit->temperature = 1;
    for (int round = 0; round < ROUNDS; round++) {
        double sum = 0;
        expect(fit);
        for (size_t i = 0; i < fit->count; i++)
            sum += isnan(fit->margin[i]) ? 0 : fit->flipped[i];
        fit->share = fmin(SHARE_MOST, fmax(SHARE_LEAST, sum / (double)scored));
        fit_temperature(fit);
        for (int k = 0; k < KINDS; k++)
            fit_pulls(fit, k);
    }
    expect(fit);
}

/* ---- bins of length differences */

static int words_apart(const struct audit_pair *pair)
{
    return pair->winner_words - pair->loser_words;
}

static int by_int(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/* Bins end where the words change, so that equal differences are in one. */
static int *bins_of(const struct audit_pairs *pairs, struct audit_flips *ret)
{
    SCOPED_MEM int *words = mem_array(pairs->count, sizeof *words);
    int *bin = mem_array(pairs->count, sizeof *bin);
    for (size_t i = 0; i < pairs->count; i++)
        words[i] = words_apart(&pairs->at[i]);
    qsort(words, pairs->count, sizeof *words, by_int);
    for (size_t b = 0; b < AUDIT_BINS; b++) {
        const int high = words[(b + 1) * pairs->count / AUDIT_BINS - (b + 1 == AUDIT_BINS)];
        if (ret->bins && high <= ret->bin[ret->bins - 1].high)
            continue;
        ret->bin[ret->bins++] = (struct audit_bin){.high = high};
    }
    for (size_t i = 0; i < pairs->count; i++)
        while (words_apart(&pairs->at[i]) > ret->bin[bin[i]].high)
            bin[i]++;
    ret->bin[0].low = words[0];
    for (size_t b = 1; b < ret->bins; b++)
        ret->bin[b].low = ret->bin[b - 1].high + 1;
    return bin;
}

/* ---- what is told */

struct suspect {
    double chance, margin;
    uint32_t pair;
};

static int by_suspicion(const void *a, const void *b)
{
    const struct suspect *x = a, *y = b;
    if (x->chance != y->chance)
        return x->chance > y->chance ? -1 : 1;
    if (x->margin != y->margin)
        return x->margin < y->margin ? -1 : 1;
    return (x->pair > y->pair) - (x->pair < y->pair);
}

static void list_suspects(const struct fit *fit, double share, struct audit_flips *ret)
{
    SCOPED_MEM struct suspect *all = mem_array(fit->count, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < fit->count; i++)
        if (!isnan(fit->margin[i]))
            all[n++] = (struct suspect){fit->flipped[i], fit->margin[i], (uint32_t)i};
    qsort(all, n, sizeof *all, by_suspicion);
    ret->listed = (size_t)ceil(share * (double)n - 1e-9);
    ret->order = mem_array(ret->listed, sizeof *ret->order);
    for (size_t i = 0; i < ret->listed; i++)
        ret->order[i] = all[i].pair;
}

/* Flips that do not care for length mirror it: where the longer answer wins 60 %, it wins 40 % of
 * the flipped. So chance gives the longer one at most the larger of both. */
static void test_lengths(const struct audit_pairs *pairs, struct audit_flips *ret)
{
    double longer = 0, compared = 0;
    for (size_t i = 0; i < pairs->count; i++) {
        const int words = words_apart(&pairs->at[i]);
        compared += !isnan(ret->chance[i]) && words;
        longer += !isnan(ret->chance[i]) && words > 0;
    }
    for (size_t i = 0; i < ret->listed; i++) {
        const int words = words_apart(&pairs->at[ret->order[i]]);
        ret->compared += words != 0;
        ret->longer += words > 0;
    }
    const double share = compared > 0 ? longer / compared : 0.5;
    ret->longer_p = binomial_tail(ret->longer, ret->compared, fmax(share, 1 - share));
}

static double *shares_of(const struct fit *fit, int kind)
{
    double *share = mem_array(fit->groups[kind], sizeof *share);
    SCOPED_MEM double *count = mem_array(fit->groups[kind], sizeof *count);
    for (size_t i = 0; i < fit->count; i++)
        if (!isnan(fit->margin[i]) && fit->group[kind][i] >= 0) {
            share[fit->group[kind][i]] += fit->flipped[i];
            count[fit->group[kind][i]]++;
        }
    for (size_t g = 0; g < fit->groups[kind]; g++)
        share[g] = count[g] > 0 ? share[g] / count[g] : 0;
    return share;
}

static void take_fit(const struct fit *fit, struct audit_flips *ret)
{
    ret->share = fit->share;
    ret->temperature = fit->temperature;
    ret->annotator = shares_of(fit, BY_ANNOTATOR);
    ret->source = shares_of(fit, BY_SOURCE);
    for (size_t i = 0; i < fit->count; i++) {
        if (isnan(fit->margin[i]))
            continue;
        struct audit_bin *bin = &ret->bin[fit->group[BY_LENGTH][i]];
        bin->pairs++;
        bin->flips += fit->flipped[i];
        ret->against += fit->margin[i] < 0;
    }
}

static void groups_of(const struct audit_pairs *pairs, struct audit_flips *flips, struct fit *fit)
{
    fit->group[BY_LENGTH] = bins_of(pairs, flips);
    fit->groups[BY_LENGTH] = flips->bins;
    fit->groups[BY_ANNOTATOR] = pairs->annotators.count;
    fit->groups[BY_SOURCE] = pairs->sources.count;
    for (int k = 0; k < KINDS; k++) {
        fit->pull[k] = mem_array(fit->groups[k], sizeof(double));
        if (k != BY_LENGTH)
            fit->group[k] = mem_array(fit->count, sizeof(int));
    }
    for (size_t i = 0; i < fit->count; i++) {
        fit->group[BY_ANNOTATOR][i] = pairs->at[i].annotator;
        fit->group[BY_SOURCE][i] = pairs->at[i].source;
    }
}

void audit_flips_find(const struct audit_pairs *pairs, const double *margin,
                      const double *deviation, double share, struct audit_flips *ret)
{
    SCOPED_MEM double *sure = mem_array(pairs->count, sizeof *sure);
    SCOPED_VALUE(fit) fit = {.count = pairs->count, .margin = sure};
    fit.flipped = ret->chance = mem_array(pairs->count, sizeof *ret->chance);
    for (size_t i = 0; i < pairs->count; i++) {
        sure[i] = margin[i] / sqrt(1 + M_PI / 8 * deviation[i] * deviation[i]);
        ret->chance[i] = NAN;
        ret->scored += !isnan(sure[i]);
    }
    if (!ret->scored)
        return;
    groups_of(pairs, ret, &fit);
    fit_all(&fit, ret->scored);
    take_fit(&fit, ret);
    list_suspects(&fit, share, ret);
    test_lengths(pairs, ret);
}

void audit_flips_done(struct audit_flips *flips)
{
    mem_free(flips->chance);
    mem_free(flips->annotator);
    mem_free(flips->source);
    mem_free(flips->order);
}
