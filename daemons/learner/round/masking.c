#include "learner/round/masking.h"

/* Tokens [begin, end) of the round. Returns how many of them had a weight. */
static size_t mask(struct columns *columns, size_t begin, size_t end)
{
    size_t weighed = 0;
    for (size_t t = begin; t < end; t++) {
        weighed += columns_weight(columns, t) != 0;
        columns->at[COLUMN_MASKED][t] = 1;
    }
    return weighed;
}

static bool is_old(const struct round *round, uint64_t version, uint64_t most)
{
    return most && round->first_version > version && round->first_version - version > most;
}

/* Completion c is sequence s. Returns how many tokens with a weight are old ones. */
static size_t mask_one(struct columns *columns, size_t s, const struct round *round,
                       const struct completion *c, const struct mask_rules *rules)
{
    const size_t first = columns->first[s];
    size_t old = 0;
    for (uint32_t i = 0; i < c->spans; i++)
        if (is_old(round, c->span[i].version, rules->max_token_lag))
            old += mask(columns, first + c->span[i].first_token, first + span_end(c, i));
    if (rules->truncated && c->finish == FINISH_LENGTH)
        mask(columns, first, columns->first[s + 1]);
    return old;
}

void round_batch_mask(struct round_batch *batch, const struct round *round,
                      struct group *const *groups, const struct mask_rules *rules,
                      double *ret_stale)
{
    struct columns *columns = batch->columns;
    const double all = columns_totals(columns).tokens;
    double old = 0;
    columns_add(columns, COLUMN_MASKED);
    for (size_t g = 0, s = 0; g < round->groups; g++)
        for (uint32_t i = 0; i < groups[g]->completions; i++, s++)
            old += (double)mask_one(columns, s, round, &groups[g]->completion[i], rules);
    *ret_stale = all > 0 ? old / all : 0;
}
