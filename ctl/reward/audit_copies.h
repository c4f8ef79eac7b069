/* Answers that repeat one template across prompts, and win more often than chance lets them: the
 * second mark of planted texts.
 *
 *     SCOPED_VALUE(audit_copies) copies = {0};
 *     audit_copies_find(&pairs, &null, &copies);
 *     copies.at[0].text, copies.at[0].won, copies.at[0].p     -- p: adjusted for all templates
 *
 * Two answers are copies if they share 60 % of their phrases of two words (Jaccard's measure, found
 * by MinHash: Broder 1997). The share of winners is held against that of all phrases
 * (audit_null.h). Owner: one thread. */
#pragma once
#include "ctl/reward/audit_null.h"
#include "ctl/reward/audit_pairs.h"

enum { AUDIT_COPIES_LEAST = 8, AUDIT_COPIES_TOLD = 16 };

struct audit_template {
    const char *text; // of one of its answers; the pairs'
    double won, lost, p;
    size_t prompts; // different ones
    uint32_t *pair; // (pairs) where it won
    size_t pairs;
};

struct audit_copies {
    struct audit_template *at; // (count) at p <= 0.05, by p
    size_t count, tested;      // tested: templates of AUDIT_COPIES_LEAST pairs
    size_t answers;            // in templates of two pairs and more
};

void audit_copies_find(const struct audit_pairs *pairs, const struct audit_null *null,
                       struct audit_copies *ret);
void audit_copies_done(struct audit_copies *copies);
