/* The list of parcels without an answer. Parcels that were sent come first, the oldest sending
 * before the others; then come those that wait to be sent.
 *
 *     parcels_add(&parcels, parcel);
 *     while ((parcel = parcels_next(&parcels)) && transmit(parcel->message))
 *         parcels_sent(&parcels);
 *     parcels_remove(&parcels, parcels_find(&parcels, &id));      -- its answer has come
 *     again = parcels_lost(&parcels);                             -- the stream broke: all of them wait
 *
 * Every call but parcels_lost takes constant time on average. Owner: the loop's thread. */
#pragma once
#include "base/hash.h"
#include "base/scoped.h"

struct rpc_message;

/* Owned by the list's owner; the list only links it. */
struct parcel {
    struct parcel *before, *after; // in order of age
    struct parcel *chain;          // of its bucket
    bool sent;
    double sent_s; // for the first time; 0: never
    struct digest id;
    struct rpc_message *message;
    void *tag;
};

/* {0} is empty. */
struct parcels {
    struct parcel *first, *last;
    struct parcel *waiting; // the first that is not sent; NULL: none
    size_t count, sent;
    struct parcel **buckets; // by id; as many as parcels, or more: a power of two
    size_t bucket_count;
    uint64_t steps; // parcels that calls have looked at: the calls' cost
};

void parcels_add(struct parcels *parcels, struct parcel *parcel);              // behind all others
struct parcel *parcels_find(struct parcels *parcels, const struct digest *id); // NULL: none
void parcels_remove(struct parcels *parcels, struct parcel *parcel);

struct parcel *parcels_next(const struct parcels *parcels); // to be sent; NULL: none
void parcels_sent(struct parcels *parcels);                 // next was

/* All wait again, in their order. Returns how many were sent before. */
size_t parcels_lost(struct parcels *parcels);

void parcels_done(struct parcels *parcels); // the index's memory; parcels stay their owner's
