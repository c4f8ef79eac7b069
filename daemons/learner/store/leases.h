/* Leases: slots on loan to generators, under the bound on lag.
 *
 *     SCOPED_VALUE(grants) grants = {0};
 *     struct store_holder holder = {"generator-0", term};
 *     TRY(store_holder_gone(store, &holder, clock_ms()));  -- at its hello
 *     TRY(store_lease(store, &holder, version, want, clock_ms(), &grants));  -- durable: send them
 *     TRY(store_expire(store, clock_ms()));          -- on a timer
 *     store_revoked(store, &revoked, &count);        -- after any call: tell their holders
 *
 * Each lease of a slot durably has the next attempt number, whatever becomes of it. A lease ends
 * when its group is appended, or the lease is given back, expires or is revoked. Deadlines stand
 * still while the learner is down. Owner: the storage thread. */
#pragma once
#include "learner/store/lag.h"
#include "learner/store/store.h"

struct store_holder {
    const char *generator; // 1 to 255 bytes
    uint64_t term;         // of terms.h
};
struct grant {
    struct digest id;                            // of the group to be made
    uint64_t slot, prompt, start_round, version; // begun with version or a newer one
    uint32_t lineage, attempt, epoch, lease_ms;
};

enum lease_stop {      // why fewer slots were granted than wanted
    LEASE_ALL,         // they were not fewer
    LEASE_PACED,       // rule 1, or the run's last rounds have all they need
    LEASE_OLD_WEIGHTS, // the holder's weights are too old: it needs newer ones first
    LEASE_FULL,        // max_groups
    LEASE_SOURCE,      // every prompt is leased or used
    LEASE_DISK,        // too little free space
    LEASE_ENDED        // nothing will ever be granted again
};
struct grants {
    struct grant *grant; // by ascending slot
    size_t count;
    enum lease_stop stop;
};
void grants_done(struct grants *grants);
const char *lease_stop_name(enum lease_stop stop); // "all", "paced", "old weights", ...

/* Leases up to want slots, at most 4096, to a holder of this version's weights. The version must be
 * of the current lineage: the caller passes over generators that still serve another's. *ret must
 * be empty. PRECONDITION: a version never made here. */
err_t store_lease(struct store *store, const struct store_holder *holder, uint64_t version,
                  size_t want, int64_t now_ms, struct grants *ret);

/* Adds leases of up to want slots ahead, for the version that the round under way will make. One
 * of `holders` that has the newest version gets its share of a round at most. The deadline begins
 * when the version is made. A voided or cut off round revokes them. PRECONDITION: likewise. */
err_t store_lease_ahead(struct store *store, const struct store_holder *holder, uint64_t version,
                        uint64_t holders, size_t want, int64_t now_ms, struct grants *ret);
size_t store_leased(const struct store *store, const struct store_holder *holder); // to it, now

/* The lease that is waited for first: of the oldest weights, then of the lowest slot. False:
 * nothing is leased. The holder's name is borrowed until the store's next call. */
struct store_lease {
    const char *generator;
    uint64_t slot, prompt, start_round;
    double leased_s; // while the learner was up
};
bool store_oldest_lease(struct store *store, int64_t now_ms, struct store_lease *ret);

/* Live groups by their age (lag.h), ascending; borrowed until the store's next call. */
const struct lag_age *store_ages(const struct store *store, size_t *ret_count);

/* Frees the holder's leases among ids; others are ignored. */
err_t store_give_back(struct store *store, const struct store_holder *holder,
                      const struct digest *ids, size_t n, int64_t now_ms);

/* The holder's leases among ids can never be worked on (their rows make no prompt): their slots
 * leave as filtered. */
err_t store_filter(struct store *store, const struct store_holder *holder, const struct digest *ids,
                   size_t n, int64_t now_ms);

/* At a hello: ids are all leases that the holder knows. Frees its other leases, which were lost on
 * their way, with the stream or with the learner that had sent them. */
err_t store_holds_only(struct store *store, const struct store_holder *holder,
                       const struct digest *ids, size_t n, int64_t now_ms);

/* Whether the holder's lease of this group stands. If the holder knows one that does not stand, it
 * was revoked while the holder was away. */
bool store_holds(struct store *store, const struct store_holder *holder, const struct digest *id);

/* Frees leases that other processes hold under this holder's name. */
err_t store_holder_gone(struct store *store, const struct store_holder *holder, int64_t now_ms);

/* On hold decoding stands still. Then deadlines stand still, too, and a round waits for its
 * stragglers whatever the rules say. */
void store_hold(struct store *store, bool holds);

/* Why a lease was taken from its holder. */
enum revoked_why {
    REVOKED_EXPIRED,
    REVOKED_STALE,
    REVOKED_STRAGGLER,
    REVOKED_ENDED,
    REVOKED_LINEAGE, // a fork
    REVOKED_LOST,    // its holder has gone, and did not come back
    REVOKED_DRAINED, // its holder was sent away, and has gone
    REVOKED_VOID,    // leased ahead, for the version of a round that was voided
    REVOKED_WHYS
};
const char *revoked_why_name(enum revoked_why why); // "expired", "stale", "straggler", ...

/* Calls fn with the holder of each lease, so with one of several leases several times. The name is
 * borrowed during the call. */
void store_holders(const struct store *store,
                   void (*fn)(void *arg, const struct store_holder *holder), void *arg);

/* Takes all leases of a holder that has gone. Their groups are welcome until the slots are leased
 * again. */
err_t store_free_leases(struct store *store, const struct store_holder *holder,
                        enum revoked_why why, int64_t now_ms, size_t *ret_count);

/* Frees leases past their deadline, and groups for which the limit has no room. */
err_t store_expire(struct store *store, int64_t now_ms);

/* Leases taken from a holder since the last call, by whatever call. The array and its names are the
 * caller's: revoked_free. */
struct revoked {
    char *generator;
    uint64_t term;
    struct digest id;
    enum revoked_why why;
};
void store_revoked(struct store *store, struct revoked **ret, size_t *ret_count);
void revoked_free(struct revoked *revoked, size_t count);
