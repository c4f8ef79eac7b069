/* Labels against the lengths of answers and against a model's margins: over all pairs, and by
 * annotator or source. RankPoison's flips favour the longer answer; an annotator may flip, too.
 *
 *     SCOPED_VALUE(audit_groups) groups = {0};
 *     audit_groups_count(&pairs, AUDIT_BY_ANNOTATOR, margin, &groups);
 *     groups.at[0].longer, groups.at[0].longer_p      -- p: adjusted for all groups of the kind
 *
 * Owner: one thread; pure. */
#pragma once
#include "ctl/reward/audit_pairs.h"
#include "ctl/reward/proportion.h"

/* Pairs whose answers differ in length, by a quarter of the differences each, least first. */
enum { AUDIT_QUARTERS = 4 };
struct audit_length {
    double longer, compared; // won by the longer answer; of pairs whose lengths differ
    double correlation;      // of score margins with length differences; 0 without margins
    struct audit_quarter {
        double longer, compared;
        int words; // the largest difference
    } quarter[AUDIT_QUARTERS];
};

/* margin: of the winner's score above the loser's, NaN of a pair that has none; NULL: none has. */
void audit_length_count(const struct audit_pairs *pairs, const double *margin,
                        struct audit_length *ret);

enum audit_by { AUDIT_BY_ANNOTATOR, AUDIT_BY_SOURCE };
enum { AUDIT_GROUP_LEAST = 20 }; // pairs of a group that is held against the rest

struct audit_group {
    const char *name; // the pairs'
    double pairs;
    double longer, compared, longer_p; // p two-sided, against all other pairs
    double against, scored, against_p; // the margin is against the label; p one-sided
};

struct audit_groups {
    struct audit_group *at; // (count) in the order of their first pairs
    size_t count;
    double largest; // of all pairs the share of the largest group
};

void audit_groups_count(const struct audit_pairs *pairs, enum audit_by by, const double *margin,
                        struct audit_groups *ret);
void audit_groups_done(struct audit_groups *groups);
