/* The inside of a receiver, for the files that make one: receiver.c, receiver_list.c. */
#pragma once
#include "weights/codec/staging.h"
#include "weights/codec/touched.h"
#include "weights/stream/devicelists.h"
#include "weights/stream/receiver.h"

struct scrub;
struct receiver {
    struct receiver_options options;
    struct receiver_handlers handlers;
    void *user;
    struct subscriber_stats stats;
    struct arrival arrival;
    const char *lent_to; // the carrier that writes to incoming; NULL: none
    uint64_t elements;
    struct digest loaded; // READY_LOADED: the model's digest
    struct scrub *scrub;
    /* (elements) incoming takes a version that comes whole, else NULL. ready has the version that
     * is staged, taken or served; NULL: the model has it as it was loaded. */
    uint16_t *incoming, *ready;
    struct staging *staging; // changes of ready, on their way or complete
    struct delta *passed_on; // chunks of the changes that come; NULL: none, or nobody wants them
    struct touched *touched; // since the version that was taken before
    struct devicelists *lists;
    struct manifest coming;
    uint64_t received;        // elements of `coming` that are here, or chunks of changes
    struct digest sum;        // the digest of these elements
    struct manifest manifest; // the version in ready
    bool holds;               // the model serves the version below
    uint32_t lineage;
    uint64_t version;
};

err_t receiver_wrong_digest(const struct manifest *manifest, const struct digest *sum);
err_t receiver_finish(struct receiver *receiver); // all that was awaited has come
