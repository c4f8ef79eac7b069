#include "tensor/digest.h"
#include "tensor/digest_hash.h"

static u128 load(const struct digest *digest)
{
    return (u128)be64_load(digest->byte) << 64 | be64_load(digest->byte + 8);
}

struct digest weights_digest(const uint16_t *values, size_t first, size_t count)
{
    u128 sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += weight_hash(first + i, values[i]);
    return digest_of_sum(sum);
}

struct digest weights_digest_add(struct digest a, struct digest b)
{
    return digest_of_sum(load(&a) + load(&b));
}

struct digest weights_digest_change(struct digest sum, size_t i, uint16_t old, uint16_t now)
{
    return digest_of_sum(load(&sum) - weight_hash(i, old) + weight_hash(i, now));
}

struct digest weights_digest_steps(struct digest sum, size_t first, const uint32_t *offset,
                                   const uint16_t *now, const uint16_t *step, size_t count)
{
    u128 total = load(&sum);
    for (size_t i = 0; i < count; i++) {
        const size_t at = first + (offset ? offset[i] : i);
        total += weight_hash(at, now[i]) - weight_hash(at, (uint16_t)(now[i] - step[i]));
    }
    return digest_of_sum(total);
}
