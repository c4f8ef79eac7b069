#include "learner/roundbatch.h"
#include "base/mem.h"
#include "learner/lag.h"
#include <math.h>
#include <string.h>

static void count(struct round_batch *batch, const struct round *round, struct group *const *groups)
{
    batch->groups = round->groups;
    batch->first_sequence = mem_array(round->groups + 1, sizeof(size_t));
    batch->first_target = mem_array(round->groups + 1, sizeof(size_t));
    for (size_t g = 0; g < round->groups; g++) {
        batch->sequences += groups[g]->completions;
        batch->targets += group_tokens(groups[g]);
        batch->first_sequence[g + 1] = batch->sequences;
        batch->first_target[g + 1] = batch->targets;
    }
}

static bool is_fresh(const struct completion *c, uint64_t version)
{
    for (uint32_t i = 0; i < c->spans; i++)
        if (c->span[i].version != version)
            return false;
    return true;
}

static void fill(struct round_batch *batch, const struct round *round, struct group *const *groups)
{
    size_t s = 0, t = 0;
    for (size_t g = 0; g < round->groups; g++)
        for (uint32_t i = 0; i < groups[g]->completions; i++, s++) {
            const struct completion *c = &groups[g]->completion[i];
            batch->sequence[s] = (struct sequence){.prompt = groups[g]->prompt_token,
                                                   .token = c->token,
                                                   .prompt_tokens = (int)groups[g]->prompt_tokens,
                                                   .tokens = (int)c->tokens,
                                                   .context = (int)groups[g]->prompt_tokens};
            batch->fresh[s] = is_fresh(c, round->first_version);
            memcpy(batch->behaviour + t, c->logp, c->tokens * sizeof(float));
            t += c->tokens;
        }
}

static void advantages(struct round_batch *batch, struct group *const *groups,
                       const struct objective_config *settings)
{
    SCOPED_MEM double *reward = mem_array(batch->sequences, sizeof *reward);
    SCOPED_MEM int *first = mem_array(batch->groups + 1, sizeof *first);
    size_t s = 0;
    for (size_t g = 0; g < batch->groups; g++) {
        for (uint32_t i = 0; i < groups[g]->completions; i++)
            reward[s++] = groups[g]->completion[i].reward;
        first[g + 1] = (int)s;
    }
    struct advantage_in in = {.groups = (int)batch->groups, .first = first, .reward = reward};
    advantage_compute(settings->advantage, &in, settings->advantage_epsilon, batch->advantage);
}

struct round_batch *round_batch_new(const struct round *round, struct group *const *groups,
                                    const struct objective_config *settings)
{
    struct round_batch *batch = mem_new(sizeof *batch);
    count(batch, round, groups);
    batch->sequence = mem_array(batch->sequences, sizeof *batch->sequence);
    batch->advantage = mem_array(batch->sequences, sizeof *batch->advantage);
    batch->fresh = mem_array(batch->sequences, sizeof *batch->fresh);
    batch->behaviour = mem_array(batch->targets, sizeof *batch->behaviour);
    fill(batch, round, groups);
    advantages(batch, groups, settings);
    return batch;
}

struct step_batch round_batch_update(const struct round_batch *batch, uint32_t u, uint32_t updates,
                                     float temperature)
{
    size_t begin = batch->first_sequence[batch->groups * u / updates];
    size_t end = batch->first_sequence[batch->groups * (u + 1) / updates];
    size_t target = batch->first_target[batch->groups * u / updates];
    return (struct step_batch){.sequences = end - begin,
                               .sequence = batch->sequence + begin,
                               .advantage = batch->advantage + begin,
                               .behaviour = batch->behaviour + target,
                               .fresh = u == 0 ? batch->fresh + begin : NULL,
                               .inverse_temperature = 1.0f / temperature};
}

/* Whether every score reached what its scorer calls success. */
static bool succeeded(const struct completion *c, const struct recipe_scorers *scorers)
{
    for (uint32_t i = 0; i < c->scores && i < scorers->count; i++)
        if (c->score[i] < scorers->at[i].success)
            return false;
    return true;
}

void round_batch_report(const struct round_batch *batch, const struct round *round,
                        struct group *const *groups, const struct recipe *recipe,
                        struct round_report *ret)
{
    double n = (double)batch->sequences, sum = 0, squares = 0, good = 0, lag = 0, largest = 0,
           updates = 0;
    for (size_t g = 0; g < batch->groups; g++) {
        double rounds = (double)lag_of(round->round, round->group[g].age);
        lag += rounds;
        largest = fmax(largest, rounds);
        updates += (double)(round->first_version - group_oldest_version(groups[g]));
        for (uint32_t i = 0; i < groups[g]->completions; i++) {
            const struct completion *c = &groups[g]->completion[i];
            sum += c->reward;
            squares += c->reward * c->reward;
            good += succeeded(c, &recipe->rewarder.scorers);
        }
    }
    ret->reward_mean = sum / n;
    ret->reward_std = sqrt(fmax(0, squares / n - ret->reward_mean * ret->reward_mean));
    ret->success = good / n;
    ret->lag_mean = lag / (double)batch->groups;
    ret->lag_max = largest;
    ret->lag_updates = updates / (double)batch->groups;
    ret->length_mean = (double)batch->targets / n;
    ret->tokens_trained = (double)batch->targets;
}

void round_batch_free(struct round_batch *batch)
{
    if (!batch)
        return;
    mem_free(batch->sequence);
    mem_free(batch->advantage);
    mem_free(batch->behaviour);
    mem_free(batch->fresh);
    mem_free(batch->first_sequence);
    mem_free(batch->first_target);
    mem_free(batch);
}
