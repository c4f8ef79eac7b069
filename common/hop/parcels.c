#include "hop/parcels.h"
#include "base/mem.h"
#include <string.h>

enum { BUCKETS_MIN = 64 };

/* An id is a hash already. */
static struct parcel **bucket(const struct parcels *parcels, const struct digest *id)
{
    uint64_t bits;
    memcpy(&bits, id->byte, sizeof bits);
    return &parcels->buckets[bits & (parcels->bucket_count - 1)];
}

static void put(struct parcels *parcels, struct parcel *parcel)
{
    struct parcel **head = bucket(parcels, &parcel->id);
    parcel->chain = *head;
    *head = parcel;
    parcels->steps++;
}

/* Doubling: over all that were added, each is put again less than twice. */
static void grow(struct parcels *parcels)
{
    mem_free(parcels->buckets);
    parcels->bucket_count = parcels->bucket_count ? 2 * parcels->bucket_count : BUCKETS_MIN;
    parcels->buckets = mem_array(parcels->bucket_count, sizeof *parcels->buckets);
    for (struct parcel *parcel = parcels->first; parcel; parcel = parcel->after)
        put(parcels, parcel);
}

void parcels_add(struct parcels *parcels, struct parcel *parcel)
{
    if (parcels->count == parcels->bucket_count)
        grow(parcels);
    parcel->sent = false;
    parcel->after = NULL;
    parcel->before = parcels->last;
    *(parcels->last ? &parcels->last->after : &parcels->first) = parcel;
    parcels->last = parcel;
    if (!parcels->waiting)
        parcels->waiting = parcel;
    parcels->count++;
    put(parcels, parcel);
}

struct parcel *parcels_find(struct parcels *parcels, const struct digest *id)
{
    struct parcel *parcel = parcels->count ? *bucket(parcels, id) : NULL;
    for (; parcel; parcel = parcel->chain) {
        parcels->steps++;
        if (digest_equal(&parcel->id, id))
            return parcel;
    }
    return NULL;
}

void parcels_remove(struct parcels *parcels, struct parcel *parcel)
{
    struct parcel **at = bucket(parcels, &parcel->id);
    for (; *at != parcel; at = &(*at)->chain)
        parcels->steps++;
    *at = parcel->chain;
    *(parcel->before ? &parcel->before->after : &parcels->first) = parcel->after;
    *(parcel->after ? &parcel->after->before : &parcels->last) = parcel->before;
    if (parcels->waiting == parcel)
        parcels->waiting = parcel->after;
    parcels->sent -= parcel->sent;
    parcels->count--;
}

struct parcel *parcels_next(const struct parcels *parcels)
{
    return parcels->waiting;
}

void parcels_sent(struct parcels *parcels)
{
    struct parcel *parcel = parcels->waiting;
    parcel->sent = true;
    parcels->waiting = parcel->after;
    parcels->sent++;
    parcels->steps++;
}

size_t parcels_lost(struct parcels *parcels)
{
    const size_t again = parcels->sent;
    for (struct parcel *parcel = parcels->first; parcel && parcel->sent; parcel = parcel->after) {
        parcel->sent = false;
        parcels->steps++;
    }
    parcels->waiting = parcels->first;
    parcels->sent = 0;
    return again;
}

void parcels_done(struct parcels *parcels)
{
    mem_free(parcels->buckets);
    *parcels = (struct parcels){0};
}
