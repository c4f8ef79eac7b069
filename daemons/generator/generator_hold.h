/* The one thing that holds a generator up: a pure function of what its stages know.
 *
 *     struct generator_facts facts = {.learner = &learner, .rewarder = &rewarder, .weights = &weights, .serving = true, ...};
 *     struct hold hold = generator_hold(&facts, clock_s());    -- HOLD_NONE: it decodes
 *
 * In order of precedence: the learner, the rewarder, weights, groups without an answer, leases. Any thread. */
#pragma once
#include "svc/peer.h"
#include <stddef.h>

struct generator_facts {
    const struct peer *learner, *rewarder, *weights; // streams
    bool serving;                                    // weights are in force
    double since_s;                                  // nothing was held; or the process began
    size_t held, unanswered; // leases; finished groups without a disposition
};
struct hold generator_hold(const struct generator_facts *facts, double now_s);
