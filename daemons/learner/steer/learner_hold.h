/* The one thing that holds the run up, as the learner sees it: a pure function of facts that others
 * gather (holding.c).
 *
 *     struct hold_facts facts = {.generators.connected = 1, .idle = IDLE_NO_GROUPS, ...};
 *     struct hold hold = learner_hold(&facts);       -- HOLD_NONE: rounds are trained
 *
 * Precedence of causes: the run is complete, the store does not answer, recorded rounds are trained
 * again, unusable slots, a pause, the disk, a scorer that does not answer. Then: no generator, a
 * stream that breaks, no rewarder. Then: a straggler, weights, leases, groups, an evaluation. Any
 * thread: nothing is kept. */
#pragma once
#include "learner/replay/hold_peers.h"
#include "learner/store/leases.h"
#include "learner/store/rounds.h"
#include "svc/held.h"

/* One generator with nothing leased to it: why. */
struct hold_worker {
    char name[HOLD_NAME], waits_for[32]; // "": it asks for nothing
    uint64_t version;
};

struct hold_facts {
    const char *run, *store; // the run's directory, the store's
    double store_silent_s; // since the storage thread was asked; then all below is as it was before
    bool complete;         // nothing more is trained or evaluated
    bool replaying;        // rounds that were recorded before this start are trained first
    uint64_t replayed, replays; // of them: done, in all
    bool evaluating;            // only the last evaluation is still to come
    bool needed;                // generators and rewarders are: there is something to generate
    bool generation_paused, training_paused, by_breaker;
    char paused_by[HOLD_NAME], paused_why[HOLD_TEXT];
    bool disk_low;
    uint64_t disk_free, disk_needed; // bytes
    struct hold_peers generators, rewarders;
    enum idle idle;                  // of training
    uint64_t leased, stored, groups; // now, and of a round
    uint64_t unusable;               // slots in a row that left without a usable group
    bool has_lease;
    struct store_lease lease; // of leased, the one that is waited for first
    char lease_holder[HOLD_NAME];
    double leaseless_s; // since something was leased, or a round was recorded
    bool has_worker;
    struct hold_worker worker;
    uint64_t newest, rounds; // version; rounds recorded
};

struct hold learner_hold(const struct hold_facts *facts);
