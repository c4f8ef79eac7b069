#include "learner/round/advantages.h"
#include "base/mem.h"
#include "rl/advantages/advantage.h"
#include "rl/advantages/gae.h"
#include "rl/advantages/whiten.h"
#include "rl/running.h"
#include "wire/rollout.h"

/* ---- what estimators read beside rewards */

struct scores {
    double *score, *weight;
};

static void scores_done(struct scores *scores)
{
    mem_free(scores->score);
    mem_free(scores->weight);
}

/* The scores of each completion, one of each scorer. */
static err_t read_scores(const struct round_run *run, struct scores *ret)
{
    const struct recipe_scorers *scorers = &run->recipe->rewarder.scorers;
    const size_t width = scorers->count;
    SCOPED_VALUE(scores)
    scores = {mem_array(run->batch->columns->sequences * width, sizeof(double)),
              mem_array(width, sizeof(double))};
    for (size_t k = 0; k < width; k++)
        scores.weight[k] = scorers->at[k].weight;
    for (size_t g = 0, s = 0; g < run->round->groups; g++)
        for (uint32_t i = 0; i < run->groups[g]->completions; i++, s++) {
            const double *score = group_values(run->groups[g], COLUMN_SCORES, i);
            if (!score || group_width(run->groups[g], COLUMN_SCORES) != width)
                return err_new(ERR_INVALID,
                               "a group has no scores of the %zu scorers of "
                               "rewarder.scorers, which learner.advantage: %s needs",
                               width, advantage_name(run->config.settings->advantage));
            for (size_t k = 0; k < width; k++)
                scores.score[s * width + k] = score[k];
        }
    *ret = scores;
    scores = (struct scores){0};
    return OK;
}

/* Trained tokens of each completion, and the sum of their proximal - behaviour logp where both are
 * there. */
static void read_tokens(const struct columns *columns, double *ret_tokens, double *ret_log_weight)
{
    const double *proximal = columns->at[COLUMN_PROXIMAL_LOGP],
                 *behaviour = columns->at[COLUMN_BEHAVIOUR_LOGP];
    for (size_t s = 0; s < columns->sequences; s++) {
        ret_tokens[s] = (double)columns_tokens(columns, s);
        for (size_t t = columns->first[s]; proximal && behaviour && t < columns->first[s + 1]; t++)
            if (columns_weight(columns, t) != 0)
                ret_log_weight[s] += proximal[t] - behaviour[t];
    }
}

/* The running mean of earlier rounds' rewards, which this round's then moves; its own mean where
 * there is no earlier one. */
static double move_baseline(const struct round_run *run, const double *reward)
{
    const size_t count = run->batch->columns->sequences;
    double sum = 0;
    for (size_t s = 0; s < count; s++)
        sum += reward[s];
    const double mean = sum / (double)count,
                 baseline = running_or(run->running, RUNNING_baseline, mean);
    running_average(run->running, RUNNING_baseline, run->recipe->learner.baseline_decay, mean);
    return baseline;
}

/* ---- the stages */

err_t advantages_fill(struct round_run *run)
{
    const struct objective_config *settings = run->config.settings;
    struct columns *columns = run->batch->columns;
    SCOPED_VALUE(scores) scores = {0};
    SCOPED_MEM double *tokens = mem_array(columns->sequences, sizeof *tokens);
    SCOPED_MEM double *log_weight = mem_array(columns->sequences, sizeof *log_weight);
    if (settings->advantage == ADVANTAGE_MULTI)
        TRY(read_scores(run, &scores));
    const double baseline =
        settings->advantage == ADVANTAGE_EMA ? move_baseline(run, columns->at[COLUMN_REWARD]) : 0;
    read_tokens(columns, tokens, log_weight);
    const struct advantage_in in = {.groups = columns->units,
                                    .first = columns->unit,
                                    .reward = columns->at[COLUMN_REWARD],
                                    .tokens = tokens,
                                    .log_weight = log_weight,
                                    .baseline = baseline,
                                    .scorers = run->recipe->rewarder.scorers.count,
                                    .score = scores.score,
                                    .score_weight = scores.weight};
    double *advantage = columns_add(columns, COLUMN_ADVANTAGE);
    advantage_compute(settings, &in, advantage);
    if (settings->whiten)
        whiten_sequences(columns, advantage);
    return OK;
}

err_t advantages_fill_to_go(struct round_run *run)
{
    const struct objective_config *settings = run->config.settings;
    struct columns *columns = run->batch->columns;
    to_go_fill(settings->gae.gamma, columns);
    if (settings->whiten)
        whiten(columns, columns->at[COLUMN_TOKEN_ADVANTAGE], true);
    return OK;
}

err_t advantages_mark_good(struct round_run *run)
{
    struct columns *columns = run->batch->columns;
    double *imitated = columns_add(columns, COLUMN_IMITATED);
    for (size_t s = 0; s < columns->sequences; s++)
        imitated[s] = columns->at[COLUMN_REWARD][s] > run->config.settings->nll.above;
    return OK;
}

err_t advantages_fill_group_tokens(struct round_run *run)
{
    struct columns *columns = run->batch->columns;
    double *mean = columns_add(columns, COLUMN_GROUP_TOKENS);
    for (size_t g = 0; g < columns->units; g++) {
        const size_t begin = columns->unit[g], end = columns->unit[g + 1];
        double tokens = 0;
        for (size_t s = begin; s < end; s++)
            tokens += (double)columns_tokens(columns, s);
        for (size_t s = begin; s < end; s++)
            mean[s] = tokens / (double)(end - begin);
    }
    return OK;
}
