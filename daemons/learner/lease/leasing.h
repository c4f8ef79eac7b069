/* Prompts.Lease: leases slots to generators under the lag bound, and hears their reports.
 *
 *     TRY(leasing_new(&options, &leasing));
 *     services[n++] = leasing_service(leasing);
 *
 * A stream's messages are decoded on the loop's thread; everything else happens on the storage
 * thread, which also sends. A generator states how many slots it wants; they are granted now or
 * when the rules allow it, oldest request first. Rows of an evaluation go the same way to those who
 * hold its weights, beside the slots and never counted among them. */
#pragma once
#include "base/mixture.h"
#include "learner/publish/evaluating.h"
#include "learner/replay/storage.h"
#include "learner/steer/live.h"
#include "rpc/server.h"

struct leasing;
struct leasing_options {
    struct loop *loop;
    struct storage *storage;
    const struct mixture *data; // rows that leases carry
    const char *run;
    const struct hello *hello;     // the learner's own; every generator's must agree. Borrowed
    struct evaluating *evaluating; // NULL: none
    const struct live *live;       // whether generation is paused; learner.lease_grace_ms
    struct breaker *breaker;       // hears why rows are unusable; NULL: none
    /* Rewarders that wait for a stage that does not answer: then nothing is leased, and deadlines
     * stand still. NULL: none */
    const struct cell *held;
    bool stays; // when the run is over generators keep their streams, and are not told
};

struct leasing *leasing_new(const struct leasing_options *options);
struct rpc_service leasing_service(struct leasing *leasing);
extern const struct rpc_method leasing_methods[]; // its rows alone

/* Sums of the generators' reports, over all their processes since this process began. Storage
 * thread. */
struct leasing_totals {
    double idle_s, busy_s, tokens;
    uint64_t generators; // connected now
};
struct leasing_totals leasing_totals(const struct leasing *leasing);

/* A generator with an open stream, or one that is lost: it holds leases and has none. Of a lost one
 * all after its term but `leased` is 0. Texts are borrowed during the call. */
struct leasing_worker {
    const char *name, *peer;
    const char *forward; // the id of its numerics; "": not said
    uint64_t term, version, versions_behind;
    uint32_t lineage, leased, wanted;
    bool draining, holds, lost; // holds: decoding stands still
    double lost_s;              // since its stream closed, or the learner began
    double tokens, tokens_per_s, busy_s, idle_s, connected_s;
    const char *waits_for; // literal: why it was granted less than it wants; "" if it was not
};
void leasing_workers(const struct leasing *leasing, struct store *store,
                     void (*fn)(void *arg, const struct leasing_worker *worker), void *arg);

struct hold_facts;
/* Generators as the run's holds need them: facts->generators and facts->worker. Adds to
 * facts->lease_holder whether it has gone. Storage thread. */
void leasing_facts(const struct leasing *leasing, struct hold_facts *facts);

/* Sends a generator away: no more leases; it delivers what it has, then ends with status 0. The
 * leases of a lost one are freed at once, and it is sent away if it comes back. A new process of
 * its name is welcome. commit false: only looks. NOT_FOUND: none of that name. Storage thread. */
struct leasing_drained {
    const char *state; // literal, before: "SERVING", "LOST"; "DRAINING": it was sent away before
    uint32_t leased;   // to it until now
};
err_t leasing_drain(struct leasing *leasing, struct store *store, const char *generator,
                    bool commit, struct leasing_drained *ret);

/* Grants nothing any more. Generators are told that the run is over (ended), or that it pauses.
 * Storage thread. */
void leasing_close(struct leasing *leasing, bool ended);
/* also: every slot of the run was leased and used */
bool leasing_is_closed(const struct leasing *leasing);

/* After the server and before the storage are gone. */
void leasing_free(struct leasing *leasing);
DEFINE_SCOPED(leasing)
