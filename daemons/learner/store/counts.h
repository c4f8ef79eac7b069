/* Figures of a store, and the reasons for which groups leave it. */
#pragma once
#include "wire/rollout.h"
#include <stdbool.h>
#include <stdint.h>

enum reason {
    REASON_TRAINED = 1,
    REASON_STALE,
    REASON_SUPERSEDED,
    REASON_EVICTED,
    REASON_FILTERED,
    REASON_ERRORED,
    REASON_LINEAGE,
    REASON_OPERATOR,
    REASON_ENDED,
    REASON_QUARANTINED, // a scorer could not score it; its bytes stay (quarantine.h)
    REASONS
};
const char *reason_name(enum reason reason);

/* Slots that left one after another as filtered, errored or quarantined, with no usable group
 * between them; the last of these. */
struct store_unusable {
    uint64_t slots, slot, prompt;
    enum reason reason;
    uint64_t filtered; // groups that the rules filtered, likewise; not among `slots`
};

/* Why a group that was scored is not worth training. */
enum filtered { FILTERED_NONE, FILTERED_EQUAL, FILTERED_TRUNCATED, FILTERED_WHYS };

struct store_counts {
    uint64_t leased, stored, free;  // slots now
    uint64_t quarantined;           // likewise
    uint64_t live;                  // leased + stored, each as often as rounds may still use it
    uint64_t next_slot, next_round; // the first never used
    uint64_t gone[REASONS];         // groups that left, over the life of the store
    uint64_t outcomes[OUTCOME_REJECTED + 1];
    uint64_t granted, given_back, expired, revoked;
    uint64_t disk_used_bytes, disk_free_bytes, disk_needed_bytes; // needed: free, for leases
    bool disk_low;                                                // no leases are granted
    uint64_t limit;                                               // on lag, in force now
    /* Summed over the leases granted since it was opened: rounds that the holder's weights were
     * behind then */
    uint64_t behind;
    /* The fewest slots that pacing left unasked for between the last two rounds; UINT64_MAX: none
     * was asked for */
    uint64_t spare;
};
