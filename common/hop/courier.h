/* A courier sends groups to a peer over one stream, and keeps each until its disposition comes
 * back. Groups without one are sent again when the stream was lost. The generator has a courier to
 * the rewarder, the rewarder one to the learner.
 *
 *     TRY(courier_open(&options, &courier));
 *     courier_send(courier, &id, message, origin);     -- options.settled(arg, disposition, answer, origin) follows, once
 *
 * Owner: the loop's thread. */
#pragma once
#include "rpc/stream.h"
#include "wire/rollout.h"

struct courier;
struct hello;
struct security;
struct courier_options {
    struct rpc *rpc;
    const char *peer;                // address
    const struct security *security; // copied
    unsigned servers;                // roles of the peer (rpc/client.h)
    size_t max_recv_bytes;           // longest message of the peer; 0: 4 MiB
    const struct rpc_method *method; // RPC_BIDI: groups there, dispositions back
    /* First message; groups follow once the peer has accepted it. NULL: none. Borrowed */
    const struct hello *hello;
    /* A group's disposition has come; the courier forgets the group. answer: the disposition's
     * message, to pass on. tag: as given to courier_send. */
    void (*settled)(void *arg, const struct disposition *disposition, struct rpc_message *answer,
                    void *tag);
    /* Takes a message of an accepted stream that is no disposition, or leaves it. NULL: there is
     * none. The error breaks the stream. */
    err_t (*other)(void *arg, struct rpc_message *message, bool *ret_taken);
    void (*up)(void *arg, size_t again); // accepted; so many groups are sent a second time
    void (*down)(void *arg, err_t why);  // takes why
    void *arg;
};
err_t courier_open(const struct courier_options *options, struct courier **ret);

/* Takes message. A group under way must not be sent again: courier_tag. */
void courier_send(struct courier *courier, const struct digest *id, struct rpc_message *message,
                  void *tag);

/* Where the tag of a group under way is kept, to be read or replaced; NULL: there is no such
 * group. */
void **courier_tag(struct courier *courier, const struct digest *id);
/* Sends a message that is no group, once, if the peer is there and knows such (wire/waiting.h). */
void courier_tell(struct courier *courier, struct rpc_message *message);
size_t courier_waiting(const struct courier *courier); // groups without a disposition

/* Messages are freed; each tag left is given to release, which may be NULL. */
void courier_close(struct courier *courier, void (*release)(void *tag));
