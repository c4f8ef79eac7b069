#include "base/hash.h"
#include <stdio.h>
#include <xxhash.h>

uint64_t hash64(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

struct digest hash128(const void *data, size_t len, uint64_t seed)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(data, len, seed));
    struct digest digest;
    memcpy(digest.byte, canonical.digest, sizeof digest.byte);
    return digest;
}

const char *digest_text(const struct digest *digest, char ret[DIGEST_TEXT])
{
    for (int i = 0; i < 16; i++)
        snprintf(ret + 2 * i, 3, "%02x", digest->byte[i]);
    return ret;
}
