#include "wire/unpack.h"
#include "base/mem.h"
#include "wire/disposition.h"
#include <stdlib.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* The length of the UTF-8 sequence at p, or 0: overlong forms, surrogates and what lies beyond
 * U+10FFFF are none. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
               (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : length;
}

bool wire_text_ok(const void *text, size_t len)
{
    const uint8_t *p = text;
    for (size_t i = 0; i < len;) {
        size_t step = p[i] ? utf8_length(p + i, len - i) : 0;
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

static bool read_varint(struct reader *in, uint64_t *ret)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte;
        if (!read_u8(in, &byte))
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

/* Reads one field: its number, and its bytes if it is of that wire type. */
static bool read_field(struct reader *in, uint64_t *ret_number, struct reader *ret_inner)
{
    const uint8_t *skipped;
    uint64_t tag, value;
    if (!read_varint(in, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
        return false;
    *ret_number = tag >> 3;
    *ret_inner = (struct reader){0};
    switch (tag & 7) {
    case WIRE_VARINT:
        return read_varint(in, &value);
    case WIRE_FIXED64:
        return read_bytes(in, 8, &skipped);
    case WIRE_FIXED32:
        return read_bytes(in, 4, &skipped);
    case WIRE_BYTES:
        if (!read_varint(in, &value) || value > in->left)
            return false;
        ret_inner->left = value;
        return read_bytes(in, value, &ret_inner->data);
    }
    return false;
}

/* Walks a message, counting down *fields_left. The recursion ends: no type of proto/ contains
 * itself. */
static err_t check(const ProtobufCMessageDescriptor *type, struct reader in, size_t *fields_left)
{
    while (in.left) {
        uint64_t number;
        struct reader inner;
        if (!read_field(&in, &number, &inner))
            return err_new(ERR_INVALID, "%s: malformed", type->short_name);
        if (*fields_left == 0)
            return err_new(ERR_INVALID, "%s: too many fields", type->short_name);
        *fields_left -= 1;
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)number);
        if (!field || !inner.data)
            continue;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            TRY(check(field->descriptor, inner, fields_left));
        else if (field->type == PROTOBUF_C_TYPE_STRING && !wire_text_ok(inner.data, inner.left))
            return err_new(ERR_INVALID, "%s: %s is not UTF-8 without a NUL", type->short_name,
                           field->name);
    }
    return OK;
}

void wire_keep_fields(const uint8_t *data, size_t len, uint64_t numbers, size_t most,
                      struct bytes *ret)
{
    struct reader in = {data, len}, inner;
    size_t kept = 0;
    uint64_t number;
    while (in.left) {
        const uint8_t *begin = in.data;
        if (!read_field(&in, &number, &inner))
            return;
        const size_t size = (size_t)(in.data - begin);
        if (number >= 64 || !(numbers >> number & 1))
            continue;
        if (size > most - kept)
            return;
        bytes_put(ret, begin, size);
        kept += size;
    }
}

err_t wire_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                  const struct wire_bounds *bounds, ProtobufCMessage **ret)
{
    if (len > bounds->bytes)
        return err_new(ERR_INVALID, "%s: %zu bytes; at most %zu are allowed", type->short_name, len,
                       bounds->bytes);
    size_t fields_left = bounds->fields;
    TRY(check(type, (struct reader){data, len}, &fields_left));
    ProtobufCMessage *pb = protobuf_c_message_unpack(type, NULL, len, data);
    if (!pb)
        return err_new(ERR_INVALID, "%s: malformed", type->short_name);
    *ret = pb;
    return OK;
}

void wire_free(ProtobufCMessage *pb)
{
    if (pb)
        protobuf_c_message_free_unpacked(pb, NULL);
}

void wire_pack(const ProtobufCMessage *pb, struct bytes *ret)
{
    size_t len = protobuf_c_message_get_packed_size(pb);
    protobuf_c_message_pack(pb, bytes_extend(ret, len));
}

err_t wire_digest(const ProtobufCBinaryData *bytes, const char *name, struct digest *ret)
{
    if (bytes->len != sizeof ret->byte)
        return err_new(ERR_INVALID, "%s has %zu bytes; %zu are allowed", name, bytes->len,
                       sizeof ret->byte);
    memcpy(ret->byte, bytes->data, sizeof ret->byte);
    return OK;
}

char *wire_text_cut(const char *text)
{
    size_t len = strnlen(text, REASON_MAX_BYTES + 1);
    if (len > REASON_MAX_BYTES)
        for (len = REASON_MAX_BYTES; len && (text[len] & 0xc0) == 0x80;)
            len--;
    char *cut = mem_new(len + 1);
    if (wire_text_ok(text, len))
        memcpy(cut, text, len);
    return cut;
}
