/* A carrier: one way on which versions travel from a publisher to its subscribers. carriers.h has
 * the table; a row is a constant of this type, in the carrier's own file.
 *
 *     const struct carrier carrier_nccl = {.name = "nccl", .can = can, .send = &nccl_send, ...};
 *
 * Every call but open is optional. A side whose open gives no state takes no part there. Owner: the
 * loop's thread; can and drop: the main thread. */
#pragma once
#include "weights/stream/receiving.h"
#include "weights/stream/sending.h"

struct recipe;

/* A publisher's side. */
struct carrier_send {
    /* *ret NULL: nothing to do for this publisher. sending stays valid until close. */
    err_t (*open)(struct sending *sending, void *means, void **ret);
    /* A subscriber has come. True: it was told to go elsewhere, and is to be dismissed. */
    bool (*hello)(void *state, struct peer *peer, const struct subscription *hello);
    /* INVALID: malformed. *ret_taken: the message is this carrier's. */
    err_t (*hear)(void *state, struct peer *peer, struct rpc_message *message, bool *ret_taken);
    void (*offer)(void *state); // sending->newest is a newer version
    /* The peer's queue has room, or the peer told what it has. */
    void (*serve)(void *state, struct peer *peer);
    void (*beat)(void *state, uint64_t beat);      // the learner is alive: tell all subscribers
    void (*leave)(void *state, struct peer *peer); // the peer is gone; a second call does nothing
    void (*close)(void *state);
};

/* A subscriber's side. */
struct carrier_receive {
    /* *ret NULL: nothing to do for this subscriber. receiving stays valid until close. */
    err_t (*open)(const struct receiving *receiving, void *means, void **ret);
    /* The hello is being made. Fills in the carrier's own fields. */
    void (*introduce)(void *state, struct subscription *hello);
    void (*up)(void *state); // the hello is out
    /* INVALID: malformed. *ret_taken: the message is this carrier's. */
    err_t (*hear)(void *state, struct rpc_message *message, bool *ret_taken);
    void (*down)(void *state, err_t *why); // the stream broke; *why may be replaced
    void (*close)(void *state);
};

struct carrier {
    const char *name;
    /* Opens what the carrier needs on this machine, as the recipe wants it. *ret NULL: the recipe
     * does not want it. UNAVAILABLE, NOT_FOUND: it is wanted and cannot be. */
    err_t (*can)(const struct recipe *recipe, struct loop *loop, void **ret);
    void (*drop)(void *means);
    const struct carrier_send *send;
    const struct carrier_receive *receive;
};
