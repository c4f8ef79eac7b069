/* The one cause that holds a generator up: a pure function of facts that its stages report.
 *
 *     struct generator_facts facts = generator_facts_of(learner, rewarder, clock_s());
 *     peer_up(&facts.peers.learner, clock_s());                -- as streams say it
 *     struct hold hold = generator_hold(&facts, clock_s());    -- HOLD_NONE: it decodes
 *
 * In order of precedence: the learner, the rewarder, weights, a pause, groups without an answer,
 * leases. Any thread. */
#pragma once
#include "base/err.h"
#include "svc/peer.h"
#include <stddef.h>

struct generator_peers {
    struct peer learner, rewarder, weights; // the streams of leases, of groups, of weights
};
/* UNAVAILABLE: the first of learner and rewarder that was never reached in timeout_s seconds. */
err_t generator_missing(const struct generator_peers *peers, int64_t timeout_s);

struct generator_facts {
    struct generator_peers peers;
    bool serving;            // weights are in force
    bool stands;             // decoding stands still, or is about to: the learner asked
    double since_s;          // nothing was leased since then; or the process began
    size_t held, unanswered; // leases; finished groups without a disposition
};
struct generator_facts generator_facts_of(const char *learner, const char *rewarder, double now_s);
struct hold generator_hold(const struct generator_facts *facts, double now_s);
