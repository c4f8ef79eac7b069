/* The learner's durable state: slots and their leases, stored groups, rounds (rounds.h), and why
 * each group left. Every call is durable when it returns.
 *
 *     SCOPED(store) store = NULL;
 *     TRY(store_open("run/store", &options, &rules, clock_ms(), &store));
 *     TRY(store_lease(store, &holder, version, want, clock_ms(), &grants));  -- leases.h: send them
 *     TRY(store_append(store, groups, encoded, n, clock_ms(), verdicts));    -- acknowledge
 *     TRY(store_form_round(store, clock_ms(), &plan, &idle, &round));        -- rounds.h: train
 *
 * A slot is a turn of a prompt. Number n = 0, 1, ... is element n % rows of the permutation of
 * epoch n / rows. Its states are free -> leased -> stored -> gone (for a reason), or quarantined
 * (quarantine.h). A lease that
 * expires or is given back, and a group that becomes stale, make the slot free again, with the next
 * attempt. The lowest free slot is leased first. The number is also the ticket: rounds are ordered
 * by it.
 *
 * Every call that changes something ends in one write with one fsync. If that write fails, the call
 * and all later ones return the error (EXHAUSTED: disk full, UNAVAILABLE: else). Then free the
 * store and open it again; nothing acknowledged is lost. Owner: the storage thread; no call is safe
 * from another. now_ms is clock_ms() and never steps back. */
#pragma once
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include "learner/store/counts.h"
#include "wire/rollout.h"
#include <stdbool.h>
#include <stdint.h>

struct store;
enum straggler { STRAGGLER_WAIT, STRAGGLER_DROP };
enum replay_policy { REPLAY_FIFO, REPLAY_UNIFORM, REPLAY_PRIORITY }; // pick.h
enum last_batch { LAST_BATCH_SHORT, LAST_BATCH_DROP };

/* The identity of a run: fixed when the store is made, compared when it is opened again. */
struct store_options {
    const char *run;     // its id
    struct digest data;  // of the training data
    uint64_t rows, seed; // rows > 0: prompts in the data
    bool shuffle;
    uint32_t lineage;       // the first's number, at random: a store made again has another; 0: 1
    uint64_t reserve_bytes; // kept free beside min_free_bytes: one whole checkpoint
    /* Opens a store that is refused as STORE_BEHIND (intact.h): its missing end is lost for good */
    bool rest;
};

/* Rules that may change while the run goes on. */
struct store_rules {
    uint64_t eta, limit, groups; // as in lag.h; eta <= limit <= 65535, 1 <= groups <= 2^20
    /* <= 65535: the limit in force may stay above limit, up to here, while groups leased under a
     * higher one need it. So a falling limit throws nothing away. <= limit: it falls at once. */
    uint64_t ease;
    enum straggler straggler;
    enum last_batch last_batch;
    uint64_t max_groups;     // live at most; >= (eta + 1) * groups
    uint64_t rounds, epochs; // of the run; 0: no limit
    uint32_t lease_ms;       // how long a lease lasts, counted while the learner is up; > 0
    uint32_t max_failures;   // expiries and rejections until a slot leaves as errored; 0: never
    uint64_t min_free_bytes; // no leases while the disk has less
    enum replay_policy policy;
    uint32_t max_uses;        // rounds that may use a group; 1 <= max_uses <= eta + 1
    double priority_exponent; // pick.h; >= 0
    bool filter_equal;        // groups of equal rewards leave as filtered
    double filter_truncated;  // so do those with a larger share of cut off completions
};

/* Opens the store in dir, making it if absent. Leases and groups that the rules no longer allow
 * leave it. INVALID: options or rules; UNAVAILABLE: another process has it; PRECONDITION: it is of
 * another run, other data or another schema; DATA_LOSS: damaged. */
err_t store_open(const char *dir, const struct store_options *options,
                 const struct store_rules *rules, int64_t now_ms, struct store **ret);
void store_free(struct store *store);
DEFINE_SCOPED(store)

err_t store_copy(struct store *store, const char *dir); // as it is now, in a new directory

struct verdict {
    enum outcome outcome;
    const char *why; // for people; constant text, never NULL
    enum filtered filtered;
};

/* A group's bytes as they came. */
struct encoded {
    const uint8_t *data;
    size_t len;
};

/* Stores n groups. Each verdict is final and recorded. encoded[i] are the bytes of groups[i],
 * stored as they are; encoded NULL: each group is encoded. The same group again is DUPLICATE, so a
 * sender may retry. A group whose lease was lost is still STORED while its slot waits and its lag
 * allows. */
err_t store_append(struct store *store, const struct group *const *groups,
                   const struct encoded *encoded, size_t n, int64_t now_ms, struct verdict *ret);

/* Rejects a group that the caller found unfit for training: more tokens than fit, another
 * vocabulary. The group leaves as errored. Its slot, if it still waits for the group, is free for
 * another attempt. The answer to its sender is REJECTED, or DUPLICATE if it was stored before. */
err_t store_reject(struct store *store, const struct group *group, int64_t now_ms,
                   struct verdict *ret);

/* Makes every later call fail with why, of which the store keeps a copy: its owner met a final
 * error. */
void store_fail(struct store *store, err_t why);

bool store_ended(const struct store *store); // nothing will be granted or recorded any more
void store_counts(const struct store *store, struct store_counts *ret);

/* Since the store was opened; forgotten on request and with every group that is stored. */
struct store_unusable store_unusable(const struct store *store);
void store_unusable_forget(struct store *store);

/* Whether the run still needs generators: something is leased, or there is a slot to lease that a
 * round can use. */
bool store_generates(const struct store *store);
