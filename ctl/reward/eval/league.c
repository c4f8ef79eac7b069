#include "ctl/reward/eval/league.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/reward/eval/statistics.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

struct work {
    const struct battle *battle;
    size_t n, models;
    double *people, *score;         // (models * models) games won
    double *by_people, *by_score;   // (models) strengths
    double *row_people, *row_score; // (models) shares won against others
};

static void work_done(struct work *work)
{
    mem_free(work->people);
    mem_free(work->score);
    mem_free(work->by_people);
    mem_free(work->by_score);
    mem_free(work->row_people);
    mem_free(work->row_score);
}

void league_done(struct league *league)
{
    mem_free(league->people);
    mem_free(league->score);
}

static void count_games(struct work *w, const double *weight)
{
    const size_t bytes = w->models * w->models * sizeof *w->people;
    memset(w->people, 0, bytes);
    memset(w->score, 0, bytes);
    for (size_t i = 0; i < w->n; i++) {
        const struct battle *b = &w->battle[i];
        const size_t ab = b->a * w->models + b->b, ba = b->b * w->models + b->a;
        const double games = weight[b->cluster];
        w->people[ab] += games * b->people;
        w->people[ba] += games * (1 - b->people);
        w->score[ab] += games * b->score;
        w->score[ba] += games * (1 - b->score);
    }
}

/* Of the models that this one has met. */
static double row_pearson(struct work *w, size_t i)
{
    size_t met = 0;
    for (size_t j = 0; j < w->models; j++) {
        const double games = w->people[i * w->models + j] + w->people[j * w->models + i];
        if (!(games > 0))
            continue;
        w->row_people[met] = w->people[i * w->models + j] / games;
        w->row_score[met++] = w->score[i * w->models + j] / games;
    }
    SCOPED(paired) pair = paired_new(w->row_people, w->row_score, met);
    return met > 2 ? paired_pearson(pair, NULL) : NAN;
}

/* Spearman, Kendall, rows' Pearson, then the strengths. */
enum { FIGURES = 3 };

static void figures(void *arg, const double *weight, double *ret)
{
    struct work *w = arg;
    double sum = 0, rows = 0;
    count_games(w, weight);
    bradley_terry_fit(w->people, w->models, w->by_people);
    bradley_terry_fit(w->score, w->models, w->by_score);
    SCOPED(paired) pair = paired_new(w->by_people, w->by_score, w->models);
    ret[0] = paired_spearman(pair, NULL);
    ret[1] = paired_kendall(pair, NULL);
    for (size_t i = 0; i < w->models; i++) {
        const double one = row_pearson(w, i);
        if (isfinite(one)) {
            sum += one;
            rows++;
        }
    }
    ret[2] = rows > 0 ? sum / rows : NAN;
    memcpy(ret + FIGURES, w->by_people, w->models * sizeof *ret);
    memcpy(ret + FIGURES + w->models, w->by_score, w->models * sizeof *ret);
}

/* 1: a above b, -1: below, 0: their intervals overlap. */
static int separated(const struct estimate *a, const struct estimate *b)
{
    return a->low > b->high ? 1 : b->low > a->high ? -1 : 0;
}

static void compare_pairs(struct league *league)
{
    double pairs = 0, people = 0, score = 0, agreement = 0;
    for (size_t i = 0; i < league->models; i++)
        for (size_t j = 0; j < i; j++) {
            const int p = separated(&league->people[i], &league->people[j]),
                      s = separated(&league->score[i], &league->score[j]);
            people += p != 0;
            score += s != 0;
            agreement += p * s;
            pairs++;
        }
    league->separated_people = people / pairs;
    league->separated_score = score / pairs;
    league->agreement = agreement / pairs;
}

/* The chances that the draws give, (models * models), in `above`. */
static double brier_of(const struct league *league, const double *above)
{
    const size_t n = league->models;
    double sum = 0, pairs = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            const double a = league->people[i].value, b = league->people[j].value,
                         truth = a > b   ? 1
                                 : a < b ? 0
                                         : 0.5,
                         error = above[i * n + j] - truth;
            sum += error * error;
            pairs++;
        }
    return sum / pairs;
}

static void add_above(const double *strength, size_t models, double share, double *above)
{
    for (size_t i = 0; i < models; i++)
        for (size_t j = 0; j < i; j++)
            above[i * models + j] += share * (strength[i] > strength[j]    ? 1
                                              : strength[i] == strength[j] ? 0.5
                                                                           : 0);
}

/* As bootstrap_figures, and counts who is above whom. */
struct counting {
    struct work *work;
    double *above, share;
    bool drawn; // the first call is of all battles
};

static void counted(void *arg, const double *weight, double *ret)
{
    struct counting *c = arg;
    figures(c->work, weight, ret);
    if (c->drawn)
        add_above(c->work->by_score, c->work->models, c->share, c->above);
    c->drawn = true;
}

void league_of(const struct battle *battle, size_t n, size_t models,
               const struct bootstrap *bootstrap, struct league *ret)
{
    const size_t count = FIGURES + 2 * models;
    SCOPED_VALUE(work)
    work = {.battle = battle,
            .n = n,
            .models = models,
            .people = mem_array(models * models, sizeof(double)),
            .score = mem_array(models * models, sizeof(double)),
            .by_people = mem_array(models, sizeof(double)),
            .by_score = mem_array(models, sizeof(double)),
            .row_people = mem_array(models, sizeof(double)),
            .row_score = mem_array(models, sizeof(double))};
    SCOPED_MEM struct estimate *all = mem_array(count, sizeof *all);
    SCOPED_MEM double *above = mem_array(models * models, sizeof *above);
    struct counting counting = {&work, above, 1 / (double)bootstrap->draws, false};
    bootstrap_run(bootstrap, counted, &counting, count, all);
    *ret = (struct league){.models = models,
                           .people = mem_copy(all + FIGURES, models * sizeof *all),
                           .score = mem_copy(all + FIGURES + models, models * sizeof *all),
                           .spearman = all[0],
                           .kendall = all[1],
                           .row_pearson = all[2],
                           .separated_people = NAN,
                           .separated_score = NAN,
                           .agreement = NAN,
                           .brier = NAN};
    if (bootstrap->draws < 2)
        return;
    compare_pairs(ret);
    ret->brier = brier_of(ret, above);
}
