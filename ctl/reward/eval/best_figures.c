/* Best of k by prompt, and its means with intervals. */
#include "base/mem.h"
#include "ctl/reward/eval/eval_figures.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1024 };                                      // answers of a prompt that count
enum { GOLD, PESSIMISTIC, ORACLE, SCORE, REGRET, CURVES }; // of each k
enum { SHARE, LOSS, PARTS };                               // after them

struct work {
    const struct eval_data *data;
    size_t most;
    size_t *prompt, prompts; // those that have `most` answers
    double *value;           // (prompts, SCORE + 1, most)
    double *loss;            // (prompts)
};

static void work_done(struct work *w)
{
    mem_free(w->prompt);
    mem_free(w->value);
    mem_free(w->loss);
}

static size_t answers_of(const struct eval_data *data, size_t p)
{
    const size_t n = data->first[p + 1] - data->first[p];
    return n < MOST ? n : MOST;
}

/* The most answers that half of the prompts with two and more have. */
static size_t most_of(const struct eval_data *data)
{
    size_t prompts[MOST + 1] = {0}, all = 0, more = 0;
    for (size_t p = 0; p < data->prompts; p++)
        prompts[answers_of(data, p)]++;
    for (size_t n = 2; n <= MOST; n++)
        all += prompts[n];
    for (size_t n = MOST; all && n >= 2; n--)
        if (2 * (more += prompts[n]) >= all)
            return n;
    return 0;
}

static void measure_prompt(struct work *w, size_t p)
{
    const size_t n = answers_of(w->data, w->prompt[p]);
    const struct eval_answer *answer = w->data->answer + w->data->first[w->prompt[p]];
    double *to = w->value + p * (SCORE + 1) * w->most, *oracle = to + ORACLE * w->most;
    SCOPED_MEM double *score = mem_array(n, sizeof *score);
    SCOPED_MEM double *gold = mem_array(n, sizeof *gold);
    for (size_t i = 0; i < n; i++) {
        score[i] = answer[i].score;
        gold[i] = answer[i].gold;
    }
    best_of_k(score, gold, n, BEST_OF_MEAN, w->most, to);
    best_of_k(score, gold, n, BEST_OF_PESSIMISTIC, w->most, to + PESSIMISTIC * w->most);
    best_of_k(gold, gold, n, BEST_OF_MEAN, w->most, oracle);
    best_of_k(score, score, n, BEST_OF_MEAN, w->most, to + SCORE * w->most);
    for (size_t k = 0; k < w->most; k++)
        w->loss[p] += pow(oracle[k] - to[k], 2) / (double)w->most;
}

static void figures(void *arg, const double *weight, double *ret)
{
    const struct work *w = arg;
    const size_t most = w->most;
    double *part = ret + CURVES * most, all = 0;
    memset(ret, 0, (CURVES * most + PARTS) * sizeof *ret);
    for (size_t p = 0; p < w->prompts; p++) {
        const double one = weight[w->prompt[p]];
        all += one;
        part[LOSS] += one * w->loss[p];
        for (size_t i = 0; i < (SCORE + 1) * most; i++)
            ret[i] += one * w->value[p * (SCORE + 1) * most + i];
    }
    for (size_t i = 0; i < (SCORE + 1) * most; i++)
        ret[i] /= all;
    for (size_t k = 0; k < most; k++)
        ret[REGRET * most + k] = ret[ORACLE * most + k] - ret[GOLD * most + k];
    part[LOSS] /= all;
    part[SHARE] = (ret[most - 1] - ret[0]) / (ret[ORACLE * most + most - 1] - ret[0]);
}

static void find_drift(struct best_figures *ret)
{
    SCOPED_MEM double *kl = mem_array(ret->most, sizeof *kl);
    SCOPED_MEM double *gain = mem_array(ret->most, sizeof *gain);
    for (size_t k = 0; k < ret->most; k++) {
        kl[k] = best_of_kl(k + 1);
        gain[k] = ret->gold[k].value - ret->gold[0].value;
        if (ret->gold[k].value > ret->gold[ret->best - 1].value)
            ret->best = k + 1;
    }
    ret->drift = drift_fit(DRIFT_BEST_OF, kl, gain, ret->most);
}

static void take(const struct estimate *estimate, size_t most, struct best_figures *ret)
{
    const size_t bytes = most * sizeof *estimate;
    ret->gold = mem_copy(estimate + GOLD * most, bytes);
    ret->pessimistic = mem_copy(estimate + PESSIMISTIC * most, bytes);
    ret->oracle = mem_copy(estimate + ORACLE * most, bytes);
    ret->regret = mem_copy(estimate + REGRET * most, bytes);
    ret->score = mem_array(most, sizeof *ret->score);
    for (size_t k = 0; k < most; k++)
        ret->score[k] = estimate[SCORE * most + k].value;
    ret->share = estimate[CURVES * most + SHARE];
    ret->loss = estimate[CURVES * most + LOSS];
    find_drift(ret);
}

void best_figures_of(const struct eval_data *data, const struct bootstrap *bootstrap,
                     struct best_figures *ret)
{
    const size_t most = data->answers ? most_of(data) : 0;
    *ret = (struct best_figures){.most = most, .best = 1};
    if (!most)
        return;
    SCOPED_VALUE(work)
    w = {.data = data, .most = most, .prompt = mem_array(data->prompts, sizeof(size_t))};
    for (size_t p = 0; p < data->prompts; p++)
        if (answers_of(data, p) >= most)
            w.prompt[w.prompts++] = p;
    w.value = mem_array(w.prompts, (SCORE + 1) * most * sizeof(double));
    w.loss = mem_array(w.prompts, sizeof(double));
    for (size_t p = 0; p < w.prompts; p++)
        measure_prompt(&w, p);
    ret->prompts = w.prompts;
    SCOPED_MEM struct estimate *estimate = mem_array(CURVES * most + PARTS, sizeof *estimate);
    bootstrap_run(bootstrap, figures, &w, CURVES * most + PARTS, estimate);
    take(estimate, most, ret);
}
