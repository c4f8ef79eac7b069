/* Hashes that are part of formats: XXH3, whose bits are the same on every machine. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

uint64_t hash64(const void *data, size_t len, uint64_t seed);

/* 128 bits that name contents: group ids, digests. */
struct digest {
    uint8_t byte[16];
};
struct digest hash128(const void *data, size_t len, uint64_t seed);

/* The same, seed 0, of data in pieces: hash_end frees. */
struct hash;
struct hash *hash_begin(void);
void hash_put(struct hash *hash, const void *data, size_t len);
struct digest hash_end(struct hash *hash);

static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->byte, b->byte, sizeof a->byte) == 0;
}
enum { DIGEST_TEXT = 33 };
/* 32 hex digits; returns ret */
const char *digest_text(const struct digest *digest, char ret[DIGEST_TEXT]);
