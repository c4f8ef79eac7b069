#include "base/hash.h"
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

uint64_t hash64(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

static struct digest digest_of(XXH128_hash_t hash)
{
    XXH128_canonical_t canonical;
    struct digest digest;
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(digest.byte, canonical.digest, sizeof digest.byte);
    return digest;
}

struct digest hash128(const void *data, size_t len, uint64_t seed)
{
    return digest_of(XXH3_128bits_withSeed(data, len, seed));
}

struct hash *hash_begin(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state || XXH3_128bits_reset(state) != XXH_OK)
        abort(); // out of memory, as base/mem.h has it
    return (struct hash *)state;
}

void hash_put(struct hash *hash, const void *data, size_t len)
{
    XXH3_128bits_update((XXH3_state_t *)hash, data, len);
}

struct digest hash_end(struct hash *hash)
{
    XXH3_state_t *state = (XXH3_state_t *)hash;
    const struct digest digest = digest_of(XXH3_128bits_digest(state));
    XXH3_freeState(state);
    return digest;
}

const char *digest_text(const struct digest *digest, char ret[DIGEST_TEXT])
{
    for (int i = 0; i < 16; i++)
        snprintf(ret + 2 * i, 3, "%02x", digest->byte[i]);
    return ret;
}
