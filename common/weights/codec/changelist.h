/* The changes between two versions as a list of element and new value: what NCCL brings from device
 * to device. Larger than a delta's chunks (delta.h), and of use where it lies.
 *
 *     "RLWL", version 1, tensors, 0: uint32_t each; then uint32_t changes of each tensor; zeros up to a multiple of 64 bytes;
 *     uint32_t elements from their tensor's first, ascending; then uint16_t values. All little-endian.
 *
 *     changelist_head(layout, count, head);                 -- changelist_head_bytes(layout)
 *     TRY(changelist_open(layout, data, len, &list));       -- hostile bytes
 *     struct delta *delta = delta_of_list(layout, old, &list);
 *
 * Elements and values lie together, so that a device makes them in one piece behind the head. Any
 * thread. */
#pragma once
#include "base/err.h"
#include "tensor/layout.h"
#include <stdint.h>

/* Borrows the bytes that it was opened on. */
struct changelist {
    const uint32_t *count; // (tensors) changes of each
    uint64_t changes;      // of all
    const uint32_t *index; // (changes) element of the tensor
    const uint16_t *value; // (changes)
};

/* A list that a publisher hands to carriers, immutable. Owner: the loop's thread. */
struct listed {
    int refs;            // 1 from who made it
    uint64_t base;       // version of the lineage that the changes start from
    const uint8_t *data; // the host's; NULL: it lies on the device
    void *device;        // memory that NCCL reads; NULL: it is the host's
    size_t bytes;
    void (*release)(void *arg); // with the last reference
    void *arg;
};
struct listed *listed_ref(struct listed *listed); // one more owner; returns it
void listed_free(struct listed *listed);          // one owner less

size_t changelist_head_bytes(const struct layout *layout);
size_t changelist_bytes(const struct layout *layout, uint64_t changes); // the head's with them
/* The head of a list with so many changes of each tensor. */
void changelist_head(const struct layout *layout, const uint32_t *count, uint8_t *ret);

/* The list of a delta's changes from old; mem_free frees it. *ret NULL: more than one value in
 * sixteen, for which no list is made. */
struct delta;
void changelist_of_delta(const struct layout *layout, const uint16_t *old,
                         const struct delta *delta, uint8_t **ret, size_t *ret_len);

/* data is aligned to 8 bytes. INVALID: another format or layout, a wrong length, an element that is
 * outside its tensor, or not behind the one before. */
err_t changelist_open(const struct layout *layout, const uint8_t *data, size_t len,
                      struct changelist *ret);
