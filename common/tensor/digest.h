/* The digest of a model's bf16 weights: the sum over elements of a hash of (index, value), modulo
 * 2^128. Order does not matter, so parts add up, and a change updates it without the rest.
 *
 *     struct digest whole = weights_digest(values, 0, elements);
 *     whole == weights_digest_add(weights_digest(values, 0, n), weights_digest(values + n, n, elements - n))
 *     struct digest now = weights_digest_change(whole, i, old, new);
 *
 * A format, held by tests/golden/weights_digest.json. All arithmetic modulo 2^64:
 *     x = (index << 16 | value) + 0x9e3779b97f4a7c15,  x *= 0xbf58476d1ce4e5b9,  x ^= x >> 32      (index < 2^48)
 *     high = x * 0x94d049bb133111eb,  high ^= high >> 29;    low = x * 0xd6e8feb86659fd93,  low ^= low >> 32
 *     hash = high << 64 | low;    the sum is stored big-endian. No elements: 0.
 * Guards against faults, not against forgers. Any thread. */
#pragma once
#include "base/hash.h"
#include <stddef.h>
#include <stdint.h>

/* values[0..count) are elements first..first+count-1. About 1 GB/s. */
struct digest weights_digest(const uint16_t *values, size_t first, size_t count);

struct digest weights_digest_add(struct digest a, struct digest b);

/* The digest of the same weights with element i changed from old to now. */
struct digest weights_digest_change(struct digest sum, size_t i, uint16_t old, uint16_t now);

/* The digest of the same weights after `count` steps. Element first + offset[i] (offset NULL: first
 * + i) is now[i] after a step of step[i], modulo 2^16. */
struct digest weights_digest_steps(struct digest sum, size_t first, const uint32_t *offset,
                                   const uint16_t *now, const uint16_t *step, size_t count);
