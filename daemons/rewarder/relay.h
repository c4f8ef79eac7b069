/* Sends scored groups to the learner, and dispositions back to the sender of the group. A group is
 * kept until its disposition comes, and sent again when the stream was lost in between. Owner: the
 * loop's thread. */
#pragma once
#include "rpc/stream.h"
#include "wire/rollout.h"

struct relay;
struct security;
struct relay_options {
    struct rpc *rpc;
    const char *learner; // address
    const struct security *security;
    const struct hello *hello; // all settings that decide scores, here; borrowed
    void (*room)(void *arg);   // a full relay has room again
    /* The learner cannot be reached, or refuses: PRECONDITION for good. Takes why. */
    void (*down)(void *arg, err_t why);
    void (*answered)(void *arg); // a group has its disposition
    void (*again)(void *arg,
                  struct group *group); // the learner wants it scored once more; takes it
    void (*up)(void *arg);              // the learner has accepted us
    void *arg;
};
err_t relay_open(const struct relay_options *options, struct relay **ret);

/* Sends the scored group's bytes; the disposition goes to origin (a reference is taken), or to
 * nobody (NULL). The same group again, from a generator that lost its stream, replaces the
 * origin. */
void relay_group(struct relay *relay, const struct group *group, struct rpc_call *origin);

/* Tells the learner why groups wait here for a stage: then it leases nothing. NULL: they go on. */
void relay_held(struct relay *relay, const char *why);

/* Whether so many groups wait for their disposition that no more should be taken in. */
bool relay_full(const struct relay *relay);
size_t relay_waiting(const struct relay *relay);
void relay_free(struct relay *relay);
DEFINE_SCOPED(relay)
