/* A subscriber lends its carriers the receiver that they fill, and calls to its one stream. Each
 * call takes `arg` first. Owner: the loop's thread. */
#pragma once
#include "base/err.h"
#include "weights/stream/receiver.h"

struct receiving {
    struct loop *loop;
    struct receiver *receiver;
    const char *home; // the publisher's address; borrowed while a carrier opens
    /* The address where this generator passes versions on; borrowed likewise; NULL: none. */
    const char *serves;
    /* The longest silence of a generator that serves this one. 0: this one is never sent on. */
    int64_t silence_ms;
    /* Sends on the stream. A message sent while the stream is down is lost. message is borrowed. */
    void (*send)(void *arg, struct rpc_message *message);
    void (*cut)(void *arg, err_t why); // breaks the stream, as a peer's that sends nonsense
    /* Opens the stream to another publisher. INVALID, DENIED: the target; the old stream stays. */
    err_t (*move)(void *arg, const char *target);
    void (*beat)(void *arg, uint64_t beat);
    void (*note)(void *arg, const char *text); // a line for the log
    void (*stuck)(void *arg);                  // memory that was lent is never given back
    void *arg;
};
