/* Figures of the weights' ways. Each struct belongs to one publisher or subscriber, which adds to
 * it. Daemons export it as metrics, and never read it back from there. Owner: the loop's thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct publisher_stats {
    uint64_t published; // versions made
    uint64_t sent;      // versions sent to their end, over all subscribers
    /* Versions sent, by kind (codec/manifest.h): FULL, DELTA, JUMP, SAME. */
    uint64_t full, deltas, jumps, same;
    uint64_t bytes;          // bytes of all messages sent
    uint64_t resumed;        // versions continued after a stream broke
    uint64_t refused;        // subscribers refused
    uint64_t placed;         // subscribers sent on to another publisher
    uint64_t unusable;       // deltas not kept: too large, or their result has a wrong digest
    int full_now;            // subscribers that are being sent all values
    int full_most;           // the most subscribers that ever were at the same time
    size_t queued_max_bytes; // the longest queue that a subscriber has had
};

struct subscriber_stats {
    uint64_t versions; // versions received complete and right
    uint64_t bytes;    // bytes of the chunks received
    /* Versions received, by kind (codec/manifest.h): FULL, DELTA or JUMP, SAME. */
    uint64_t full, changes, same;
    uint64_t replaced;   // staged versions replaced before the model took them
    uint64_t mismatches; // wrong digests
    uint64_t poisoned;   // occasions on which all that lay here lost its trust
    uint64_t verified;   // versions whose values in memory were summed up again, and are right
    uint64_t by_nccl;    // versions all of whose chunks NCCL brought
    uint64_t lists;      // versions of these that came as lists
    uint64_t on_device;  // lists that NCCL brought to the model's device
    uint64_t resumed;    // versions continued after a stream broke
    bool up;             // the stream stands
};
