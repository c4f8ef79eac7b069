/* A generator's process. main.c wires its parts. ending.c ends the process and reports its state.
 * peers.c follows the streams to peers.
 *
 * Owner: the loop's thread. */
#pragma once
#include "base/err.h"
#include "generator/generator_hold.h"
#include "generator/track.h"
#include "svc/security.h"
#include "weights/carriers.h"
#include "wire/hello.h"

/* In order of dependence: freed from the end. */
struct daemon {
    const struct recipe *recipe;
    struct security security;
    char *name;
    uint64_t process; // names it on the streams of weights
    struct loop *loop;
    struct rpc *rpc;
    struct deliver *deliver;
    struct decode *decode;
    struct prompts *prompts;
    struct carriers carriers;
    struct relaying *relay; // NULL: none
    char *serves;
    struct hello hello;            // to the learner
    struct update *update[TRACKS]; // NULL for evaluation: none
    struct face *face;
    struct loop_timer *tick;
    struct loop_timer *join;
    struct loop_timer *look;
    struct generator_facts facts;
    bool draining, stopping;
    int64_t drain_until_ms;
    err_t failed;
};

/* Ends the process with why, which it takes; the first one counts. */
void daemon_failed(void *arg, err_t why);

/* The process ends when no lease is held and no group is undelivered, after at_most_ms at the
 * latest. A second call has no effect. */
void daemon_drain(struct daemon *d, int64_t at_most_ms);

/* Gives leases back, then drains for a moment. Groups without a disposition are made again. all:
 * leases of finished groups are given back, too. */
void daemon_give_back(struct daemon *d, bool all);
void daemon_leave_soon(struct daemon *d); // the same in the midst of draining
void daemon_tick(void *arg);              // while it drains, now and then

const char *daemon_state(void *arg); // one word
void daemon_show(void *arg);         // the cause that holds it up, in readiness and status

/* The streams to learner and rewarder are up, or down: lost or refused. Each takes its why. */
void peers_lease_down(void *arg, err_t why);
void peers_lease_up(void *arg);
void peers_rewarder_down(void *arg, err_t why);
void peers_rewarder_up(void *arg);
void peers_weights_down(void *arg, err_t why);
void peers_weights_up(void *arg);
void peers_evaluated_down(void *arg, err_t why);
void peers_late(void *arg); // net.join_timeout_s is over
