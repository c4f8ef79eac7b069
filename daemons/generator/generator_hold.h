/* The one thing that holds a generator up: a pure function of what its stages know.
 *
 *     struct generator_facts facts = {.peers = generator_peers_of(learner, rewarder, clock_s())};
 *     peer_up(&facts.peers.learner, clock_s());                -- as streams say it
 *     struct hold hold = generator_hold(&facts, clock_s());    -- HOLD_NONE: it decodes
 *
 * In order of precedence: the learner, the rewarder, weights, a pause, groups without an answer, leases. Any thread. */
#pragma once
#include "svc/peer.h"
#include <stddef.h>

struct generator_peers {
    struct peer learner, rewarder, weights; // the streams of leases, of groups, of weights
};
struct generator_peers generator_peers_of(const char *learner, const char *rewarder, double now_s);

struct generator_facts {
    struct generator_peers peers;
    bool serving;            // weights are in force
    bool stands;             // decoding stands still, or is about to: the learner asked
    double since_s;          // nothing was held; or the process began
    size_t held, unanswered; // leases; finished groups without a disposition
};
struct hold generator_hold(const struct generator_facts *facts, double now_s);
