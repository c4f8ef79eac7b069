#include "base/rng.h"
#include "base/env.h"
#include "base/hash.h"
#include <errno.h>
#include <math.h>

struct rng rng_keyed(uint64_t seed, enum rng_use use, uint64_t a, uint64_t b)
{
    uint64_t name[3] = {(uint64_t)use, a, b};
    return (struct rng){.key = seed, .stream = hash64(name, sizeof name, seed)};
}

static void philox_round(uint32_t c[4], const uint32_t k[2])
{
    uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
    uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1,
                        (uint32_t)(p0 >> 32) ^ c[3] ^ k[1], (uint32_t)p0};
    for (int i = 0; i < 4; i++)
        c[i] = next[i];
}

uint64_t rng_u64(const struct rng *rng, uint64_t counter)
{
    uint32_t c[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)rng->stream,
                     (uint32_t)(rng->stream >> 32)};
    uint32_t k[2] = {(uint32_t)rng->key, (uint32_t)(rng->key >> 32)};
    for (int i = 0; i < 10; i++) {
        philox_round(c, k);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return (uint64_t)c[1] << 32 | c[0];
}

double rng_uniform(const struct rng *rng, uint64_t counter)
{
    return (double)(rng_u64(rng, counter) >> 11) * 0x1p-53;
}

double rng_normal(const struct rng *rng, uint64_t counter)
{
    double u = 1.0 - rng_uniform(rng, 2 * counter), v = rng_uniform(rng, 2 * counter + 1);
    return sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
}

uint64_t rng_below(const struct rng *rng, uint64_t counter, uint64_t n)
{
    return (uint64_t)((unsigned __int128)rng_u64(rng, counter) * n >> 64);
}

/* One pass of a balanced Feistel network over 2 * half bits. */
static uint64_t feistel(const struct rng *rng, uint64_t x, int half)
{
    uint64_t mask = ((uint64_t)1 << half) - 1, left = x >> half, right = x & mask;
    for (int round = 0; round < 6; round++) {
        uint64_t mixed = left ^ (rng_u64(rng, (uint64_t)round << 58 ^ right) & mask);
        left = right;
        right = mixed;
    }
    return left << half | right;
}

uint64_t rng_permute(const struct rng *rng, uint64_t i, uint64_t n)
{
    int half = 1;
    while (half < 32 && (uint64_t)1 << (2 * half) < n)
        half++;
    do
        i = feistel(rng, i,
                    half); // a permutation of the power of four: walking cycles ends in range
    while (i >= n);
    return i;
}

err_t rng_nonce(uint64_t *ret)
{
    uint64_t nonce = 0;
    while (!nonce) {
        const ssize_t got = env()->random(&nonce, sizeof nonce);
        if (got < 0 && errno != EINTR)
            return err_errno(errno, "cannot draw a random number");
        if (got != sizeof nonce)
            nonce = 0;
    }
    *ret = nonce;
    return OK;
}
