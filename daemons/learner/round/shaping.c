#include "learner/round/shaping.h"
#include "base/mem.h"
#include "rl/penalty.h"
#include <math.h>

/* Sums over the round's completions. */
struct shares {
    double overlong, repeated, clipped;
};

bool shaping_is_wanted(const struct round_run *run)
{
    return recipe_shapes_rewards(run->recipe);
}

void shaping_unmeasured(struct round_report *report)
{
    report->reward_shaped_mean = report->reward_clipped_share = NAN;
    report->overlong_share = report->repeated_share = NAN;
}

static double squashed(const struct recipe_reward *config, double reward)
{
    switch (config->squash) {
    case RECIPE_SQUASH_NONE:
        break;
    case RECIPE_SQUASH_SIGMOID:
        return 1 / (1 + exp(-reward / config->squash_scale));
    case RECIPE_SQUASH_TANH:
        return tanh(reward / config->squash_scale);
    }
    return reward;
}

/* In the last `overlong_buffer` tokens; 0 where there are none. */
static double overlong(const struct recipe *recipe, const struct completion *c)
{
    const struct recipe_reward *config = &recipe->learner.reward;
    const int64_t length =
        config->overlong_length ? config->overlong_length : recipe->generator.max_tokens;
    return config->overlong_buffer
               ? penalty_overlong(c->tokens, (uint64_t)length, (uint64_t)config->overlong_buffer)
               : 0;
}

/* Where n-grams of the turns that the policy drew begin: none reaches from one turn into the next.
 * Returns how many. */
static size_t ngrams(const struct completion *c, uint32_t n, uint32_t *ret)
{
    size_t count = 0;
    for (uint32_t t = 0; t < c->turns; t++) {
        const uint32_t end = t + 1 < c->turns ? c->turn[t + 1].first_token : c->tokens;
        for (uint32_t at = c->turn[t].first_token; c->turn[t].drawn && at + n <= end; at++)
            ret[count++] = at;
    }
    return count;
}

static double repeated(const struct recipe_reward *config, const struct completion *c)
{
    if (!config->repeat_ngram)
        return 0;
    SCOPED_MEM uint32_t *start = mem_array(c->tokens, sizeof *start);
    const size_t count = ngrams(c, (uint32_t)config->repeat_ngram, start);
    return penalty_repeated(c->token, start, count, (size_t)config->repeat_ngram);
}

static double missing_eos(const struct recipe_reward *config, double reward, enum finish finish)
{
    if (finish != FINISH_LENGTH || config->missing_eos == RECIPE_EOS_KEEP)
        return reward;
    const bool replaces = config->missing_eos == RECIPE_EOS_REPLACE;
    return (replaces ? 0 : reward) - config->missing_eos_penalty;
}

static double shaped(const struct recipe *recipe, double reward, const struct completion *c,
                     struct shares *shares)
{
    const struct recipe_reward *config = &recipe->learner.reward;
    const double over = overlong(recipe, c), again = repeated(config, c);
    shares->overlong += over > 0;
    shares->repeated += again;
    reward = squashed(config, reward - config->bias);
    reward -= config->length_penalty * (double)c->tokens;
    reward -= config->overlong_penalty * over;
    reward -= config->repeat_penalty * again;
    return missing_eos(config, reward, c->finish);
}

/* By the rewards of the run so far. While they are all the same there is nothing to divide by. */
static void normalize(const struct round_run *run, double *reward, size_t count)
{
    const enum recipe_normalize how = run->recipe->learner.reward.normalize;
    if (how == RECIPE_NORMALIZE_NONE)
        return;
    running_rewards(run->running, reward, count);
    const double std = running_reward_std(run->running),
                 mean = how == RECIPE_NORMALIZE_MEAN_STD
                            ? running_or(run->running, RUNNING_reward_mean, 0)
                            : 0;
    for (size_t i = 0; i < count; i++)
        reward[i] = (reward[i] - mean) / (std > 0 ? std : 1);
}

static void clip(double most, double *reward, size_t count, struct shares *shares)
{
    for (size_t i = 0; most > 0 && i < count; i++) {
        shares->clipped += fabs(reward[i]) > most;
        reward[i] = fmax(-most, fmin(most, reward[i]));
    }
}

static void measure(const struct round_run *run, const struct shares *shares)
{
    const struct recipe_reward *config = &run->recipe->learner.reward;
    const double *reward = run->batch->columns->at[COLUMN_REWARD];
    const size_t count = run->batch->columns->sequences;
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += reward[i];
    run->report->reward_shaped_mean = sum / (double)count;
    if (config->clip > 0)
        run->report->reward_clipped_share = shares->clipped / (double)count;
    if (config->overlong_buffer)
        run->report->overlong_share = shares->overlong / (double)count;
    if (config->repeat_ngram)
        run->report->repeated_share = shares->repeated / (double)count;
}

err_t shaping_run(struct round_run *run)
{
    struct shares shares = {0};
    double *const all = run->batch->columns->at[COLUMN_REWARD], *reward = all;
    const size_t count = run->batch->columns->sequences;
    for (size_t g = 0; g < run->round->groups; g++)
        for (uint32_t i = 0; i < run->groups[g]->completions; i++, reward++)
            *reward = shaped(run->recipe, *reward, &run->groups[g]->completion[i], &shares);
    normalize(run, all, count);
    clip(run->recipe->learner.reward.clip, all, count, &shares);
    measure(run, &shares);
    return OK;
}
