/* Groups that no scorer could score. Their bytes stay, their places in the budget of lag are free,
 * and their slots are closed, until an operator asks for another try.
 *
 *     TRY(store_quarantine(store, group, &encoded, why, clock_ms(), &verdict));   -- as it came
 *     TRY(store_retry(store, slots, n, clock_ms(), note, arg, &retried));
 *     uint64_t at = 0;
 *     for (struct digest id; store_again(store, &at, &slot, &id);)                -- hand each to a rewarder
 *         TRY(store_group(store, slot, &group));
 *
 * A group that is tried again within the lag is leased to the rewarders: a lease without a holder's
 * term. The same attempt is appended with its scores, or set aside once more. If none comes before
 * the lease's deadline, or the limit has no room any more, the slot is leased anew.
 * Owner: the storage thread; errors of writes as in store.h. */
#pragma once
#include "learner/store/store.h"

/* Sets a leased group aside for why, which is copied; its generator is answered REJECTED. A group
 * that is over the lag, or not leased, is turned away as in store_append. */
err_t store_quarantine(struct store *store, const struct group *group,
                       const struct encoded *encoded, const char *why, int64_t now_ms,
                       struct verdict *ret);

/* Takes quarantined ones among n slots out; others are passed over. again: to be scored as they
 * are; anew: too old, or of weights that a fork cut off: their slots are free. note as in
 * store_evict. */
struct store_retried {
    uint64_t again, anew;
};
err_t store_retry(struct store *store, const uint64_t *slots, size_t n, int64_t now_ms,
                  err_t (*note)(void *arg, struct store *store), void *arg,
                  struct store_retried *ret);

/* The next slot from *at on whose group waits for a rewarder; *at is then above it. */
bool store_again(const struct store *store, uint64_t *at, uint64_t *ret_slot,
                 struct digest *ret_id);
