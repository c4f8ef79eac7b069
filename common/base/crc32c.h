/* The checksum of RocksDB's logs and TensorFlow's records: CRC-32 by Castagnoli's polynomial.
 *
 *     struct crc32c table;
 *     crc32c_init(&table);
 *     uint32_t crc = ~crc32c_add(&table, crc32c_add(&table, UINT32_MAX, a, 4), b, 9);
 *     store(crc32c_masked(crc));
 *
 * Any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { CRC32C_SLICES = 8 };
struct crc32c {
    uint32_t table[CRC32C_SLICES][256];
};
void crc32c_init(struct crc32c *ret);
uint32_t crc32c_add(const struct crc32c *of, uint32_t crc, const uint8_t *data, size_t len);

/* Rotated, and a constant added: for files that hold checksums of checksums. */
uint32_t crc32c_masked(uint32_t crc);
uint32_t crc32c_unmasked(uint32_t stored);
