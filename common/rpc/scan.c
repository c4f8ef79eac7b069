#include "rpc/scan.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

bool scan_varint(struct reader *in, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < in->left && i < 10; i++) {
        value |= (uint64_t)(in->data[i] & 127) << (7 * i);
        if (in->data[i] < 128) {
            in->data += i + 1;
            in->left -= i + 1;
            *ret = value;
            return true;
        }
    }
    return false;
}

bool scan_field(struct reader *in, struct scan_field *ret)
{
    struct reader at = *in;
    uint64_t key, len = 0;
    if (!scan_varint(&at, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
        return false;
    struct scan_field field = {.number = (uint32_t)(key >> 3)};
    switch (key & 7) {
    case WIRE_VARINT:
        if (!scan_varint(&at, &len))
            return false;
        len = 0;
        break;
    case WIRE_64:
        len = 8;
        break;
    case WIRE_32:
        len = 4;
        break;
    case WIRE_BYTES:
        field.is_bytes = true;
        if (!scan_varint(&at, &len))
            return false;
        break;
    default:
        return false;
    }
    if (len > at.left)
        return false;
    field.bytes = (struct reader){at.data, len};
    *in = (struct reader){at.data + len, at.left - len};
    *ret = field;
    return true;
}
