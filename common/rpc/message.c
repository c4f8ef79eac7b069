#include "rpc/message.h"
#include "base/mem.h"
#include "rpc/core.h"
#include "rpc/scan.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct rpc_message {
    atomic_int refs;
    grpc_byte_buffer *buffer;
    grpc_slice flat; // all bytes in one piece, once asked for
    bool is_flat;
};

struct rpc_message *message_of(grpc_byte_buffer *buffer)
{
    struct rpc_message *message = mem_new(sizeof *message);
    atomic_init(&message->refs, 1);
    message->buffer = buffer;
    return message;
}

/* Core empties the buffer that it sends, so each send gets one of its own; the slices are
 * shared. */
grpc_byte_buffer *message_buffer(const struct rpc_message *message)
{
    return grpc_byte_buffer_copy(message->buffer);
}

/* Takes the slices. */
static struct rpc_message *of_slices(grpc_slice *slices, size_t count)
{
    struct rpc_message *message = message_of(grpc_raw_byte_buffer_create(slices, count));
    for (size_t i = 0; i < count; i++)
        grpc_slice_unref(slices[i]);
    return message;
}

struct rpc_message *rpc_message_pack(const struct ProtobufCMessage *pb)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(pb));
    protobuf_c_message_pack(pb, GRPC_SLICE_START_PTR(slice));
    return of_slices(&slice, 1);
}

struct rpc_message *rpc_message_copy(const void *data, size_t len)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(data, len);
    return of_slices(&slice, 1);
}

struct rpc_message *rpc_message_borrow(const void *data, size_t len, void (*release)(void *arg),
                                       void *arg)
{
    grpc_slice slice = grpc_slice_new_with_user_data((void *)data, len, release, arg);
    return of_slices(&slice, 1);
}

static uint8_t *put_varint(uint8_t *p, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        *p++ = (uint8_t)(value | 128);
    *p++ = (uint8_t)value;
    return p;
}

static uint8_t *put_bytes_header(uint8_t *p, uint32_t field, uint64_t len)
{
    enum { BYTES = 2 };
    return put_varint(put_varint(p, (uint64_t)field << 3 | BYTES), len);
}

struct rpc_message *rpc_message_pack_with_bytes(const struct ProtobufCMessage *small,
                                                uint32_t outer, uint32_t field, const void *data,
                                                size_t len, void (*release)(void *arg), void *arg)
{
    enum { HEADER = 5 + 10 }; // a field's key and length at their longest
    const size_t small_len = protobuf_c_message_get_packed_size(small);
    uint8_t inner[HEADER];
    const size_t inner_len = (size_t)(put_bytes_header(inner, field, len) - inner);

    grpc_slice slices[2];
    slices[0] = grpc_slice_malloc_large(HEADER + small_len + HEADER);
    uint8_t *const begin = GRPC_SLICE_START_PTR(slices[0]);
    uint8_t *p = begin;
    if (outer)
        p = put_bytes_header(p, outer, small_len + inner_len + len);
    p += protobuf_c_message_pack(small, p);
    memcpy(p, inner, inner_len);
    GRPC_SLICE_SET_LENGTH(slices[0], (size_t)(p + inner_len - begin));
    slices[1] = grpc_slice_new_with_user_data((void *)data, len, release, arg);
    return of_slices(slices, 2);
}

/* Skips the small fields in `in`; true once the key and the length of `field`, with all of rest
 * following, are read. */
static bool find_last_bytes(struct reader *in, uint32_t field, size_t rest, size_t *ret_small_len)
{
    const uint8_t *const begin = in->data;
    enum { BYTES = 2 };
    while (in->left) {
        struct reader at = *in;
        uint64_t key, len;
        if (scan_varint(&at, &key) && key == ((uint64_t)field << 3 | BYTES)) {
            *ret_small_len = (size_t)(in->data - begin);
            if (!scan_varint(&at, &len))
                return false;
            *in = at;
            return len == rest - (size_t)(at.data - begin);
        }
        struct scan_field skipped;
        if (!scan_field(in, &skipped))
            return false;
    }
    return false;
}

err_t rpc_message_split(const struct rpc_message *message, uint32_t outer, uint32_t field,
                        const struct ProtobufCMessageDescriptor *small,
                        struct ProtobufCMessage **ret_small, size_t *ret_offset, size_t *ret_len)
{
    enum { HEAD = 512, BYTES = 2 }; // the small fields lie in the first HEAD bytes
    uint8_t head[HEAD];
    const size_t total = rpc_message_len(message);
    struct reader in = {head, total < HEAD ? total : HEAD};
    rpc_message_read(message, 0, in.left, head);
    if (outer) {
        uint64_t key, len;
        if (!scan_varint(&in, &key) || key != ((uint64_t)outer << 3 | BYTES))
            return err_new(ERR_NOT_FOUND, "message: does not begin with field %u", outer);
        if (!scan_varint(&in, &len) || len != total - (size_t)(in.data - head))
            return err_new(ERR_INVALID, "message: field %u is not all of it", outer);
    }
    const uint8_t *const begin = in.data;
    size_t small_len;
    if (!find_last_bytes(&in, field, total - (size_t)(begin - head), &small_len))
        return err_new(ERR_INVALID, "message: malformed, or field %u is not its last", field);
    struct ProtobufCMessage *pb = protobuf_c_message_unpack(small, NULL, small_len, begin);
    if (!pb)
        return err_new(ERR_INVALID, "message: malformed %s", small->name);
    *ret_small = pb;
    *ret_offset = (size_t)(in.data - head);
    *ret_len = total - *ret_offset;
    return OK;
}

err_t rpc_message_unpack(struct rpc_message *message,
                         const struct ProtobufCMessageDescriptor *descriptor,
                         struct ProtobufCMessage **ret)
{
    struct ProtobufCMessage *pb = protobuf_c_message_unpack(
        descriptor, NULL, rpc_message_len(message), rpc_message_data(message));
    if (!pb)
        return err_new(ERR_INVALID, "malformed %s (%zu bytes)", descriptor->name,
                       rpc_message_len(message));
    *ret = pb;
    return OK;
}

size_t rpc_message_len(const struct rpc_message *message)
{
    return grpc_byte_buffer_length(message->buffer);
}

const uint8_t *rpc_message_data(struct rpc_message *message)
{
    if (message->is_flat)
        return GRPC_SLICE_START_PTR(message->flat);
    grpc_byte_buffer_reader reader;
    const int ok = grpc_byte_buffer_reader_init(&reader, message->buffer);
    assert(ok); // fails for compressed buffers only, which are refused
    (void)ok;
    grpc_slice *first = NULL;
    if (grpc_byte_buffer_reader_peek(&reader, &first) &&
        GRPC_SLICE_LENGTH(*first) == rpc_message_len(message)) {
        message->flat = grpc_slice_ref(*first);
    } else {
        grpc_byte_buffer_reader_destroy(&reader);
        grpc_byte_buffer_reader_init(&reader, message->buffer);
        message->flat = grpc_byte_buffer_reader_readall(&reader);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    message->is_flat = true;
    return GRPC_SLICE_START_PTR(message->flat);
}

void rpc_message_read(const struct rpc_message *message, size_t offset, size_t len, void *ret)
{
    assert(offset <= rpc_message_len(message) && len <= rpc_message_len(message) - offset);
    grpc_byte_buffer_reader reader;
    grpc_byte_buffer_reader_init(&reader, message->buffer);
    grpc_slice *slice;
    uint8_t *to = ret;
    while (len && grpc_byte_buffer_reader_peek(&reader, &slice)) {
        size_t have = GRPC_SLICE_LENGTH(*slice);
        if (offset >= have) {
            offset -= have;
            continue;
        }
        have -= offset;
        const size_t take = have < len ? have : len;
        memcpy(to, GRPC_SLICE_START_PTR(*slice) + offset, take);
        offset = 0;
        to += take;
        len -= take;
    }
    grpc_byte_buffer_reader_destroy(&reader);
}

struct rpc_message *rpc_message_ref(struct rpc_message *message)
{
    atomic_fetch_add(&message->refs, 1);
    return message;
}

void rpc_message_free(struct rpc_message *message)
{
    if (!message || atomic_fetch_sub(&message->refs, 1) != 1)
        return;
    if (message->is_flat)
        grpc_slice_unref(message->flat);
    grpc_byte_buffer_destroy(message->buffer);
    free(message);
}
