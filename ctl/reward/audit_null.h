/* Chance alone, as the sides of texts have it. Some texts stand in one answer of a pair alone: how
 * often is that the winner?
 *
 *     audit_null_fit(seen, count, &null);
 *     audit_null_tail(&null, 50, 50)           -- P(50 or more winners of 50)
 *
 * Winners differ from losers for honest reasons: they are longer, or better. So the share of
 * winners varies from text to text around a mean. Both are estimated from all texts at once, by
 * the median. A few planted texts hardly move it (Efron 2004, the empirical null).
 *
 * Any thread: pure. */
#pragma once
#include <stddef.h>

/* Pairs where the text stands in the winner alone, and in the loser alone. */
struct audit_seen {
    double won, lost;
};

enum { AUDIT_NULL_BANDS = 6 }; // of how often a text is seen, each four times the one before
struct audit_null {
    double mean;                  // share of winners
    double rho[AUDIT_NULL_BANDS]; // how much it varies: the correlation of two pairs of one text
};

void audit_null_fit(const struct audit_seen *seen, size_t count, struct audit_null *ret);

/* P(won or more winners) of a text that is seen so often. */
double audit_null_tail(const struct audit_null *null, double won, double lost);
