/* A receiver makes versions from messages: it checks manifests, gathers chunks, compares digests.
 * The newest version waits for the model. All carriers of a subscriber bring chunks to its one
 * receiver.
 *
 *     struct receiver *receiver = receiver_new(&options, &handlers, user);
 *     TRY(receiver_manifest(receiver, &manifest));
 *     TRY(receiver_chunk(receiver, message, &chunk));       -- the last one finishes the version -> staged
 *     if (receiver_take(receiver, &manifest, &values)) ...  -- later receiver_applied(receiver)
 *
 * The rules are arrival.h's. Errors of a manifest or chunk are the sender's fault: the caller
 * breaks the stream with them. Owner: the loop's thread. */
#pragma once
#include "weights/codec/manifest.h"
#include "weights/stream/arrival.h"
#include "weights/stream/figures.h"

struct delta;
struct devicelist;
struct layout;
struct loop;
struct receiver;
struct touched;
struct receiver_options {
    struct loop *loop;
    const struct layout *layout; // borrowed
    bool holds;                  // the model begins with this version applied
    uint32_t lineage;
    uint64_t version;
    const struct digest *digest; // the option of subscriber.h; borrowed for the call
    err_t (*values)(void *arg, uint16_t *ret);
    void *arg;
    bool marks; // the options of subscriber.h
    void *device;
    size_t device_bytes;
};

/* forward and poisoned are optional. */
struct receiver_handlers {
    void (*staged)(const struct manifest *manifest, void *user);
    void (*served)(void *user); // the model serves another version: tell the publisher
    void (*forward)(const struct manifest *manifest, const uint16_t *values, struct delta *delta,
                    void *user);
    void (*poisoned)(void *user);
    void (*broken)(err_t why, void *user); // DATA_LOSS: values in memory are damaged; takes why
    void (*read)(bool on, void *user);     // the stream is to be read again, or not for now
    void (*let_go)(void *user);            // memory that was lent is back
};
struct receiver *receiver_new(const struct receiver_options *options,
                              const struct receiver_handlers *handlers, void *user);

/* INVALID: another model, an unknown base, or chunks that are not the missing ones. */
err_t receiver_manifest(struct receiver *receiver, const struct manifest *manifest);

/* The next chunk. message NULL: its values are in place. INVALID: out of order or malformed.
 * DATA_LOSS: it was the last one, and the version's digest is wrong. */
err_t receiver_chunk(struct receiver *receiver, struct rpc_message *message,
                     const struct weights_event *chunk);

/* All changes of the coming version as a list (codec/changelist.h), in place of its chunks.
 * INVALID, DATA_LOSS: it is malformed, or leads to a wrong digest; nothing was changed, and the
 * version's chunks are awaited as before. */
err_t receiver_list(struct receiver *receiver, const uint8_t *data, size_t len);
size_t receiver_list_max(const struct receiver *receiver); // bytes that a list may have
/* Memory of the model's device for the bytes of the coming list, until it comes or another version
 * begins; NULL: there is none, or no room. */
bool receiver_has_device(const struct receiver *receiver);
void *receiver_list_room(struct receiver *receiver, size_t bytes);

/* The version whose chunks are awaited; NULL: none. Its first missing chunk comes next. */
const struct manifest *receiver_coming(const struct receiver *receiver);

void receiver_lost(struct receiver *receiver);  // the stream broke, or gives way to another
void receiver_drop(struct receiver *receiver);  // we break the stream: the coming version is lost
void receiver_again(struct receiver *receiver); // the version that was wrong comes once more
bool receiver_is_complete(const struct receiver *receiver); // one waits; nothing is read

/* Lends the memory of the coming version to a carrier, which writes to it until it gives it back.
 * `to` names the carrier; messages of versions are refused with that name meanwhile. */
void receiver_lend(struct receiver *receiver, const char *to);
void receiver_give_back(struct receiver *receiver);
const char *receiver_lent_to(const struct receiver *receiver); // NULL: nobody

/* The carrier never gives the lent memory back; it stays allocated until the process ends. */
void receiver_abandon(struct receiver *receiver);
uint16_t *receiver_values(struct receiver *receiver); // memory for all values of the coming version

/* Fill the fields about versions: introduce those of a hello, say_served those of every message. */
void receiver_introduce(const struct receiver *receiver, struct subscription *ret);
void receiver_say_served(const struct receiver *receiver, struct subscription *ret);

/* As subscriber_take, subscriber_touched, subscriber_lists and subscriber_applied. */
bool receiver_take(struct receiver *receiver, struct manifest *ret, const uint16_t **ret_values);
const struct touched *receiver_touched(const struct receiver *receiver);
int receiver_lists(const struct receiver *receiver, const struct devicelist **ret);
void receiver_applied(struct receiver *receiver);

struct subscriber_stats *receiver_stats(struct receiver *receiver); // carriers add their own
void receiver_free(struct receiver *receiver);
