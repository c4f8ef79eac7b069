#include "ctl/reward/audit_groups.h"
#include "base/mem.h"
#include <math.h>
#include <stdlib.h>

/* ---- lengths */

struct gap {
    int words;
    bool longer;
};

static int by_words(const void *a, const void *b)
{
    return ((const struct gap *)a)->words - ((const struct gap *)b)->words;
}

static double length_correlation(const struct audit_pairs *pairs, const double *margin)
{
    SCOPED_MEM double *m = mem_array(pairs->count, sizeof *m);
    SCOPED_MEM double *words = mem_array(pairs->count, sizeof *words);
    size_t n = 0;
    for (size_t i = 0; margin && i < pairs->count; i++) {
        if (isnan(margin[i]))
            continue;
        m[n] = margin[i];
        words[n++] = pairs->at[i].winner_words - pairs->at[i].loser_words;
    }
    return rank_correlation(m, words, n);
}

void audit_length_count(const struct audit_pairs *pairs, const double *margin,
                        struct audit_length *ret)
{
    SCOPED_MEM struct gap *gap = mem_array(pairs->count, sizeof *gap);
    size_t n = 0;
    *ret = (struct audit_length){.correlation = length_correlation(pairs, margin)};
    for (size_t i = 0; i < pairs->count; i++) {
        const int words = pairs->at[i].winner_words - pairs->at[i].loser_words;
        if (words)
            gap[n++] = (struct gap){abs(words), words > 0};
    }
    qsort(gap, n, sizeof *gap, by_words);
    for (size_t i = 0; i < n; i++) {
        struct audit_quarter *quarter = &ret->quarter[i * AUDIT_QUARTERS / n];
        quarter->longer += gap[i].longer;
        quarter->compared++;
        quarter->words = gap[i].words;
        ret->longer += gap[i].longer;
    }
    ret->compared = (double)n;
}

/* ---- groups */

static void count_pair(const struct audit_pair *pair, double margin, struct audit_group *group)
{
    group->pairs++;
    group->compared += pair->winner_words != pair->loser_words;
    group->longer += pair->winner_words > pair->loser_words;
    group->scored += !isnan(margin);
    group->against += margin < 0;
}

/* p of each group against all pairs, adjusted; of small groups 1. */
static void test_groups(const struct audit_group *all, struct audit_groups *groups)
{
    SCOPED_MEM double *longer = mem_array(groups->count, sizeof *longer);
    SCOPED_MEM double *against = mem_array(groups->count, sizeof *against);
    SCOPED_MEM size_t *at = mem_array(groups->count, sizeof *at);
    size_t n = 0;
    for (size_t i = 0; i < groups->count; i++) {
        struct audit_group *g = &groups->at[i];
        g->longer_p = g->against_p = 1;
        if (g->pairs < AUDIT_GROUP_LEAST)
            continue;
        longer[n] = apart_from_rest(g->longer, g->compared, all->longer, all->compared);
        against[n] = hypergeometric_tail(g->against, g->scored, all->against, all->scored);
        at[n++] = i;
    }
    holm(longer, n, longer);
    holm(against, n, against);
    for (size_t i = 0; i < n; i++) {
        groups->at[at[i]].longer_p = longer[i];
        groups->at[at[i]].against_p = against[i];
    }
}

void audit_groups_count(const struct audit_pairs *pairs, enum audit_by by, const double *margin,
                        struct audit_groups *ret)
{
    const struct audit_names *names =
        by == AUDIT_BY_ANNOTATOR ? &pairs->annotators : &pairs->sources;
    struct audit_group all = {0};
    ret->count = names->count;
    ret->at = mem_array(names->count, sizeof *ret->at);
    for (size_t i = 0; i < names->count; i++)
        ret->at[i].name = names->at[i];
    for (size_t i = 0; i < pairs->count; i++) {
        const struct audit_pair *pair = &pairs->at[i];
        const int name = by == AUDIT_BY_ANNOTATOR ? pair->annotator : pair->source;
        const double m = margin ? margin[i] : NAN;
        count_pair(pair, m, &all);
        if (name >= 0)
            count_pair(pair, m, &ret->at[name]);
    }
    for (size_t i = 0; i < ret->count; i++)
        ret->largest = fmax(ret->largest, ret->at[i].pairs / all.pairs);
    test_groups(&all, ret);
}

void audit_groups_done(struct audit_groups *groups)
{
    mem_free(groups->at);
}
