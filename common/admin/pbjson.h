/* Protobuf messages as JSON objects, by their descriptors: for clients that show messages and do
 * not compute with them.
 *
 *     json_t *object = pbjson_of(pb);                      -- {"etag": "17", "settings": [{"key": "lag.max", ...}]}
 *     TRY(pbjson_to(request, descriptor, &pb));            -- INVALID: "interval: no such field"
 *     protobuf_c_message_free_unpacked(pb, NULL);
 *
 * Every field is there under its name in the .proto, set or not. Whole numbers are numbers (text
 * from 2^63 on), bytes are hex in small letters, numbers that are none are null. Any thread. */
#pragma once
#include "base/json.h"

struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;

json_t *pbjson_of(const struct ProtobufCMessage *pb); // owned by the caller

/* Fields missing from the object keep their defaults. INVALID: names the field. Nesting is the
 * descriptor's, which must not recurse. */
err_t pbjson_to(const json_t *object, const struct ProtobufCMessageDescriptor *descriptor,
                struct ProtobufCMessage **ret);
