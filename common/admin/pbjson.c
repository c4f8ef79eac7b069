#include "admin/pbjson.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <inttypes.h>
#include <math.h>
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages to JSON */

/* Text of the wire is not checked to be UTF-8. */
static json_t *of_text(const char *text)
{
    json_t *value = json_string(text);
    if (value)
        return value;
    SCOPED_MEM char *plain = mem_string(text);
    for (char *c = plain; *c; c++)
        if ((unsigned char)*c > 126)
            *c = '?';
    return json_string(plain);
}

static json_t *of_bytes(const ProtobufCBinaryData *bytes)
{
    SCOPED_MEM char *hex = mem_array(bytes->len + 1, 2);
    for (size_t i = 0; i < bytes->len; i++) {
        hex[2 * i] = "0123456789abcdef"[bytes->data[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[bytes->data[i] & 15];
    }
    return json_stringn(hex, 2 * bytes->len);
}

static json_t *of_uint64(uint64_t value)
{
    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static json_t *of_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* at: where the value lies. */
static json_t *of_value(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return json_integer(*(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return of_uint64(*(const uint64_t *)at);
    case PROTOBUF_C_TYPE_FLOAT:
        return of_number((double)*(const float *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return of_number(*(const double *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_STRING:
        return of_text(*(char *const *)at ? *(char *const *)at : "");
    case PROTOBUF_C_TYPE_BYTES:
        return of_bytes(at);
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *pb = *(ProtobufCMessage *const *)at;
        return pb ? pbjson_of(pb) : json_null();
    }
    }
    return json_null();
}

/* Bytes that a value takes in a struct or an array. */
static size_t size_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    default:
        return 4;
    }
}

json_t *pbjson_of(const struct ProtobufCMessage *pb)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < pb->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &pb->descriptor->fields[i];
        const char *base = (const char *)pb;
        json_t *value;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            const size_t count = *(const size_t *)(base + field->quantifier_offset);
            const char *at = *(const char *const *)(base + field->offset);
            value = json_array();
            for (size_t k = 0; k < count; k++)
                json_array_append_new(value, of_value(field, at + k * size_of(field)));
        } else {
            value = of_value(field, base + field->offset);
        }
        json_object_set_new(object, field->name, value);
    }
    return object;
}

/* ---- JSON to messages */

static err_t wrong(const ProtobufCFieldDescriptor *field, const char *allowed)
{
    return err_new(ERR_INVALID, "%s: allowed: %s", field->name, allowed);
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static err_t to_bytes(const ProtobufCFieldDescriptor *field, const json_t *value,
                      ProtobufCBinaryData *ret)
{
    const char *hex = json_string_value(value);
    const size_t len = json_string_length(value);
    if (!hex || len % 2)
        return wrong(field, "hexadecimal digits, two a byte");
    SCOPED_MEM uint8_t *data = mem_new(len / 2);
    for (size_t i = 0; i < len / 2; i++) {
        const int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return wrong(field, "hexadecimal digits, two a byte");
        data[i] = (uint8_t)(high << 4 | low);
    }
    ret->len = len / 2;
    ret->data = STEAL(data);
    return OK;
}

static err_t to_whole(const ProtobufCFieldDescriptor *field, const json_t *value, void *at)
{
    const json_int_t number = json_integer_value(value);
    const bool wide = size_of(field) == 8;
    const bool is_signed =
        field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_SINT32 ||
        field->type == PROTOBUF_C_TYPE_SFIXED32 || field->type == PROTOBUF_C_TYPE_INT64 ||
        field->type == PROTOBUF_C_TYPE_SINT64 || field->type == PROTOBUF_C_TYPE_SFIXED64 ||
        field->type == PROTOBUF_C_TYPE_ENUM;
    if (!json_is_integer(value) || (!is_signed && number < 0))
        return wrong(field, is_signed ? "a whole number" : "a whole number from 0");
    if (wide) {
        *(int64_t *)at = number;
        return OK;
    }
    if (number > (is_signed ? INT32_MAX : (json_int_t)UINT32_MAX) || number < INT32_MIN)
        return wrong(field, "a whole number of 32 bits");
    *(uint32_t *)at = (uint32_t)number;
    return OK;
}

static err_t to_value(const ProtobufCFieldDescriptor *field, const json_t *value, void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        if (!json_is_boolean(value))
            return wrong(field, "true or false");
        *(protobuf_c_boolean *)at = json_is_true(value);
        return OK;
    case PROTOBUF_C_TYPE_STRING:
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
            return wrong(field, "text without a zero byte");
        *(char **)at = mem_string(json_string_value(value));
        return OK;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        if (!json_is_number(value))
            return wrong(field, "a number");
        if (field->type == PROTOBUF_C_TYPE_FLOAT)
            *(float *)at = (float)json_number_value(value);
        else
            *(double *)at = json_number_value(value);
        return OK;
    case PROTOBUF_C_TYPE_BYTES:
        return to_bytes(field, value, at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return err_wrap(pbjson_to(value, field->descriptor, at), "%s", field->name);
    default:
        return to_whole(field, value, at);
    }
}

static err_t to_list(const ProtobufCFieldDescriptor *field, const json_t *list, char *base)
{
    size_t *count = (size_t *)(base + field->quantifier_offset);
    if (!json_is_array(list))
        return wrong(field, "a list");
    char *items = mem_array(json_array_size(list), size_of(field));
    *(char **)(base + field->offset) = items;
    for (size_t i = 0; i < json_array_size(list); i++) {
        TRY(to_value(field, json_array_get(list, i), items + i * size_of(field)));
        *count = i + 1; // what is not counted is not freed
    }
    return OK;
}

static err_t fill(const json_t *object, struct ProtobufCMessage *pb)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return err_new(ERR_INVALID, "allowed: an object");
    json_object_foreach ((json_t *)object, key, value) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(pb->descriptor, key);
        if (!field)
            return err_new(ERR_INVALID, "%s: no such field", key);
        TRY(field->label == PROTOBUF_C_LABEL_REPEATED
                ? to_list(field, value, (char *)pb)
                : to_value(field, value, (char *)pb + field->offset));
    }
    return OK;
}

err_t pbjson_to(const json_t *object, const struct ProtobufCMessageDescriptor *descriptor,
                struct ProtobufCMessage **ret)
{
    struct ProtobufCMessage *pb = mem_new(descriptor->sizeof_message);
    protobuf_c_message_init(descriptor, pb);
    err_t failed = fill(object, pb);
    if (err_failed(failed))
        protobuf_c_message_free_unpacked(pb, NULL);
    else
        *ret = pb;
    return failed;
}
