/* The generator's side of Weights.Subscribe: receives versions, checks them, and hands over the newest when asked.
 *
 *     TRY(subscriber_open(rpc, &options, &handlers, decode, &subscriber));
 *     -> handlers.staged(manifest): a newer version lies ready
 *     const uint16_t *values = subscriber_take(subscriber, &manifest);     -- when the model is between two steps
 *     subscriber_applied(subscriber);                                      -- it serves them: the buffer is free again
 *
 * Two buffers of the model's size, allocated once: one receives, one is staged or taken. What is staged and not taken is
 * replaced by a newer version; while one is taken and the next is complete, reading stops, and the publisher skips versions.
 * A version whose digest is wrong is dropped, counted, and asked for again over a new stream. After a break the stream comes
 * back by itself and says what is applied. Owner: the loop's thread; taken values may be read by any. */
#pragma once
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include "rpc/rpc.h"
#include "weights/manifest.h"
#include <stdbool.h>
#include <stdint.h>

struct subscriber;
struct subscriber_options {
    const char *target; // the learner's address
    bool insecure;      // plaintext beyond loopback is allowed
    const char *run, *generator;
    uint64_t incarnation;
    struct digest layout;               // layout_digest
    uint64_t elements;                  // of the flat array
    bool evaluated;                     // of Weights.SubscribeEvaluated
    int backoff_min_ms, backoff_max_ms; // as rpc/stream.h
    bool holds;                         // it begins with these weights applied
    uint32_t lineage;
    uint64_t version;
};

struct subscriber_handlers {
    /* A version is ready to take; again for every newer one. May take it at once. */
    void (*staged)(struct subscriber *subscriber, const struct manifest *manifest, void *user);
    /* Optional. The stream broke, or the learner refused: it is tried again. PRECONDITION: another run or model. DATA_LOSS:
     * a digest was wrong. why is owned by the handler. */
    void (*down)(struct subscriber *subscriber, err_t why, void *user);
    void (*up)(struct subscriber *subscriber, void *user); // optional
};

/* Begins to connect. INVALID, DENIED: the target. */
err_t subscriber_open(struct rpc *rpc, const struct subscriber_options *options,
                      const struct subscriber_handlers *handlers, void *user,
                      struct subscriber **ret);

/* The newest complete version, until subscriber_applied; NULL: none is staged, or one is taken already. */
const uint16_t *subscriber_take(struct subscriber *subscriber, struct manifest *ret);

/* What was taken is served: the publisher is told. staged() may be called from here for the next one. */
void subscriber_applied(struct subscriber *subscriber);

struct subscriber_stats {
    uint64_t versions, bytes;      // received whole and right; of values
    uint64_t replaced, mismatches; // staged versions replaced before they were taken; wrong digests
    bool up;
};
struct subscriber_stats subscriber_stats(const struct subscriber *subscriber);
void subscriber_free(struct subscriber *subscriber); // not from a handler
DEFINE_SCOPED(subscriber)
