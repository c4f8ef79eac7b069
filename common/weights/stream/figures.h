/* Figures of the weights' ways. Each struct belongs to one publisher or subscriber, which adds to
 * it. Daemons export it as metrics, and never read it back from there. Owner: the loop's thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct publisher_stats {
    uint64_t published, sent; // versions made; versions sent to their end, over all subscribers
    uint64_t full, deltas, jumps, same; // of those sent
    uint64_t bytes;                     // sent, all messages
    uint64_t resumed;                   // after a break, where they had ended
    uint64_t refused;                   // subscribers
    uint64_t placed;                    // subscribers that were sent on
    uint64_t unusable;       // deltas that did not lead to the version's digest, or were too large
    int full_now, full_most; // subscribers that are being sent all values; the most there were
    size_t queued_max_bytes; // the longest queue of one subscriber yet
};

struct subscriber_stats {
    uint64_t versions, bytes;      // received complete and right; of chunks
    uint64_t full, changes, same;  // of versions: that came whole, as changes, without values
    uint64_t replaced, mismatches; // staged versions replaced before they were taken; wrong digests
    uint64_t poisoned, verified;   // times; versions whose values were all summed up and are right
    uint64_t by_nccl;              // of versions: that came whole by NCCL
    uint64_t resumed;              // versions that went on after a break
    bool up;
};
