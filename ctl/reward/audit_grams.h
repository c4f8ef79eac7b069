/* Words and phrases that stand in winners more often than chance puts them there: what planted
 * texts leave behind (Best-of-Venom: an entity with praise in 1-5 % of the winners).
 *
 *     SCOPED_VALUE(audit_grams) grams = {0};
 *     audit_grams_find(&pairs, &grams);
 *     grams.at[0].text, grams.at[0].won, grams.at[0].p        -- p: adjusted for all phrases tested
 *
 * Phrases are 1 to 4 words that stand in one answer of a pair, and not in the other. One that
 * stands where a found one does already is not told again. Owner: one thread. */
#pragma once
#include "ctl/reward/audit_null.h"
#include "ctl/reward/audit_pairs.h"

enum { AUDIT_GRAM_WORDS = 4, AUDIT_GRAM_LEAST = 12, AUDIT_GRAMS_TOLD = 32 };

/* How much higher a model scores losers that end with a phrase (audit_probes.h). */
struct audit_probe {
    double texts; // losers; 0: no model was asked
    double raised, error;
    double control; // by other phrases of as many words
};

struct audit_gram {
    char *text;
    double won, lost, p;
    double asked;   // share of its winners whose prompt has it, too
    uint32_t *pair; // (pairs) where it won
    size_t pairs;
    struct audit_probe probe;
};

struct audit_grams {
    struct audit_gram *at; // (count) at p <= 0.05, by p
    size_t count, tested;
    struct audit_null null;
};

void audit_grams_find(const struct audit_pairs *pairs, struct audit_grams *ret);
void audit_grams_done(struct audit_grams *grams);
