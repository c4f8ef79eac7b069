/* Outside bytes to protobuf-c messages, bounded before anything is allocated. For wire, rpc and
 * weights, which hand on plain structs.
 *
 *     SCOPED_PB ProtobufCMessage *pb = NULL;
 *     TRY(wire_unpack(&rlhfd__v1__group__descriptor, data, len, &(struct wire_bounds){64 << 20, 1 << 18}, &pb));
 *
 * protobuf-c keeps unknown fields, allocates per field, cuts strings at a NUL and does not check
 * UTF-8. So each field is counted and each string read first. Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

struct wire_bounds {
    size_t bytes; // of the whole message
    /* In it and in the messages inside it, known or not; each costs about 100 bytes while
     * unpacking */
    size_t fields;
};

/* INVALID: malformed, or over a bound; names the message's type. The result is freed with SCOPED_PB
 * or wire_free. */
err_t wire_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                  const struct wire_bounds *bounds, ProtobufCMessage **ret);
void wire_free(ProtobufCMessage *pb);
void wire_pack(const ProtobufCMessage *pb, struct bytes *ret); // appends

/* Appends fields of the outermost message, as they lie there, if their numbers are in the set: a
 * bit each, below 64. The first malformed field ends it, and so do more than `most` bytes. */
void wire_keep_fields(const uint8_t *data, size_t len, uint64_t numbers, size_t most,
                      struct bytes *ret);

bool wire_text_ok(const void *text, size_t len); // UTF-8, no NUL

/* A reason for people, of at most REASON_MAX_BYTES; the caller's. A long one is cut between two
 * characters, one that is no text is empty. */
char *wire_text_cut(const char *text);

/* INVALID: not 16 bytes. */
err_t wire_digest(const ProtobufCBinaryData *bytes, const char *name, struct digest *ret);

static inline void wire_scoped_free(ProtobufCMessage **pb)
{
    wire_free(*pb);
}
#define SCOPED_PB __attribute__((cleanup(wire_scoped_free)))
