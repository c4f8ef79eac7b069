/* Which labels are likely flipped, by the margins of a model that was not trained on the pair.
 *
 *     audit_flips_find(&pairs, margin, deviation, 0.1, &flips);
 *     flips.order[0]                            -- the most suspect pair
 *     flips.chance[flips.order[0]]              -- that its label is flipped
 *
 * A margin m says that the winner won with sigmoid(t m), t fitted, m made smaller by its own
 * uncertainty (MacKay 1992). A label is flipped with a chance that depends on the pair's length
 * difference, annotator and source. All chances are fitted together, by EM; those of groups are
 * drawn to the mean of all, as by 20 pairs more. Owner: one thread; pure. */
#pragma once
#include "ctl/reward/audit_pairs.h"

enum { AUDIT_BINS = 10, AUDIT_SHRINK = 20 };

/* Pairs by the winner's words above the loser's, a tenth of the pairs in each bin. */
struct audit_bin {
    int low, high; // words
    double pairs, flips;
};

struct audit_flips {
    double *chance;    // (pairs) NaN: no margin
    double *annotator; // (annotators) fitted share of flips
    double *source;    // (sources)
    uint32_t *order;   // (listed) the most suspect first
    size_t listed;     // share * scored, rounded up
    size_t scored;
    double share;       // fitted share of flips in all
    double temperature; // t
    double against;     // pairs whose margin is against their label
    struct audit_bin bin[AUDIT_BINS];
    size_t bins;
    double longer, compared; // of the listed: won by the longer answer
    double longer_p;         // as often as that, or more, by chance
};

/* margin: (pairs) of the winner's score above the loser's; NaN: none. deviation: (pairs) its
 * standard deviation between models. */
void audit_flips_find(const struct audit_pairs *pairs, const double *margin,
                      const double *deviation, double share, struct audit_flips *ret);
void audit_flips_done(struct audit_flips *flips);
