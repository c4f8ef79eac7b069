/* Answers with gold scores: correlations over all of them, and within prompts. */
#include "base/mem.h"
#include "ctl/reward/eval/eval_figures.h"
#include <math.h>

enum {
    PEARSON,
    SPEARMAN,
    KENDALL,
    AUC,
    LENGTH_SCORE,
    LENGTH_GOLD,
    PROMPTS, // from here on means over prompts
    PROMPT_PEARSON = PROMPTS,
    PROMPT_SPEARMAN,
    PROMPT_KENDALL,
    PROMPT_AUC,
    PROMPT_ACCURACY,
    ALL
};

struct work {
    const struct eval_data *data;
    bool labels;
    double *score, *gold, *length, *weight; // (answers)
    struct paired *pair, *length_score, *length_gold;
    double (*prompt)[ALL - PROMPTS]; // (prompts)
};

static void work_done(struct work *w)
{
    paired_free(w->pair);
    paired_free(w->length_score);
    paired_free(w->length_gold);
    mem_free(w->score);
    mem_free(w->gold);
    mem_free(w->length);
    mem_free(w->weight);
    mem_free(w->prompt);
}

/* The share of right ones among pairs whose gold differs; equal scores are half right. */
static double concordance(const double *score, const double *gold, size_t n)
{
    double right = 0, pairs = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            if (gold[i] == gold[j])
                continue;
            pairs++;
            right += score[i] == score[j] ? 0.5 : (score[i] > score[j]) == (gold[i] > gold[j]);
        }
    return pairs > 0 ? right / pairs : NAN;
}

/* Pairs of one prompt's answers are counted up to so many answers: their number is its square. */
enum { CONCORDANCE_ANSWERS = 1024 };

static void measure_prompt(struct work *w, size_t p)
{
    const size_t at = w->data->first[p], n = w->data->first[p + 1] - at;
    double *to = w->prompt[p] - PROMPTS;
    SCOPED(paired) pair = paired_new(w->score + at, w->gold + at, n);
    to[PROMPT_PEARSON] = paired_pearson(pair, NULL);
    to[PROMPT_SPEARMAN] = paired_spearman(pair, NULL);
    to[PROMPT_KENDALL] = paired_kendall(pair, NULL);
    to[PROMPT_AUC] = w->labels ? paired_auc(pair, NULL) : NAN;
    to[PROMPT_ACCURACY] =
        concordance(w->score + at, w->gold + at, n < CONCORDANCE_ANSWERS ? n : CONCORDANCE_ANSWERS);
}

static struct work work_of(const struct eval_data *data)
{
    const size_t n = data->answers;
    struct work w = {.data = data,
                     .labels = true,
                     .score = mem_array(n, sizeof(double)),
                     .gold = mem_array(n, sizeof(double)),
                     .length = mem_array(n, sizeof(double)),
                     .weight = mem_array(n, sizeof(double)),
                     .prompt = mem_array(data->prompts, sizeof *w.prompt)};
    for (size_t i = 0; i < n; i++) {
        const struct eval_answer *a = &data->answer[i];
        w.score[i] = a->score;
        w.gold[i] = a->gold;
        w.length[i] = a->length;
        w.labels = w.labels && (a->gold == 0 || a->gold == 1);
    }
    w.pair = paired_new(w.score, w.gold, n);
    w.length_score = paired_new(w.length, w.score, n);
    w.length_gold = paired_new(w.length, w.gold, n);
    for (size_t p = 0; p < data->prompts; p++)
        measure_prompt(&w, p);
    return w;
}

static void prompt_means(const struct work *w, const double *weight, double *ret)
{
    for (int f = 0; f < ALL - PROMPTS; f++) {
        double sum = 0, all = 0;
        for (size_t p = 0; p < w->data->prompts; p++)
            if (isfinite(w->prompt[p][f])) {
                sum += weight[p] * w->prompt[p][f];
                all += weight[p];
            }
        ret[PROMPTS + f] = all > 0 ? sum / all : NAN;
    }
}

static void figures(void *arg, const double *weight, double *ret)
{
    struct work *w = arg;
    for (size_t i = 0; i < w->data->answers; i++)
        w->weight[i] = weight[w->data->answer[i].prompt];
    ret[PEARSON] = paired_pearson(w->pair, w->weight);
    ret[SPEARMAN] = paired_spearman(w->pair, w->weight);
    ret[KENDALL] = paired_kendall(w->pair, w->weight);
    ret[AUC] = w->labels ? paired_auc(w->pair, w->weight) : NAN;
    ret[LENGTH_SCORE] = paired_spearman(w->length_score, w->weight);
    ret[LENGTH_GOLD] = paired_spearman(w->length_gold, w->weight);
    prompt_means(w, weight, ret);
}

void answer_figures_of(const struct eval_data *data, const struct bootstrap *bootstrap,
                       struct answer_figures *ret)
{
    *ret = (struct answer_figures){0};
    if (!data->answers)
        return;
    struct estimate estimate[ALL];
    SCOPED_VALUE(work) w = work_of(data);
    bootstrap_run(bootstrap, figures, &w, ALL, estimate);
    *ret = (struct answer_figures){.answers = data->answers,
                                   .labels = w.labels,
                                   .pearson = estimate[PEARSON],
                                   .spearman = estimate[SPEARMAN],
                                   .kendall = estimate[KENDALL],
                                   .auc = estimate[AUC],
                                   .prompt_pearson = estimate[PROMPT_PEARSON],
                                   .prompt_spearman = estimate[PROMPT_SPEARMAN],
                                   .prompt_kendall = estimate[PROMPT_KENDALL],
                                   .prompt_auc = estimate[PROMPT_AUC],
                                   .prompt_accuracy = estimate[PROMPT_ACCURACY],
                                   .length_score = estimate[LENGTH_SCORE],
                                   .length_gold = estimate[LENGTH_GOLD]};
    for (size_t p = 0; p < data->prompts; p++)
        ret->prompts += data->first[p + 1] - data->first[p] > 1;
}
