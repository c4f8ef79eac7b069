/* Looking into the store: the groups that are leased, stored or quarantined, one at a time, and
 * taking some out for an operator.
 *
 *     uint64_t at = 0;
 *     for (struct listed group; store_list(store, &at, &group);)   -- by ascending slot, from `at` on
 *         ...
 *     TRY(store_group(store, slot, &group));                        -- a stored one, whole
 *     TRY(store_evict(store, slots, n, clock_ms(), &evicted, note, arg));
 *
 * Groups of a round, once it is recorded, are not among them: nothing here can take a round's
 * groups away. Owner: the storage thread; errors of writes as in store.h. */
#pragma once
#include "learner/store/store.h"

struct listed {
    struct digest id;
    uint64_t slot, prompt, epoch;
    uint64_t oldest_version, oldest_round; // LEASED: of its holder at the lease
    uint64_t lag;                          // in the next round, if it were taken there
    uint32_t attempt, lineage;
    bool stored;          // reward is there
    bool quarantined;     // neither: leased; reward, tokens and completions are 0
    const char *why;      // quarantined: the reason; else ""; borrowed likewise
    double reward;        // mean of the completions'
    uint64_t tokens;      // of the completions
    uint32_t completions; // of it
    uint32_t uses;        // recorded rounds that have used it (replay.max_uses)
    /* The holder, or who made it; borrowed until a call that changes something */
    const char *generator;
};

/* The first whose slot is *at or above; *at is then above it. False: there is none. */
bool store_list(const struct store *store, uint64_t *at, struct listed *ret);

/* By its id. NOT_FOUND: none that is leased, stored or quarantined. */
err_t store_listed(const struct store *store, const struct digest *id, struct listed *ret);

/* A stored or quarantined group: the bytes of its record on disk; the group itself, which is the
 * caller's. NOT_FOUND: none is stored in this slot; DATA_LOSS: damaged. */
err_t store_group_bytes(struct store *store, uint64_t slot, uint64_t *ret);
err_t store_group(struct store *store, uint64_t slot, struct group **ret);

/* Takes the stored groups out of n slots, but for groups that a recorded round has used. They leave
 * for `operator`, and their slots may be leased again. The writes of note (may be NULL) become
 * durable in the same write; if note fails, so does the store. */
err_t store_evict(struct store *store, const uint64_t *slots, size_t n, int64_t now_ms,
                  err_t (*note)(void *arg, struct store *store), void *arg, uint64_t *ret_evicted);
