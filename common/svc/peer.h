/* A peer as one stream to it shows: whether it is reached, since when, why not, and whether the
 * stream keeps breaking.
 *
 *     struct peer learner = peer_of("learner", address, HOLD_NO_LEARNER, clock_s());
 *     peer_down(&learner, err_message(why), clock_s());   -- from the stream's handlers
 *     peer_up(&learner, clock_s());
 *     peer_works(&learner);                               -- what was sent has been answered
 *     if (peer_holds(&learner, clock_s(), &hold)) ...
 *
 * Pure but for the log line of peer_down. Owner: the loop's thread. */
#pragma once
#include "svc/held.h"

enum { PEER_WHY = 200, PEER_BREAKS = 3, PEER_CALM_S = 60 };

struct peer {
    const char *kind, *address; // "learner"; borrowed
    enum hold_cause cause;      // while it is not reached
    bool up, joined;            // reached now; was reached once
    double since_s;             // of up, or of its loss
    unsigned breaks;            // losses of the stream with no answer between them
    char why[PEER_WHY];         // the last loss
};

struct peer peer_of(const char *kind, const char *address, enum hold_cause cause, double now_s);
void peer_down(struct peer *peer, const char *why, double now_s);
void peer_up(struct peer *peer, double now_s);
void peer_works(struct peer *peer);

/* Whether the peer holds this daemon up: it is not reached, or its stream keeps breaking. A stream
 * does if it was lost PEER_BREAKS times without an answer, and was not calm for PEER_CALM_S
 * since. */
bool peer_holds(const struct peer *peer, double now_s, struct hold *ret);
