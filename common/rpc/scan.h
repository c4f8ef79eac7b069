/* Private to common/rpc: walks protobuf's wire format without a schema, bounded by the bytes given.
 *
 *     struct reader in = {data, len};
 *     struct scan_field field;
 *     while (scan_field(&in, &field))
 *         if (field.number == 3 && field.is_bytes) ... field.bytes ...
 *     if (in.left) -- malformed
 */
#pragma once
#include "base/bytes.h"

struct scan_field {
    uint32_t number;
    bool is_bytes;       // a length-delimited field: string, bytes, message, packed list
    struct reader bytes; // borrowed
};

bool scan_varint(struct reader *in, uint64_t *ret);

/* The next field; false at the end and, with in->left > 0, where the bytes are malformed. */
bool scan_field(struct reader *in, struct scan_field *ret);
