#include "base/crc32c.h"

static const uint32_t MASK = 0xa282ead8U;

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void crc32c_init(struct crc32c *ret)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0); // Castagnoli's polynomial, reflected
        ret->table[0][i] = crc;
    }
    for (int slice = 1; slice < CRC32C_SLICES; slice++)
        for (int i = 0; i < 256; i++)
            ret->table[slice][i] =
                ret->table[slice - 1][i] >> 8 ^ ret->table[0][ret->table[slice - 1][i] & 0xff];
}

uint32_t crc32c_add(const struct crc32c *of, uint32_t crc, const uint8_t *data, size_t len)
{
    const uint32_t(*table)[256] = of->table;
    for (; len >= CRC32C_SLICES; data += CRC32C_SLICES, len -= CRC32C_SLICES) {
        const uint32_t low = crc ^ le32(data), high = le32(data + 4);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
              table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
              table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
    }
    for (; len; data++, len--)
        crc = crc >> 8 ^ table[0][(crc ^ *data) & 0xff];
    return crc;
}

uint32_t crc32c_masked(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + MASK;
}

uint32_t crc32c_unmasked(uint32_t stored)
{
    stored -= MASK;
    return stored << 15 | stored >> 17;
}
