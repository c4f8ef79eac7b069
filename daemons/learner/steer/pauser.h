/* The last pause of generation and the last of training: its author, time and reason. Found in the
 * changes that operators and the breaker made.
 *
 *     pausers_take(&pausers, change);        -- every change, the oldest first
 *     if (live_generation_paused(live)) ... pausers.generation.author
 *
 * Owner: the storage thread. */
#pragma once
#include "learner/store/changes.h"

struct pauser {
    char *kind, *author, *reason; // NULL: no pause is known; kind: "pause", or "breaker"
    int64_t time_ms;              // since 1970
};
struct pausers {
    struct pauser generation, training;
};

/* A change that pauses nothing is passed over. */
void pausers_take(struct pausers *pausers, const struct change *change);
void pausers_done(struct pausers *pausers);
