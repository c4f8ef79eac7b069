#include "loopback.h"
#include "svc/security.h"
#include <protobuf-c/protobuf-c.h>

static void count_release(void *arg)
{
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/* Messages need core, and core a runtime. */
static int with_runtime(void **state)
{
    struct loopback *lo = mem_new(sizeof *lo);
    loopback_init(lo);
    *state = lo;
    return 0;
}

static int without_runtime(void **state)
{
    loopback_done(*state);
    free(*state);
    return 0;
}

enum { VALUES = 1 << 20 };

static struct rpc_message *chunk_message(uint64_t first, const uint8_t *values, size_t len,
                                         int *released)
{
    Rlhfd__V1__Chunk chunk = RLHFD__V1__CHUNK__INIT;
    chunk.first = first;
    return rpc_message_pack_with_bytes(&chunk.base, 2, 15, values, len, count_release, released);
}

static uint8_t *pattern(size_t len)
{
    uint8_t *bytes = mem_array(len + 1, 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)((i * 2654435761u) >> 13);
    return bytes;
}

static void packed_bytes_are_what_protobuf_makes(void **)
{
    static const size_t lens[] = {0, 1, 127, 128, 16384, VALUES};
    SCOPED_MEM uint8_t *values = pattern(VALUES);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        int released = 0;
        struct rpc_message *message = chunk_message(1u << 31, values, lens[i], &released);
        SCOPED_MEM uint8_t *flat = mem_copy(rpc_message_data(message), rpc_message_len(message));
        Rlhfd__V1__WeightsMessage *pb = rlhfd__v1__weights_message__unpack(
            NULL, rpc_message_len(message), rpc_message_data(message));
        assert_non_null(pb);
        assert_non_null(pb->chunk);
        assert_int_equal(pb->chunk->first, 1u << 31);
        assert_int_equal(pb->chunk->values.len, lens[i]);
        assert_memory_equal(pb->chunk->values.data ? pb->chunk->values.data : values, values,
                            lens[i]);
        rlhfd__v1__weights_message__free_unpacked(pb, NULL);

        struct ProtobufCMessage *small;
        size_t offset, len;
        assert_ok(rpc_message_split(message, 2, 15, &rlhfd__v1__chunk__descriptor, &small, &offset,
                                    &len));
        assert_int_equal(((Rlhfd__V1__Chunk *)small)->first, 1u << 31);
        assert_int_equal(len, lens[i]);
        SCOPED_MEM uint8_t *read = mem_array(len + 1, 1);
        rpc_message_read(message, offset, len, read);
        assert_memory_equal(read, values, len);
        protobuf_c_message_free_unpacked(small, NULL);
        assert_int_equal(released, 0);
        rpc_message_free(message);
        assert_int_equal(released, 1);
    }
}

static void splitting_refuses_what_it_cannot_read(void **)
{
    SCOPED_MEM uint8_t *values = pattern(1000);
    int released = 0;
    SCOPED(rpc_message) good = chunk_message(7, values, 1000, &released);
    struct ProtobufCMessage *small = NULL;
    size_t offset = 99, len = 99;
    const ProtobufCMessageDescriptor *chunk = &rlhfd__v1__chunk__descriptor;
    assert_err(ERR_NOT_FOUND, "field 1",
               rpc_message_split(good, 1, 15, chunk, &small, &offset, &len));
    assert_err(ERR_INVALID, "field 14",
               rpc_message_split(good, 2, 14, chunk, &small, &offset, &len));
    /* Every truncation, and every single byte of the header changed: an error or a split within the
     * bytes. */
    const size_t total = rpc_message_len(good);
    const uint8_t *bytes = rpc_message_data(good);
    for (size_t cut = 0; cut < total; cut++) {
        SCOPED(rpc_message) part = rpc_message_copy(bytes, cut);
        err_t e = rpc_message_split(part, 2, 15, chunk, &small, &offset, &len);
        assert_true(err_failed(e));
        err_free(e);
    }
    for (int at = 0; at < 8; at++)
        for (int value = 0; value < 256; value++) {
            SCOPED_MEM uint8_t *changed = mem_copy(bytes, total);
            changed[at] = (uint8_t)value;
            SCOPED(rpc_message) message = rpc_message_copy(changed, total);
            struct ProtobufCMessage *pb = NULL;
            err_t e = rpc_message_split(message, 2, 15, chunk, &pb, &offset, &len);
            if (!err_failed(e))
                assert_true(offset <= total && len == total - offset);
            err_free(e);
            protobuf_c_message_free_unpacked(pb, NULL);
        }
    assert_null(small);
}

static void unpacking_refuses_garbage(void **)
{
    SCOPED(rpc_message) message = rpc_message_copy("\x0a\x05hi", 4);
    struct ProtobufCMessage *pb = NULL;
    assert_err(ERR_INVALID, "malformed rlhfd.v1.Group (4 bytes)",
               rpc_message_unpack(message, &rlhfd__v1__group__descriptor, &pb));
    assert_null(pb);
    SCOPED(rpc_message) empty = rpc_message_copy(NULL, 0);
    assert_ok(rpc_message_unpack(empty, &rlhfd__v1__group__descriptor,
                                 &pb)); // all fields at their defaults
    protobuf_c_message_free_unpacked(pb, NULL);
}

static void any_range_can_be_read(void **)
{
    SCOPED_MEM uint8_t *values = pattern(3000);
    int released = 0;
    SCOPED(rpc_message) message = chunk_message(5, values, 3000, &released); // two slices
    const size_t total = rpc_message_len(message);
    SCOPED_MEM uint8_t *read = mem_array(total, 1);
    SCOPED(rpc_message) other = rpc_message_ref(message);
    for (size_t offset = 0; offset <= total; offset += 7)
        for (size_t len = 0; len <= total - offset; len += 113) {
            rpc_message_read(message, offset, len, read);
            assert_memory_equal(read, rpc_message_data(other) + offset, len);
        }
}

static void a_borrowed_chunk_arrives_and_is_released_once(void **state)
{
    enum { N = 20 };
    struct loopback *lo = *state;
    struct call_outcome out = {0};
    static const struct rpc_method raw = {APPEND, NULL, NULL, RPC_BIDI};
    SCOPED_MEM uint8_t *values = pattern(VALUES);
    int released = 0;
    lo->silent = true;
    struct rpc_message *message = chunk_message(3, values, VALUES, &released);
    struct rpc_call *call = rpc_call_stream(lo->channel, &raw, NULL, &outcome_handlers, &out);
    for (int i = 0; i < N; i++)
        assert_true(rpc_call_send_message(call, message)); // the same bytes, again and again
    const size_t len = rpc_message_len(message);
    rpc_message_free(message);
    rpc_call_half_close(call);
    until(lo, is_set, &out.closed);
    assert_int_equal(lo->received, N);
    assert_int_equal(lo->received_bytes, N * len);
    until_count(lo, &released, 1);
    run_for(lo, 10);
    assert_int_equal(released, 1);
    outcome_done(&out);
}

/* The server's side of Weights.Subscribe: chunks down, raw; put into place by the client with one
 * copy. */
static uint8_t *down_values;
static int down_released;

static void send_chunks(struct rpc_call *call, void *)
{
    for (uint64_t i = 0; i < 4; i++) {
        SCOPED(rpc_message)
        chunk = chunk_message(i * (VALUES / 4), down_values + i * (VALUES / 4), VALUES / 4,
                              &down_released);
        assert_true(rpc_call_send_message(call, chunk));
    }
    rpc_call_finish(call, OK);
}

static void place_chunk(struct rpc_call *, struct rpc_message *message,
                        const struct ProtobufCMessage *pb, void *user)
{
    assert_null(pb);
    struct ProtobufCMessage *small;
    size_t offset, len;
    assert_ok(
        rpc_message_split(message, 2, 15, &rlhfd__v1__chunk__descriptor, &small, &offset, &len));
    const uint64_t first = ((Rlhfd__V1__Chunk *)small)->first;
    protobuf_c_message_free_unpacked(small, NULL);
    assert_int_equal(len, VALUES / 4);
    rpc_message_read(message, offset, len, (uint8_t *)user + first);
}

static bool down_closed;

static void chunks_closed(struct rpc_call *, err_t why, void *)
{
    assert_ok(why);
    down_closed = true;
}

static void chunks_come_into_place(void **state)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.v1.Weights/Subscribe", NULL, NULL, RPC_BIDI, CALLER_ANY, {.open = send_chunks}},
        {0}};
    struct loopback *lo = *state;
    SCOPED_MEM uint8_t *values = pattern(VALUES);
    SCOPED_MEM uint8_t *placed = mem_array(VALUES, 1);
    down_values = values;
    rpc_server_free(lo->server);
    struct rpc_service services[] = {{methods, NULL}};
    assert_ok(rpc_server_start(
        lo->rpc, &(struct rpc_server_options){.address = lo->target, RPC_SERVICES(services)},
        &lo->server));
    rpc_call_stream(lo->channel, &methods[0], &(struct rpc_call_options){.wait_for_ready = true},
                    &(struct rpc_handlers){.message = place_chunk, .close = chunks_closed}, placed);
    until(lo, is_set, &down_closed);
    assert_memory_equal(placed, values, VALUES);
    until_count(lo, &down_released, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, with_runtime, without_runtime)
TESTS(TEST(packed_bytes_are_what_protobuf_makes), TEST(splitting_refuses_what_it_cannot_read),
      TEST(unpacking_refuses_garbage), TEST(any_range_can_be_read),
      TEST(a_borrowed_chunk_arrives_and_is_released_once), TEST(chunks_come_into_place))
