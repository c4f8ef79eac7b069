/* Groups of every shape that the wire allows. */
#pragma once
#include "base/mem.h"
#include "base/rng.h"
#include "testing/columns.h"
#include "testing/testing.h"
#include "wire/rollout.h"
#include <stdlib.h>
#include <string.h>

static inline uint32_t *numbers(const struct rng *rng, uint64_t *draw, uint32_t count)
{
    uint32_t *values = mem_array(count, sizeof *values);
    for (uint32_t i = 0; i < count; i++)
        values[i] = (uint32_t)rng_u64(rng, (*draw)++);
    return values;
}

/* A number that the column's row allows. */
static inline void put(const struct rng *rng, uint64_t *draw, const struct column_row *row,
                       void *to, size_t k)
{
    double value =
        row->range == RANGE_LOGP ? -rng_uniform(rng, (*draw)++) * 9 : rng_normal(rng, (*draw)++);
    if (row->dtype == VALUE_F32)
        ((float *)to)[k] = (float)value;
    else if (row->dtype == VALUE_F64)
        ((double *)to)[k] = value;
}

/* Each column that a group may have, now and then of some completions only. */
static inline void random_columns(const struct rng *rng, uint64_t *draw, struct group *group)
{
    for (unsigned id = 0; id < COLUMNS; id++) {
        const struct column_row *row = column_row(id);
        uint32_t some[8], count = 0;
        if (!row || row->origin >= ORIGIN_LEARNER || rng_below(rng, (*draw)++, 4) == 0)
            continue;
        for (uint32_t i = 0; i < group->completions; i++)
            if (rng_below(rng, (*draw)++, 2))
                some[count++] = i;
        void *to = count && row->range != RANGE_WIDE && rng_below(rng, (*draw)++, 2)
                       ? group_add_some(group, id, some, count)
                       : group_add(group, id, row->range == RANGE_WIDE ? 3 : 1);
        const struct column_values *made = column_list_find(&group->columns, id);
        for (size_t k = 0; k < made->bytes / column_size(made->dtype); k++)
            put(rng, draw, row, to, k);
    }
}

/* One turn or several; what is not drawn has no spans. */
static inline void random_turns(const struct rng *rng, uint64_t *draw, struct completion *ret)
{
    ret->turn = mem_array(ret->tokens, sizeof *ret->turn);
    ret->span = mem_array(ret->tokens, sizeof *ret->span);
    for (uint32_t t = 0; t < ret->tokens; t++) {
        struct turn *turn = ret->turns ? &ret->turn[ret->turns - 1] : NULL;
        bool begins = t == 0 || rng_below(rng, (*draw)++, 12) == 0;
        if (begins) {
            turn = &ret->turn[ret->turns++];
            *turn = (struct turn){(enum role)(1 + rng_below(rng, (*draw)++, 3)), t, false, true};
            turn->trained = t == 0 || rng_below(rng, (*draw)++, 2);
            turn->drawn = turn->trained || rng_below(rng, (*draw)++, 2);
        }
        if (turn->drawn && (begins || rng_below(rng, (*draw)++, 8) == 0))
            ret->span[ret->spans++] = (struct span){t, rng_u64(rng, (*draw)++)};
    }
}

static inline void random_completion(const struct rng *rng, uint64_t *draw, struct completion *ret)
{
    ret->tokens = 1 + (uint32_t)rng_below(rng, (*draw)++, 40);
    ret->token = numbers(rng, draw, ret->tokens);
    random_turns(rng, draw, ret);
    ret->finish = (enum finish)(FINISH_EOS + (int)rng_below(rng, (*draw)++, 3));
    ret->text_len = (uint32_t)rng_below(rng, (*draw)++, 30);
    ret->text = mem_new(ret->text_len + 1);
    for (uint32_t i = 0; i < ret->text_len; i++)
        ret->text[i] = (char)rng_below(rng, (*draw)++, 256);
}

static inline struct group *random_group(uint64_t seed)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 1, 0);
    uint64_t draw = 0;
    struct group *group = mem_new(sizeof *group);
    group->run = mem_printf("run-%llu", (unsigned long long)rng_below(&rng, draw++, 1000));
    group->generator = mem_string("gönerator");
    group->forward = seed % 2 ? mem_string("backend=cpu kernels=2 kv=bf16") : NULL;
    group->row = mem_string("{\"prompt\": \"ü\"}");
    group->lineage = (uint32_t)rng_u64(&rng, draw++);
    group->slot = rng_u64(&rng, draw++);
    group->attempt = 1 + (uint32_t)rng_below(&rng, draw++, 1000);
    group->prompt = rng_u64(&rng, draw++);
    group->epoch = (uint32_t)rng_u64(&rng, draw++);
    group->start_round = rng_u64(&rng, draw++);
    group->id = group_id(group->run, group->lineage, group->slot, group->attempt);
    group->prompt_tokens = 1 + (uint32_t)rng_below(&rng, draw++, 20);
    group->prompt_token = numbers(&rng, &draw, group->prompt_tokens);
    group->temperature = 0.5f + (float)rng_uniform(&rng, draw++);
    group->completions = 1 + (uint32_t)rng_below(&rng, draw++, 6);
    group->completion = mem_array(group->completions, sizeof *group->completion);
    for (uint32_t i = 0; i < group->completions; i++)
        random_completion(&rng, &draw, &group->completion[i]);
    random_columns(&rng, &draw, group);
    return group;
}

/* One turn each, of one span. */
static inline struct group *three_completions(void)
{
    struct group *group = random_group(3);
    const struct rng rng = rng_keyed(3, RNG_TEST, 2, 0);
    uint64_t draw = 0;
    for (uint32_t i = 0; i < group->completions; i++) {
        free(group->completion[i].token);
        free(group->completion[i].turn);
        free(group->completion[i].span);
        free(group->completion[i].text);
    }
    free(group->completion);
    column_list_keep(&group->columns, (enum column_origin)0);
    group->completions = 3;
    group->completion = mem_array(3, sizeof *group->completion);
    for (uint32_t i = 0; i < 3; i++) {
        random_completion(&rng, &draw, &group->completion[i]);
        completion_one_turn(&group->completion[i]);
        group->completion[i].spans = 1;
    }
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    return group;
}
