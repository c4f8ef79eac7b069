/* A message: bytes that are sent, received, kept and passed on without being copied.
 *
 *     struct rpc_message *message = rpc_message_pack(&entry.base);       -- protobuf-c to bytes
 *     while (rpc_call_send_message(call, message)) ...                   -- as often as wanted, to whom wanted
 *     rpc_message_free(message);
 *
 *     TRY(rpc_message_unpack(message, &log__v1__entry__descriptor, &pb));   -- outside bytes: malformed is INVALID
 *
 * Counted references: rpc_message_ref in a callback keeps what was received. Any thread, but
 * rpc_message_data and the reading calls only from one at a time. All messages are freed before the
 * runtime is. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stddef.h>
#include <stdint.h>

struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;
struct rpc_message;

struct rpc_message *rpc_message_pack(const struct ProtobufCMessage *pb);
struct rpc_message *rpc_message_copy(const void *data, size_t len);

/* data[0, len) is borrowed until release(arg). release is called once, on any thread, when the last
 * reference is gone and the transport is done with the bytes. */
struct rpc_message *rpc_message_borrow(const void *data, size_t len, void (*release)(void *arg),
                                       void *arg);

/* The bytes of `outer` = message { small, then bytes field = data }, standard on the wire and
 * without a copy of data (borrowed as above). outer is the field of an enclosing message that holds
 * all that; 0: there is none. Neither small may have `field` set, nor may the enclosing message
 * have other fields. For bulk. */
struct rpc_message *rpc_message_pack_with_bytes(const struct ProtobufCMessage *small,
                                                uint32_t outer, uint32_t field, const void *data,
                                                size_t len, void (*release)(void *arg), void *arg);

/* The other side of it: where data lies in a message so made, and its small fields (free with
 * protobuf_c_message_free_unpacked). Then rpc_message_read moves the bytes into place, the only
 * copy. NOT_FOUND: the message does not begin with the field `outer`; INVALID: malformed, or
 * `field` is not the last. */
err_t rpc_message_split(const struct rpc_message *message, uint32_t outer, uint32_t field,
                        const struct ProtobufCMessageDescriptor *small,
                        struct ProtobufCMessage **ret_small, size_t *ret_offset, size_t *ret_len);

/* Unpacked copy; free with protobuf_c_message_free_unpacked(pb, NULL). INVALID: malformed. */
err_t rpc_message_unpack(struct rpc_message *message,
                         const struct ProtobufCMessageDescriptor *descriptor,
                         struct ProtobufCMessage **ret);

size_t rpc_message_len(const struct rpc_message *message);

/* All bytes in one piece, borrowed until the message is freed. The first call copies them together
 * if they are in several pieces. */
const uint8_t *rpc_message_data(struct rpc_message *message);

/* Copies bytes [offset, offset + len) of the message; they must exist. */
void rpc_message_read(const struct rpc_message *message, size_t offset, size_t len, void *ret);

struct rpc_message *rpc_message_ref(struct rpc_message *message); // one more owner; returns message
void rpc_message_free(struct rpc_message *message);               // one owner less; NULL is allowed
DEFINE_SCOPED(rpc_message)
