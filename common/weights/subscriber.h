/* The generator's side of Weights.Subscribe: receives versions, checks them, and hands over the
 * newest when asked.
 *
 *     TRY(subscriber_open(rpc, &options, &handlers, decode, &subscriber));
 *     -> handlers.staged(manifest): a newer version lies ready
 *     if (subscriber_take(subscriber, &manifest, &values)) ...    -- between two steps of the model
 *     subscriber_applied(subscriber);                             -- the buffer is free again
 *
 * A version comes whole, or as changes from the newest version received. Changes are staged as
 * lists, checked against the manifest's digest, and written while no version is taken. A newer
 * version replaces a staged one that nobody took. While one is taken and the next is complete,
 * reading stops, and the publisher skips versions. A stream that broke opens again by itself. Its
 * hello tells which version is applied and which is complete. An interrupted version goes on with
 * the first missing chunk.
 *
 * Memory: none while the model serves weights that it loaded itself (options.digest) and the
 * learner has no newer ones. Then one array of the model's size, in which changes are followed, and
 * a second while a version comes whole.
 *
 * A version that came whole with a wrong digest is dropped, counted, and asked for again. Changes
 * with a wrong digest poison the subscriber, and so do values in memory that fail a full count at
 * an anchor. A poisoned subscriber offers nothing until all values have come again. arrival.h has
 * the rules, carriers.h the ways on which versions come. Owner: the loop's thread; any thread may
 * read taken values. */
#pragma once
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include "rpc/rpc.h"
#include "svc/loop.h"
#include "tensor/layout.h"
#include "weights/codec/manifest.h"
#include "weights/stream/figures.h"
#include <stdbool.h>
#include <stdint.h>

struct carriers;
struct delta;
struct security;
struct subscriber;
struct touched;
struct subscriber_options {
    const char *target;              // the learner's address
    const struct security *security; // borrowed until subscriber_free
    const char *run, *generator;
    uint64_t incarnation;
    struct loop *loop;
    const struct layout *layout;        // borrowed
    bool evaluated;                     // the method is Weights.SubscribeEvaluated
    int backoff_min_ms, backoff_max_ms; // as rpc/stream.h
    const struct carriers *carriers;    // borrowed for the call; NULL: those without needs
    /* The address where this generator passes versions on (forward); NULL: it does not. */
    const char *serves;
    /* A generator that serves the subscriber may be silent for so long; then the subscriber goes
     * back to target. 0: a publisher never sends it on to a generator. */
    int64_t silence_ms;
    bool holds; // the model has the weights of the version below from the start
    uint32_t lineage;
    uint64_t version;
    /* The digest of weights that the model loaded from elsewhere; NULL: none. A version that is the
     * same comes without values, and taking it gives none. values() writes all elements when the
     * first changes of them come; if it fails, the stream goes down with its error. */
    const struct digest *digest;
    err_t (*values)(void *arg, uint16_t *ret);
    void *arg;
    bool marks; // touched has a mark per value: for a model in memory of a device
    /* Memory of the device with which the model computes, for lists that NCCL brings there;
     * borrowed until subscriber_free, and longer where nccl_is_stuck. NULL: none. */
    void *device;
    size_t device_bytes;
};

struct subscriber_handlers {
    /* A version is ready to take; again for every newer one. May take it at once. */
    void (*staged)(struct subscriber *subscriber, const struct manifest *manifest, void *user);
    /* Optional. The stream broke, or the learner refused: it is tried again. PRECONDITION: another
     * run or model. DATA_LOSS: a digest was wrong. why is owned by the handler. */
    void (*down)(struct subscriber *subscriber, err_t why, void *user);
    void (*up)(struct subscriber *subscriber, void *user); // optional
    /* Optional, for a generator that passes versions on. forward: the staged version. values are
     * borrowed until the next call. delta, which the handler owns, has the changes from the call
     * before; NULL: all values came. beat: the learner's sign of life. */
    void (*forward)(struct subscriber *subscriber, const struct manifest *manifest,
                    const uint16_t *values, struct delta *delta, void *user);
    void (*beat)(struct subscriber *subscriber, uint64_t beat, void *user);
    /* Optional. A digest was wrong. The model must serve no weights taken from here before the next
     * staged version. down() follows. */
    void (*poisoned)(struct subscriber *subscriber, void *user);
    /* Optional. A carrier never gives back the memory that it writes to. No version can come here
     * any more, so end the process. note: a carrier's line for the log. */
    void (*stuck)(struct subscriber *subscriber, void *user);
    void (*note)(struct subscriber *subscriber, const char *text, void *user);
};

/* Begins to connect. INVALID, DENIED: the target. */
err_t subscriber_open(struct rpc *rpc, const struct subscriber_options *options,
                      const struct subscriber_handlers *handlers, void *user,
                      struct subscriber **ret);

/* Takes the newest complete version, until subscriber_applied. False: none is staged, or one is
 * taken already. *ret_values NULL: the values are those of options.digest. */
bool subscriber_take(struct subscriber *subscriber, struct manifest *ret,
                     const uint16_t **ret_values);

/* While a version is taken: what may differ from the version taken before (codec/touched.h). */
const struct touched *subscriber_touched(const struct subscriber *subscriber);

/* While a version is taken: all its changes, as lists in the device's memory, oldest first
 * (stream/devicelists.h). 0: there are none; touched and the values have them. */
struct devicelist;
int subscriber_lists(const struct subscriber *subscriber, const struct devicelist **ret);

/* The model serves the version that was taken, and the publisher is told so. May call staged() for
 * the next version. */
void subscriber_applied(struct subscriber *subscriber);

struct subscriber_stats subscriber_stats(const struct subscriber *subscriber);
void subscriber_free(struct subscriber *subscriber); // not from a handler
DEFINE_SCOPED(subscriber)
