/* The one cause that holds a rewarder up: a pure function of facts that its parts report.
 *
 *     struct hold hold = rewarder_hold(&(struct rewarder_facts){.learner = &learner, ...}, clock_s());
 *
 * In order of precedence: the learner, a stage that does not answer, a scorer that fails, groups
 * without an answer, no generator. Any thread. */
#pragma once
#include "svc/peer.h"
#include <stddef.h>
#include <stdint.h>

enum { REWARDER_FAILS = 3 };

struct rewarder_facts {
    const struct peer *learner;
    uint64_t unscorable;        // groups in a row that no scorer could score
    uint64_t slot;              // of the last of them
    const char *why;            // likewise; borrowed
    const char *held;           // by a stage that does not answer; "": by none; borrowed
    size_t unanswered, scoring; // scored groups without a disposition; groups being scored
    double moved_s;             // a group came or was answered; or the process began
};
struct hold rewarder_hold(const struct rewarder_facts *facts, double now_s);
