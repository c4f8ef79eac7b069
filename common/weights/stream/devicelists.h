/* Lists of changes in memory of the model's device, from the bytes that NCCL brings there until the
 * model has taken them. A ring of memory that is not read here: addresses alone.
 *
 *     SCOPED(devicelists) lists = devicelists_new(layout, memory, bytes);
 *     void *room = devicelists_room(lists, len);          -- NCCL writes there; NULL: none is left
 *     devicelists_came(lists, &list);                     -- what lies there is right (changelist.h)
 *     devicelists_stage(lists, true);                     -- and is part of the version that is staged
 *     count = devicelists_all(lists, &first);             -- the model takes the version
 *     devicelists_taken(lists);                           -- and needs them no more
 *
 * A version that comes in another way between two that are taken leaves a gap; then the lists say
 * nothing. Owner: the loop's thread. */
#pragma once
#include "base/scoped.h"
#include "tensor/layout.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct changelist;

/* One of them: addresses of the device's memory. */
struct devicelist {
    const uint32_t *count; // (tensors) changes of each; the host's
    const uint32_t *index; // as in changelist.h
    const uint16_t *value;
};
enum { DEVICELISTS_MAX = 16 };

struct devicelists;
/* memory: borrowed, NULL: there is none, and nothing is kept. */
struct devicelists *devicelists_new(const struct layout *layout, void *memory, size_t bytes);
bool devicelists_there(const struct devicelists *lists);

/* One room at a time; a second call gives the first one back. */
void *devicelists_room(struct devicelists *lists, size_t bytes);
void devicelists_no_room(struct devicelists *lists); // gives it back
/* False: there is no room, so none lies there. */
bool devicelists_came(struct devicelists *lists, const struct changelist *list);

/* The version that came is staged. changes: it has some; else it needs no list. */
void devicelists_stage(struct devicelists *lists, bool changes);

/* The lists of all versions staged since the last devicelists_taken, in their order. 0: a version
 * came in another way, or nothing changed. */
int devicelists_all(const struct devicelists *lists, const struct devicelist **ret);
void devicelists_taken(struct devicelists *lists);
void devicelists_free(struct devicelists *lists);
DEFINE_SCOPED(devicelists)
