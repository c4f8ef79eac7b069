#include "learner/round/roundbatch.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learner/steer/lag.h"
#include <math.h>
#include <string.h>

static void count(struct round_batch *batch, struct group *const *groups)
{
    for (size_t g = 0; g < batch->groups; g++) {
        batch->first_sequence[g] = batch->sequences;
        batch->sequences += groups[g]->completions;
        batch->targets += group_tokens(groups[g]);
    }
    batch->first_sequence[batch->groups] = batch->sequences;
}

/* Tokens whose log-probability our forward must reproduce at the round's first weights: those of that version, but where
 * caches outlive a change of weights (in_flight: continue) only as long as no other version came before. */
static void mark_fresh(const struct round_batch *batch, const struct completion *c,
                       uint64_t version, bool *ret)
{
    uint32_t spans = batch->config.caches_mix ? 1 : c->spans;
    for (uint32_t i = 0; i < spans; i++) {
        uint32_t end = i + 1 < c->spans ? c->span[i + 1].first_token : c->tokens;
        for (uint32_t t = c->span[i].first_token; t < end; t++)
            ret[t] = c->span[i].version == version;
    }
}

static void fill_one(struct round_batch *batch, const struct round *round,
                     const struct group *group, uint32_t i, size_t s)
{
    const struct completion *c = &group->completion[i];
    size_t t = batch->first_target[s];
    batch->sequence[s] = (struct sequence){.prompt = group->prompt_token,
                                           .token = c->token,
                                           .prompt_tokens = (int)group->prompt_tokens,
                                           .tokens = (int)c->tokens,
                                           .context = (int)group->prompt_tokens};
    mark_fresh(batch, c, round->first_version, batch->fresh + t);
    batch->reward[s] = c->reward;
    batch->first_target[s + 1] = t + c->tokens;
    memcpy(batch->behaviour + t, c->logp, c->tokens * sizeof(float));
    batch->referred[s] = c->reference_logp != NULL;
    if (batch->referred[s])
        memcpy(batch->reference + t, c->reference_logp, c->tokens * sizeof(float));
}

static bool any_referred(struct group *const *groups, size_t count)
{
    for (size_t g = 0; g < count; g++)
        for (uint32_t i = 0; i < groups[g]->completions; i++)
            if (groups[g]->completion[i].reference_logp)
                return true;
    return false;
}

/* Whether what the settings train or pay for has reference log-probabilities. */
static err_t check_reference(const struct round_batch *batch)
{
    const struct objective_config *settings = batch->config.settings;
    bool all = settings->kl_coef > 0 || (batch->config.kl_in_reward && batch->config.kl_coef > 0);
    bool missing = false;
    for (size_t s = 0; all && s < batch->sequences; s++)
        missing = missing || !batch->referred[s];
    for (size_t g = 0; batch->pair && g < batch->groups; g++)
        if (batch->pair[g].chosen >= 0)
            missing = missing || !batch->referred[batch->pair[g].chosen] ||
                      !batch->referred[batch->pair[g].rejected];
    if (!missing)
        return OK;
    return err_new(ERR_INVALID,
                   "a group has no reference log-probabilities: was it scored by a rewarder "
                   "without rewarder.reference?");
}

static double kl_of(const struct round_batch *batch, size_t s, enum kl kl)
{
    double sum = 0;
    for (size_t t = batch->first_target[s]; t < batch->first_target[s + 1]; t++)
        sum += kl_at(kl, (double)batch->behaviour[t] - (double)batch->reference[t]).value;
    return sum;
}

static void take_kl_off(struct round_batch *batch)
{
    const struct round_config *config = &batch->config;
    if (!config->kl_in_reward || config->kl_coef == 0)
        return;
    for (size_t s = 0; s < batch->sequences; s++)
        if (batch->referred[s])
            batch->reward[s] -= config->kl_coef * kl_of(batch, s, config->kl);
}

/* Each group's pair at the group's place. */
static void place_pairs(struct round_batch *batch, const struct advantage_in *in)
{
    SCOPED_MEM struct rl_pair *found = mem_array(batch->groups, sizeof *found);
    size_t count = rl_pairs_pick(in, batch->config.margin, batch->config.ties_first, found);
    batch->pair = mem_array(batch->groups, sizeof *batch->pair);
    for (size_t g = 0, p = 0; g < batch->groups; g++) {
        bool has = p < count && found[p].chosen < in->first[g + 1];
        batch->pair[g] = has ? found[p++] : (struct rl_pair){-1, -1};
    }
}

static void judge(struct round_batch *batch)
{
    const struct objective_config *settings = batch->config.settings;
    take_kl_off(batch);
    SCOPED_MEM int *first = mem_array(batch->groups + 1, sizeof *first);
    for (size_t g = 0; g <= batch->groups; g++)
        first[g] = (int)batch->first_sequence[g];
    struct advantage_in in = {
        .groups = (int)batch->groups, .first = first, .reward = batch->reward};
    if (objective_pairs(settings))
        place_pairs(batch, &in);
    else
        advantage_compute(settings->advantage, &in, settings->advantage_epsilon, batch->advantage);
}

err_t round_batch_new(const struct round *round, struct group *const *groups,
                      const struct round_config *config, struct round_batch **ret)
{
    SCOPED(round_batch) batch = mem_new(sizeof *batch);
    batch->config = *config;
    batch->round = round->round;
    batch->seed = round->seed;
    batch->groups = round->groups;
    batch->first_sequence = mem_array(batch->groups + 1, sizeof(size_t));
    count(batch, groups);
    batch->first_target = mem_array(batch->sequences + 1, sizeof(size_t));
    batch->sequence = mem_array(batch->sequences, sizeof *batch->sequence);
    batch->reward = mem_array(batch->sequences, sizeof *batch->reward);
    batch->advantage = mem_array(batch->sequences, sizeof *batch->advantage);
    batch->fresh = mem_array(batch->targets, sizeof *batch->fresh);
    batch->behaviour = mem_array(batch->targets, sizeof *batch->behaviour);
    batch->referred = mem_array(batch->sequences, sizeof *batch->referred);
    if (any_referred(groups, batch->groups))
        batch->reference = mem_array(batch->targets, sizeof *batch->reference);
    for (size_t g = 0, s = 0; g < batch->groups; g++)
        for (uint32_t i = 0; i < groups[g]->completions; i++)
            fill_one(batch, round, groups[g], i, s++);
    judge(batch);
    TRY(check_reference(batch));
    *ret = STEAL(batch);
    return OK;
}

/* ---- one update's share */

/* The i-th group of a pass. */
static size_t group_at(const struct round_batch *batch, uint32_t pass, bool shuffle, size_t i)
{
    struct rng rng = rng_keyed(batch->seed, RNG_MINIBATCH, batch->round, pass);
    return shuffle ? rng_permute(&rng, i, batch->groups) : i;
}

static size_t add_members(const struct round_batch *batch, size_t g, size_t *member)
{
    size_t n = 0;
    if (!batch->pair) {
        for (size_t s = batch->first_sequence[g]; s < batch->first_sequence[g + 1]; s++)
            member[n++] = s;
    } else if (batch->pair[g].chosen >= 0) {
        member[n++] = (size_t)batch->pair[g].chosen;
        member[n++] = (size_t)batch->pair[g].rejected;
    }
    return n;
}

/* The arrays that step_batch borrows, for the members. */
struct gathered {
    struct round_part part; // first: a part is freed as this
    struct sequence *sequence;
    double *advantage;
    float *behaviour, *old, *reference;
    bool *fresh;
};

/* The members' targets of an array over the round's, elements of `size` bytes, as a new array; NULL of NULL. */
static void *gather_targets(const struct round_batch *batch, const struct round_part *part,
                            size_t targets, const void *from, size_t size)
{
    uint8_t *ret = from ? mem_array(targets, size) : NULL;
    for (size_t i = 0, t = 0; from && i < part->batch.sequences; i++) {
        size_t s = part->member[i], first = batch->first_target[s],
               n = batch->first_target[s + 1] - first;
        memcpy(ret + t * size, (const uint8_t *)from + first * size, n * size);
        t += n;
    }
    return ret;
}

static void gather(const struct round_batch *batch, struct gathered *part, size_t count)
{
    size_t targets = 0;
    part->sequence = mem_array(count, sizeof *part->sequence);
    part->advantage = mem_array(count, sizeof *part->advantage);
    for (size_t i = 0; i < count; i++) {
        size_t s = part->part.member[i];
        part->sequence[i] = batch->sequence[s];
        part->advantage[i] = batch->advantage[s];
        targets += batch->first_target[s + 1] - batch->first_target[s];
    }
    part->part.batch.sequences = count;
    const struct round_part *of = &part->part;
    part->behaviour = gather_targets(batch, of, targets, batch->behaviour, sizeof(float));
    part->old = gather_targets(batch, of, targets, batch->old, sizeof(float));
    part->reference = gather_targets(batch, of, targets, batch->reference, sizeof(float));
    part->fresh = gather_targets(batch, of, targets, batch->fresh, sizeof(bool));
}

/* Sequences without an advantage go last, in their order, so that whole micro-batches of them need no backward: theirs adds
 * zeros, which changes no bit of the others' sums. */
static void flat_last(const struct round_batch *batch, size_t *member, size_t count)
{
    SCOPED_MEM size_t *flat = mem_array(count, sizeof *flat);
    size_t steep = 0, flats = 0;
    for (size_t i = 0; !batch->pair && i < count; i++)
        if (batch->advantage[member[i]] == 0)
            flat[flats++] = member[i];
        else
            member[steep++] = member[i];
    memcpy(member + steep, flat, flats * sizeof *flat);
}

struct round_part *round_batch_part(const struct round_batch *batch, uint32_t u, uint32_t updates,
                                    uint32_t epochs)
{
    uint32_t minibatches = updates / epochs, m = u % minibatches;
    size_t begin = batch->groups * m / minibatches, end = batch->groups * (m + 1) / minibatches;
    struct gathered *part = mem_new(sizeof *part);
    part->part.member = mem_array(batch->sequences, sizeof(size_t));
    size_t count = 0;
    for (size_t i = begin; i < end; i++)
        count += add_members(batch, group_at(batch, u / minibatches, updates > 1, i),
                             part->part.member + count);
    flat_last(batch, part->part.member, count);
    gather(batch, part, count);
    part->part.batch = (struct step_batch){.sequences = count,
                                           .sequence = part->sequence,
                                           .advantage = part->advantage,
                                           .behaviour = part->behaviour,
                                           .old = part->old,
                                           .reference = part->reference,
                                           .fresh = u == 0 ? part->fresh : NULL,
                                           .inverse_temperature = 1.0f / batch->config.temperature};
    return &part->part;
}

void round_part_free(struct round_part *part)
{
    struct gathered *gathered = (struct gathered *)part;
    if (!gathered)
        return;
    mem_free(gathered->part.member);
    mem_free(gathered->sequence);
    mem_free(gathered->advantage);
    mem_free(gathered->behaviour);
    mem_free(gathered->old);
    mem_free(gathered->reference);
    mem_free(gathered->fresh);
    mem_free(gathered);
}

void round_batch_set_old(struct round_batch *batch, const struct round_part *part,
                         const float *logp)
{
    batch->old = mem_array(batch->targets, sizeof *batch->old);
    for (size_t i = 0, t = 0; i < part->batch.sequences; i++) {
        size_t first = batch->first_target[part->member[i]],
               n = batch->first_target[part->member[i] + 1] - first;
        memcpy(batch->old + first, logp + t, n * sizeof *batch->old);
        t += n;
    }
}

double round_batch_kl(const struct round_batch *batch)
{
    double sum = 0, referred = 0;
    for (size_t s = 0; s < batch->sequences; s++) {
        sum += batch->referred[s] ? kl_of(batch, s, KL_K1) : 0;
        referred += batch->referred[s];
    }
    return sum / referred;
}

/* ---- the report */

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
    ret->kl_reference = round_batch_kl(batch);
}

void round_batch_free(struct round_batch *batch)
{
    if (!batch)
        return;
    mem_free(batch->sequence);
    mem_free(batch->advantage);
    mem_free(batch->behaviour);
    mem_free(batch->reference);
    mem_free(batch->referred);
    mem_free(batch->old);
    mem_free(batch->reward);
    mem_free(batch->pair);
    mem_free(batch->fresh);
    mem_free(batch->first_sequence);
    mem_free(batch->first_target);
    mem_free(batch);
}
