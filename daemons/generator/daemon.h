/* A generator's process: what main.c wires, and what peers.c, which hears of its peers, shares with
 * it.
 *
 * Owner: the loop's thread. */
#pragma once
#include "base/err.h"
#include "generator/generator_hold.h"
#include "weights/carrier.h"
#include "wire/hello.h"

/* In order of dependence: freed from the end. */
struct daemon {
    const struct recipe *recipe;
    char *name;
    uint64_t process; // names it on the streams of weights
    struct loop *loop;
    struct rpc *rpc;
    struct evaluate *evaluate; // NULL: none
    struct decode *decode;
    struct prompts *prompts;
    struct deliver *deliver;
    struct carrier carrier;
    struct relay *relay; // NULL: none
    char *serves;
    struct hello hello; // to the learner
    struct update *update;
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

/* Leases are given back, then the process ends; groups without a disposition are made again. all:
 * finished ones too. */
void daemon_give_back(struct daemon *d, bool all);

void daemon_show(void *arg); // what holds it up, as readiness and status have it

/* Of the streams to learner and rewarder: reached, and lost or refused. Each takes its why. */
void peers_lease_down(void *arg, err_t why);
void peers_lease_up(void *arg);
void peers_rewarder_down(void *arg, err_t why);
void peers_rewarder_up(void *arg);
void peers_weights_down(void *arg, err_t why);
void peers_weights_up(void *arg);
void peers_evaluated_down(void *arg, err_t why);
void peers_late(void *arg); // net.join_timeout_s is over
