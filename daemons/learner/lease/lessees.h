/* Private to leasing: generators with an open stream and their last reports, those that were sent
 * away, and those that have gone with leases. Owner: the storage thread. */
#pragma once
#include "learner/lease/absence.h"
#include "learner/lease/leasing.h"
#include "learner/replay/refusals.h"
#include "learner/store/leases.h"
#include "learner/store/rounds.h"
#include "wire/lease.h"

/* One generator's stream. Made at its hello, gone when the stream closes; the storage thread owns
 * it between. */
struct lessee {
    struct lessee *next;
    struct rpc_call *call; // a reference
    char *generator;
    char *forward; // forward id of its numerics, from its hello; "": not given
    uint64_t term, version;
    uint32_t lineage;    // of version
    uint32_t want, held; // slots it would take; leases it has been granted over this stream
    uint32_t want_ahead; // slots it would take for weights to come
    double idle_s, busy_s, tokens;                   // as last counted
    double first_idle_s, first_busy_s, first_tokens; // as the hello said
    bool told;                                       // knows that the run is over
    bool leaves;                                     // was sent away
    bool holds;                                      // last report: its decoding stands still
    bool asked;                                      // has been asked to change `holds` since then
    const char *waits_for;                           // as in leasing_worker
    int64_t heard_ms;                                // its last message came
    double since_s;                                  // connected
    double rate_s, rate_tokens, tokens_per_s;        // tokens at rate_s, and since
    uint64_t number;                                 // names the stream to the evaluation
    uint32_t evaluation_lineage, evaluation_want;
    uint64_t evaluation_version;
};

/* A process that was told to leave. */
struct sent_away {
    struct sent_away *next;
    char *generator;
    uint64_t term;
};

struct leasing {
    struct leasing_options options;
    struct sent_away *away;
    struct absences absences;
    bool knows_absent;    // those of the learner's start are among them
    struct lessee *first; // storage thread: oldest stream first
    struct leasing_totals totals;
    struct refusals refusals;
    uint64_t streams; // opened so far
    bool closed, ended;
    int open;                           // loop: streams that the storage thread still knows
    double left_s;                      // time at which the last generator left, or leasing began
    char left[64];                      // the last generator that left, and its address
    char refused[64], refused_why[200]; // the last refused hello
    double refused_s;
};

void lessee_send(struct lessee *lessee, const struct lease_reply *reply);

/* Asks a generator to stop decoding (holds) or to go on, if it does otherwise. The request is
 * repeated at each of its heartbeats, as a stream may have been lost. */
void lessee_hold(struct lessee *lessee, bool holds);

/* Leases what it wants, as far as the rules allow: slots for the weights that it holds, then slots
 * ahead for those to come. PRECONDITION: as store_lease. */
err_t lessee_lease(const struct leasing *leasing, struct lessee *lessee, struct store *store,
                   struct grants *ret);

/* Counting begins at the hello's figures: the earlier stream has counted up to them. */
void lessee_count_from(struct lessee *lessee, const struct lease_request *hello);

/* Counters of one stream only grow. The growth is added to the totals, at most as much as can have
 * happened in the time since. */
void lessee_count(struct leasing *leasing, struct lessee *lessee,
                  const struct lease_request *request);

void lessee_left(struct leasing *leasing, const struct lessee *lessee); // remembers the last
/* Remembers whose hello was refused, and why. */
void lessee_refused(struct leasing *leasing, const char *generator, const char *why);

/* Whether this very process was told to leave, over this stream or one before. */
bool lessee_was_sent_away(struct leasing *leasing, const struct lessee *lessee);
/* Frees what is known of those sent away, and of those that have gone. */
void lessees_forget(struct leasing *leasing);

void lessees_register(void); // metrics

/* Its stream has closed. The leases are its own for a grace, in which it may come back. */
void lessee_absent(struct leasing *leasing, const struct lessee *lessee, struct store *store);

/* Frees the leases of those whose grace is over. */
err_t lessees_free_absent(struct leasing *leasing, struct store *store, bool held);

/* Tells holders what was taken from them. */
void lessees_tell_revoked(struct leasing *leasing, struct store *store);
