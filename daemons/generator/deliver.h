/* Finished groups out to the rewarder. A group is kept until its disposition comes back, and sent
 * again when the stream was lost in between. Owner: the loop's thread. */
#pragma once
#include "rpc/stream.h"
#include "wire/rollout.h"

struct deliver;
struct security;
struct deliver_options {
    struct rpc *rpc;
    const char *rewarder; // address
    const struct security *security;
    void (*settled)(void *arg, const struct disposition *disposition); // a group was forgotten
    void (*down)(void *arg, err_t why); // the rewarder cannot be reached; takes why
    void (*up)(void *arg);
    void *arg;
};
err_t deliver_open(const struct deliver_options *options, struct deliver **ret);
void deliver_group(struct deliver *deliver, struct group *group); // takes it
size_t deliver_waiting(const struct deliver *deliver);            // groups without a disposition
void deliver_free(struct deliver *deliver);
DEFINE_SCOPED(deliver)
