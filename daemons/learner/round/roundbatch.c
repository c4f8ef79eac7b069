#include "learner/round/roundbatch.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/numerics.h"
#include "rl/pairs.h"
#include "rl/preference/label.h"
#include "rl/selection.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- columns that the groups carry */

/* Sequence s's values, those of completion i of the group. A column appears with the first
 * completion that carries it; sequences without it have NaN. */
static void fill_column(struct columns *columns, const struct column_row *row, size_t s,
                        const struct group *group, uint32_t i)
{
    const void *values = group_values(group, row->id, i);
    const bool tokens = row->unit == UNIT_TOKEN;
    const size_t begin = tokens ? columns->first[s] : s,
                 end = tokens ? columns->first[s + 1] : s + 1;
    if (values && !columns->at[row->id]) {
        columns_add(columns, row->id);
        for (size_t at = 0; at < begin; at++)
            columns->at[row->id][at] = NAN;
    }
    for (size_t at = begin; columns->at[row->id] && at < end; at++)
        columns->at[row->id][at] = values ? column_number(values, row->dtype, at - begin) : NAN;
}

/* Marks the tokens that the round's first weights drew: their stamped log-probabilities can be
 * compared with our forward's. Where caches outlive a change of weights, no other version may have
 * come before them. */
static void mark_drawn(const struct round_batch *batch, const struct completion *c,
                       uint64_t version, double *ret)
{
    uint32_t spans = batch->config.caches_mix ? 1 : c->spans;
    for (uint32_t i = 0; i < spans; i++)
        for (uint32_t t = c->span[i].first_token, end = span_end(c, i); t < end; t++)
            ret[t] = c->span[i].version == version;
}

/* A token of a turn that is not trained weighs nothing. The first such turn makes the column, where
 * all others weigh 1. */
static void mask_turns(struct columns *columns, const struct completion *c, size_t first)
{
    for (uint32_t i = 0; i < c->turns; i++) {
        const uint32_t end = i + 1 < c->turns ? c->turn[i + 1].first_token : c->tokens;
        if (c->turn[i].trained)
            continue;
        double *weight = columns_add_weights(columns);
        for (size_t t = first + c->turn[i].first_token; t < first + end; t++)
            weight[t] = 0;
    }
}

/* The token more predicts nothing and is not fed: any will do. Returns where the next ones go. */
static uint32_t *lengthen(struct sequence *s, uint32_t *to)
{
    memcpy(to, s->token, (size_t)s->tokens * sizeof *to);
    to[s->tokens] = 0;
    s->token = to;
    s->context = s->prompt_tokens + s->tokens++;
    return to + s->tokens;
}

/* Values of whole completions have no tokens to mark. */
static void fill_tokens(struct round_batch *batch, const struct round *round,
                        const struct group *group, const struct completion *c, size_t s)
{
    struct columns *columns = batch->columns;
    columns_add(columns, COLUMN_FRESH);
    const bool same = model_same_forward(batch->config.model, group->forward);
    mark_drawn(batch, c, round->first_version,
               columns_add(columns, same ? COLUMN_FRESH : COLUMN_FOREIGN) + columns->first[s]);
    mask_turns(columns, c, columns->first[s]);
}

/* Completion i of the group becomes sequence s. */
static void fill_one(struct round_batch *batch, const struct round *round,
                     const struct group *group, uint32_t i, size_t s)
{
    const struct completion *c = &group->completion[i];
    struct columns *columns = batch->columns;
    batch->sequence[s] = (struct sequence){.prompt = group->prompt_token,
                                           .token = c->token,
                                           .prompt_tokens = (int)group->prompt_tokens,
                                           .tokens = (int)c->tokens,
                                           .context = (int)group->prompt_tokens};
    batch->cut_off[s] = c->finish == FINISH_LENGTH;
    if (!batch->longer)
        fill_tokens(batch, round, group, c, s);
    for (unsigned id = 0; id < COLUMNS; id++) {
        const struct column_row *row = column_row(id);
        if (row && row->origin != ORIGIN_LEARNER && row->unit != UNIT_GROUP &&
            row->range != RANGE_WIDE)
            fill_column(columns, row, s, group, i);
    }
}

/* whole: a completion has one value, not one of each token. */
static struct columns *empty_columns(const struct round *round, struct group *const *groups,
                                     bool whole)
{
    size_t sequences = 0;
    SCOPED_MEM size_t *in_group = mem_array(round->groups, sizeof *in_group);
    for (size_t g = 0; g < round->groups; g++)
        sequences += in_group[g] = groups[g]->completions;
    SCOPED_MEM size_t *tokens = mem_array(sequences, sizeof *tokens);
    for (size_t g = 0, s = 0; g < round->groups; g++)
        for (uint32_t i = 0; i < groups[g]->completions; i++)
            tokens[s++] = whole ? 1 : groups[g]->completion[i].tokens;
    struct columns *columns = columns_new(sequences, tokens);
    columns_set_units(columns, round->groups, in_group);
    return columns;
}

static uint32_t *room_for_longer(const struct round *round, struct group *const *groups)
{
    size_t tokens = 0;
    for (size_t g = 0; g < round->groups; g++)
        for (uint32_t i = 0; i < groups[g]->completions; i++)
            tokens += groups[g]->completion[i].tokens + 1;
    return mem_array(tokens, sizeof(uint32_t));
}

struct round_batch *round_batch_new(const struct round *round, struct group *const *groups,
                                    const struct round_config *config)
{
    struct round_batch *batch = mem_new(sizeof *batch);
    const bool whole = objective_is_reward(&config->objective->row);
    batch->config = *config;
    batch->round = round->round;
    batch->seed = round->seed;
    batch->columns = empty_columns(round, groups, whole);
    batch->longer = whole ? room_for_longer(round, groups) : NULL;
    batch->sequence = mem_array(batch->columns->sequences, sizeof *batch->sequence);
    batch->cut_off = mem_array(batch->columns->sequences, sizeof *batch->cut_off);
    for (size_t g = 0, s = 0; g < round->groups; g++)
        for (uint32_t i = 0; i < groups[g]->completions; i++)
            fill_one(batch, round, groups[g], i, s++);
    uint32_t *to = batch->longer;
    for (size_t s = 0; to && s < batch->columns->sequences; s++)
        to = lengthen(&batch->sequence[s], to);
    return batch;
}

static bool has_column(const struct columns *columns, const struct column_row *row, size_t s)
{
    const double *values = columns->at[row->id];
    return values && !isnan(values[row->unit == UNIT_TOKEN ? columns->first[s] : s]);
}

static err_t missing(const struct column_row *row, const char *who)
{
    const bool key = *row->key;
    return err_new(ERR_INVALID, "a group has no %s (%s), which %s needs%s%s%s%s", row->name,
                   row->help, who,
                   !key                             ? ""
                   : row->origin == ORIGIN_REWARDER ? ": was it scored by a rewarder without "
                                                    : ": it comes with ",
                   row->key, key ? ": " : "", row->value);
}

err_t round_batch_check(const struct round_batch *batch, uint64_t columns, const size_t *member,
                        size_t count, const char *who)
{
    for (unsigned id = 0; id < COLUMNS; id++)
        for (size_t i = 0; columns & COLUMN_BIT(id) && i < count; i++)
            if (!has_column(batch->columns, column_row(id), member ? member[i] : i))
                return missing(column_row(id), who);
    return OK;
}

/* ---- the sequences that are trained */

/* Whether a completion by itself is trained: its label says so, if there are labels. */
static bool is_taken(const struct round_batch *batch, size_t s)
{
    const double *label = batch->columns->at[COLUMN_LABEL];
    return !label || label_trains(&batch->config.settings->label, label[s]);
}

/* Group g's sequences in the order that the objective takes them; returns how many. A list has to
 * have a pair. */
static size_t choose(const struct round_batch *batch, size_t g, size_t *ret)
{
    const struct objective_row *row = &batch->config.objective->row;
    const size_t begin = batch->columns->unit[g], end = batch->columns->unit[g + 1];
    struct rl_pair pair = {0, 0};
    size_t count = 0;
    const bool differ = rl_pair_of(batch->columns->at[COLUMN_REWARD] + begin, end - begin,
                                   batch->config.margin, batch->config.ties_first, &pair);
    if (!differ && (row->unit == OBJECTIVE_PAIR || row->data == DATA_LISTS))
        return 0;
    if (row->unit == OBJECTIVE_PAIR) {
        ret[0] = begin + pair.chosen;
        ret[1] = begin + pair.rejected;
        return 2;
    }
    const struct rng rng = rng_keyed(batch->seed, RNG_SELECT, batch->round, g);
    const size_t last = batch->config.settings->advantage == ADVANTAGE_GREEDY, // a baseline
        selected =
            selection_of(&batch->config.settings->select, batch->columns->at[COLUMN_REWARD] + begin,
                         end - begin - last, &rng, ret);
    for (size_t i = 0; i < selected; i++)
        if (is_taken(batch, begin + ret[i]))
            ret[count++] = begin + ret[i];
    return count;
}

void round_batch_choose(struct round_batch *batch)
{
    const size_t groups = batch->columns->units;
    mem_free(batch->chosen);
    mem_free(batch->first_chosen);
    batch->chosen = mem_array(batch->columns->sequences, sizeof *batch->chosen);
    batch->first_chosen = mem_array(groups + 1, sizeof *batch->first_chosen);
    for (size_t g = 0; g < groups; g++)
        batch->first_chosen[g + 1] =
            batch->first_chosen[g] + choose(batch, g, batch->chosen + batch->first_chosen[g]);
}

/* ---- one update's share */

/* Chosen sequences, as units of neighbours. */
struct share {
    size_t *member, count;
    /* (units) Sequences of each. */
    size_t *unit, units;
};

static void share_done(struct share *share)
{
    mem_free(share->member);
    mem_free(share->unit);
}

/* The i-th group of a pass. */
static size_t group_at(const struct round_batch *batch, uint32_t pass, bool shuffle, size_t i)
{
    struct rng rng = rng_keyed(batch->seed, RNG_MINIBATCH, batch->round, pass);
    return shuffle ? rng_permute(&rng, i, batch->columns->units) : i;
}

/* An objective that takes a group's sequences together has them as one unit, another has each as
 * one. */
static void add_group(const struct round_batch *batch, size_t g, struct share *share)
{
    const enum objective_unit unit = batch->config.objective->row.unit;
    const bool together = unit == OBJECTIVE_PAIR || unit == OBJECTIVE_GROUP;
    const size_t from = batch->first_chosen[g], count = batch->first_chosen[g + 1] - from,
                 each = together ? count : 1;
    for (size_t i = 0; i < count; i += each)
        share->unit[share->units++] = each;
    memcpy(share->member + share->count, batch->chosen + from, count * sizeof *share->member);
    share->count += count;
}

static bool is_flat(const struct round_batch *batch, const size_t *member, size_t count)
{
    const double *advantage = batch->columns->at[COLUMN_ADVANTAGE];
    for (size_t i = 0; advantage && i < count; i++)
        if (advantage[member[i]] != 0)
            return false;
    return advantage != NULL;
}

/* Appends the units that are flat, or those that are not. */
static void add_units(const struct round_batch *batch, const struct share *from, bool flat,
                      struct share *to)
{
    for (size_t u = 0, at = 0; u < from->units; at += from->unit[u++]) {
        if (is_flat(batch, from->member + at, from->unit[u]) != flat)
            continue;
        memcpy(to->member + to->count, from->member + at, from->unit[u] * sizeof *to->member);
        to->count += from->unit[u];
        to->unit[to->units++] = from->unit[u];
    }
}

static struct share empty_share(const struct round_batch *batch)
{
    const size_t most = batch->columns->sequences;
    return (struct share){.member = mem_array(most, sizeof(size_t)),
                          .unit = mem_array(most, sizeof(size_t))};
}

/* Moves the units without an advantage behind the others, both in their order. Whole micro-batches
 * of them need no backward, which would add zeros and change no bit of the sums. */
static void flat_last(const struct round_batch *batch, struct share *share)
{
    SCOPED_VALUE(share) drawn = *share;
    *share = empty_share(batch);
    add_units(batch, &drawn, false, share);
    add_units(batch, &drawn, true, share);
}

static struct round_part *gather(const struct round_batch *batch, struct share *share)
{
    struct round_part *part = mem_new(sizeof *part);
    struct columns *columns = columns_gather(batch->columns, share->member, share->count);
    columns_set_units(columns, share->units, share->unit);
    columns_mask(columns);
    part->sequence = mem_array(share->count, sizeof *part->sequence);
    for (size_t i = 0; i < share->count; i++)
        part->sequence[i] = batch->sequence[share->member[i]];
    if (batch->mismatched)
        part->mismatched = mem_array(share->count, sizeof *part->mismatched);
    for (size_t i = 0; part->mismatched && i < share->count; i++)
        part->mismatched[i] = batch->mismatched[share->member[i]];
    part->member = STEAL(share->member);
    part->batch = (struct step_batch){.sequences = share->count,
                                      .sequence = part->sequence,
                                      .mismatched = part->mismatched,
                                      .columns = columns,
                                      .inverse_temperature = 1.0f / batch->config.temperature};
    return part;
}

struct round_part *round_batch_part(const struct round_batch *batch, uint32_t u, uint32_t updates,
                                    uint32_t epochs)
{
    const uint32_t minibatches = updates / epochs, m = u % minibatches;
    const size_t groups = batch->columns->units, begin = groups * m / minibatches,
                 end = groups * (m + 1) / minibatches;
    SCOPED_VALUE(share) share = empty_share(batch);
    for (size_t i = begin; i < end; i++)
        add_group(batch, group_at(batch, u / minibatches, updates > 1, i), &share);
    flat_last(batch, &share);
    struct round_part *part = gather(batch, &share);
    if (u > 0) {
        columns_drop(part->batch.columns, COLUMN_FRESH);
        columns_drop(part->batch.columns, COLUMN_FOREIGN);
    }
    return part;
}

void round_part_free(struct round_part *part)
{
    if (!part)
        return;
    columns_free(part->batch.columns);
    mem_free(part->sequence);
    mem_free(part->mismatched);
    mem_free(part->member);
    mem_free(part);
}

void round_batch_free(struct round_batch *batch)
{
    if (!batch)
        return;
    columns_free(batch->columns);
    mem_free(batch->sequence);
    mem_free(batch->longer);
    mem_free(batch->mismatched);
    mem_free(batch->cut_off);
    mem_free(batch->chosen);
    mem_free(batch->first_chosen);
    mem_free(batch);
}
