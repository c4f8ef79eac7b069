/* A walk over a whole store that changes nothing: every slot's fate, and whether the promises were
 * kept.
 *
 *     struct audit audit;
 *     TRY(store_audit("run/store", stdout, &audit));
 *     return audit.errors ? err_new(ERR_DATA_LOSS, "%zu promises broken", audit.errors) : OK;
 *
 * Every slot ever leased has one state. At most one attempt of a slot is trained, and no group more
 * often than its rounds allowed. A group that a round names is gone as trained in that round or a
 * later one, or stored with as many uses as rounds name it. No other group is gone as trained. A
 * group of a voided round is gone as errored. A group whose rounds were all cut off by forks is
 * gone as lineage, or the fork gave it back. A voided round made no version. No lag is over the
 * limit recorded with its round. Stored groups are readable and have their digests. Rounds and
 * versions have no gaps, each in the lineage that the forks say. The counters agree.
 *
 * Any thread. A learner may have the store open; the walk may miss its writes of that time. */
#pragma once
#include "learner/store/store.h"
#include <stdio.h>

enum { AUDIT_LAGS = 64 };

struct audit {
    uint64_t slots, free, leased, stored, quarantined, gone; // slots ever leased, and their states
    uint64_t fate[REASONS];                                  // gone slots by reason
    uint64_t groups[REASONS];                                // groups that left, by reason
    uint64_t rounds, trained;                                // rounds recorded, groups in them
    uint64_t trained_groups;                                 // the same, each group once
    uint64_t rounds_done, versions, voided;
    uint64_t lineages, cut_off; // rounds that forks cut off: in no other figure of rounds
    uint64_t lag[AUDIT_LAGS];   // trained groups by lag; the last counts that lag and more
    uint64_t lag_max;
    uint64_t errors; // promises broken; each is one line of the output
};

/* Prints the findings, one `key=value` line each, to out (NULL: nowhere). Broken promises are
 * counted, not errors of the call. NOT_FOUND: no store in dir; UNAVAILABLE, DATA_LOSS:
 * unreadable. */
err_t store_audit(const char *dir, FILE *out, struct audit *ret);
