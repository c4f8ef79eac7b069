/* Pairs: accuracy, calibration, groups. */
#include "base/mem.h"
#include "ctl/reward/eval/eval_figures.h"
#include <math.h>
#include <string.h>

/* Accuracy, log loss, Brier, longer, AUC; then the groups' mean, the lowest, each group's. */
enum { ACCURACY, LOG_LOSS, BRIER, LONGER, AUC, MEAN, LOWEST, GROUPS };

struct work {
    const struct eval_data *data;
    struct paired *sides;           // of chosen and rejected scores with their labels
    double *score, *label, *weight; // (2 * pairs)
    double *right, *counted;        // (groups)
};

static void work_done(struct work *w)
{
    paired_free(w->sides);
    mem_free(w->score);
    mem_free(w->label);
    mem_free(w->weight);
    mem_free(w->right);
    mem_free(w->counted);
}

/* 1: the difference is on the side of the target, 0.5: it is 0. */
static double agrees(double difference, double target)
{
    return difference == 0 ? 0.5 : (difference > 0) == (target > 0.5);
}

static double loss_at(const struct eval_pair *p, double scale)
{
    const double margin = scale * (p->chosen - p->rejected);
    return -p->target * log_logistic(margin) - (1 - p->target) * log_logistic(-margin);
}

static void group_figures(const struct work *w, double *ret)
{
    double sum = 0, lowest = INFINITY, groups = 0;
    for (size_t g = 0; g < w->data->groups.count; g++) {
        ret[GROUPS + g] = w->right[g] / w->counted[g];
        if (!(w->counted[g] > 0))
            continue;
        sum += ret[GROUPS + g];
        lowest = fmin(lowest, ret[GROUPS + g]);
        groups++;
    }
    ret[MEAN] = groups > 0 ? sum / groups : NAN;
    ret[LOWEST] = groups > 0 ? lowest : NAN;
}

static void add_choice(struct work *w, const struct eval_pair *p, double weight, double *ret)
{
    const double right = weight * agrees(p->chosen - p->rejected, p->target);
    ret[ACCURACY] += right;
    ret[LONGER] += weight * agrees(p->longer, p->target);
    if (p->group != EVAL_NONE) {
        w->right[p->group] += right;
        w->counted[p->group] += weight;
    }
}

static void figures(void *arg, const double *weight, double *ret)
{
    struct work *w = arg;
    const struct eval_data *data = w->data;
    double chosen = 0, all = 0;
    memset(ret, 0, GROUPS * sizeof *ret);
    memset(w->right, 0, data->groups.count * sizeof *w->right);
    memset(w->counted, 0, data->groups.count * sizeof *w->counted);
    for (size_t i = 0; i < data->pairs; i++) {
        const struct eval_pair *p = &data->pair[i];
        const double one = weight[p->prompt], error = logistic(p->chosen - p->rejected) - p->target;
        w->weight[2 * i] = w->weight[2 * i + 1] = one;
        all += one;
        ret[LOG_LOSS] += one * loss_at(p, 1);
        ret[BRIER] += one * error * error;
        if (p->target == 0.5)
            continue;
        chosen += one;
        add_choice(w, p, one, ret);
    }
    ret[ACCURACY] /= chosen;
    ret[LONGER] /= chosen;
    ret[LOG_LOSS] /= all;
    ret[BRIER] /= all;
    ret[AUC] = paired_auc(w->sides, w->weight);
    group_figures(w, ret);
}

/* ---- calibration */

static double mean_loss(const struct eval_data *data, double scale)
{
    double sum = 0;
    for (size_t i = 0; i < data->pairs; i++)
        sum += loss_at(&data->pair[i], scale);
    return sum / (double)data->pairs;
}

/* The loss is convex in the scale: golden sections of its logarithm. */
static void find_scale(const struct eval_data *data, struct pair_figures *ret)
{
    const double golden = (sqrt(5) - 1) / 2;
    double low = log(1e-6), high = log(1e6);
    double a = high - golden * (high - low), b = low + golden * (high - low);
    double at_a = mean_loss(data, exp(a)), at_b = mean_loss(data, exp(b));
    for (int i = 0; i < 60; i++)
        if (at_a < at_b) {
            high = b;
            b = a;
            at_b = at_a;
            a = high - golden * (high - low);
            at_a = mean_loss(data, exp(a));
        } else {
            low = a;
            a = b;
            at_a = at_b;
            b = low + golden * (high - low);
            at_b = mean_loss(data, exp(b));
        }
    ret->scale = exp((low + high) / 2);
    ret->scaled_log_loss = mean_loss(data, ret->scale);
}

/* Each pair both ways round, so that half of the outcomes are 1 by construction and not all. */
static struct calibration calibrate(const struct eval_data *data)
{
    SCOPED_MEM double *chance = mem_array(2 * data->pairs, sizeof *chance);
    SCOPED_MEM double *outcome = mem_array(2 * data->pairs, sizeof *outcome);
    for (size_t i = 0; i < data->pairs; i++) {
        const struct eval_pair *p = &data->pair[i];
        chance[2 * i] = logistic(p->chosen - p->rejected);
        chance[2 * i + 1] = logistic(p->rejected - p->chosen);
        outcome[2 * i] = p->target;
        outcome[2 * i + 1] = 1 - p->target;
    }
    return calibration_of(chance, outcome, NULL, 2 * data->pairs);
}

/* ---- all of them */

static void count(const struct eval_data *data, struct pair_figures *ret)
{
    ret->pairs = data->pairs;
    ret->groups = data->groups.count;
    ret->group_pairs = mem_array(ret->groups, sizeof *ret->group_pairs);
    for (size_t i = 0; i < data->pairs; i++) {
        const struct eval_pair *p = &data->pair[i];
        ret->ties += p->chosen == p->rejected;
        ret->split += p->target == 0.5;
        ret->margin += (p->chosen - p->rejected) / (double)data->pairs;
        if (p->group != EVAL_NONE)
            ret->group_pairs[p->group]++;
    }
}

static struct work work_of(const struct eval_data *data)
{
    struct work w = {.data = data,
                     .score = mem_array(2 * data->pairs, sizeof(double)),
                     .label = mem_array(2 * data->pairs, sizeof(double)),
                     .weight = mem_array(2 * data->pairs, sizeof(double)),
                     .right = mem_array(data->groups.count, sizeof(double)),
                     .counted = mem_array(data->groups.count, sizeof(double))};
    for (size_t i = 0; i < data->pairs; i++) {
        const struct eval_pair *p = &data->pair[i];
        w.score[2 * i] = p->chosen;
        w.score[2 * i + 1] = p->rejected;
        w.label[2 * i] = p->target >= 0.5;
        w.label[2 * i + 1] = p->target < 0.5;
    }
    w.sides = paired_new(w.score, w.label, 2 * data->pairs);
    return w;
}

void pair_figures_of(const struct eval_data *data, const struct bootstrap *bootstrap,
                     struct pair_figures *ret)
{
    const size_t all = GROUPS + data->groups.count;
    *ret = (struct pair_figures){0};
    if (!data->pairs)
        return;
    SCOPED_VALUE(work) w = work_of(data);
    SCOPED_MEM struct estimate *estimate = mem_array(all, sizeof *estimate);
    bootstrap_run(bootstrap, figures, &w, all, estimate);
    count(data, ret);
    ret->accuracy = estimate[ACCURACY];
    ret->log_loss = estimate[LOG_LOSS];
    ret->brier = estimate[BRIER];
    ret->longer = estimate[LONGER];
    ret->auc = estimate[AUC];
    ret->group_mean = estimate[MEAN];
    ret->group_lowest = estimate[LOWEST];
    ret->group = mem_copy(estimate + GROUPS, data->groups.count * sizeof *estimate);
    ret->calibration = calibrate(data);
    find_scale(data, ret);
}
