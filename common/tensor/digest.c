#include "tensor/digest.h"
#include "base/bytes.h"

typedef unsigned __int128 u128;

static inline u128 hash_of(uint64_t i, uint16_t value)
{
    uint64_t x = ((i << 16 | value) + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
    x ^= x >> 32;
    uint64_t high = x * 0x94d049bb133111eb, low = x * 0xd6e8feb86659fd93;
    high ^= high >> 29;
    low ^= low >> 32;
    return (u128)high << 64 | low;
}

static struct digest store(u128 sum)
{
    struct digest digest;
    be64_store(digest.byte, (uint64_t)(sum >> 64));
    be64_store(digest.byte + 8, (uint64_t)sum);
    return digest;
}

static u128 load(const struct digest *digest)
{
    return (u128)be64_load(digest->byte) << 64 | be64_load(digest->byte + 8);
}

struct digest weights_digest(const uint16_t *values, size_t first, size_t count)
{
    u128 sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += hash_of(first + i, values[i]);
    return store(sum);
}

struct digest weights_digest_add(struct digest a, struct digest b)
{
    return store(load(&a) + load(&b));
}

struct digest weights_digest_change(struct digest sum, size_t i, uint16_t old, uint16_t now)
{
    return store(load(&sum) - hash_of(i, old) + hash_of(i, now));
}

struct digest weights_digest_steps(struct digest sum, size_t first, const uint32_t *offset,
                                   const uint16_t *now, const uint16_t *step, size_t count)
{
    u128 total = load(&sum);
    for (size_t i = 0; i < count; i++) {
        const size_t at = first + (offset ? offset[i] : i);
        total += hash_of(at, now[i]) - hash_of(at, (uint16_t)(now[i] - step[i]));
    }
    return store(total);
}
