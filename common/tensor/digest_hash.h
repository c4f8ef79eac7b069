/* The hash whose sum is a digest of weights (digest.h), for code that sums hashes itself.
 *
 *     u128 sum = 0;
 *     sum += weight_hash(i, now) - weight_hash(i, old);
 *     weights_digest_add(before, digest_of_sum(sum))
 *
 * Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/hash.h"
#include <stdint.h>

typedef unsigned __int128 u128;

/* Steps of the hash on an unsigned 64-bit x, or on a vector of them. */
#define WEIGHT_HASH_KEY(i, value)                                                                  \
    ((((i) << 16 | (value)) + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9)
#define WEIGHT_HASH_HIGH(x)       ((x)*0x94d049bb133111eb)
#define WEIGHT_HASH_LOW(x)        ((x)*0xd6e8feb86659fd93)
#define WEIGHT_HASH_FOLD(x, bits) ((x) ^ (x) >> (bits))

static inline u128 weight_hash(uint64_t i, uint16_t value)
{
    const uint64_t key = WEIGHT_HASH_KEY(i, value), x = WEIGHT_HASH_FOLD(key, 32);
    const uint64_t high = WEIGHT_HASH_HIGH(x), low = WEIGHT_HASH_LOW(x);
    return (u128)WEIGHT_HASH_FOLD(high, 29) << 64 | WEIGHT_HASH_FOLD(low, 32);
}

static inline struct digest digest_of_sum(u128 sum)
{
    struct digest digest;
    be64_store(digest.byte, (uint64_t)(sum >> 64));
    be64_store(digest.byte + 8, (uint64_t)sum);
    return digest;
}
