#include "loopback.h"
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <unistd.h>

static void set(void *arg)
{
    *(bool *)arg = true;
}

static void stop_waits_for_calls_then_cancels_them(void **)
{
    enum { GRACE_MS = 4000 }; // enough to be served within it on a busy machine
    struct loopback lo;
    struct call_outcome stream = {0}, late = {0};
    bool down = false;
    loopback_init(&lo);
    struct rpc_call *call = open_append(&lo, NULL, &stream);
    until(&lo, is_set, &stream.opened);
    const int64_t begin = clock_ms();
    rpc_server_stop(lo.server, GRACE_MS, set, &down);
    run_for(&lo, 50);
    assert_false(down || stream.closed);
    SCOPED(rpc_message) group = group_message(0, 10);
    assert_true(rpc_call_send_message(call, group)); // still served
    until_count(&lo, &stream.messages, 1);
    ask_status(&lo, 60000, &late); // but nothing new is
    until(&lo, is_set, &late.closed);
    assert_int_equal(late.code, ERR_UNAVAILABLE);
    assert_int_equal(lo.opened, 1);
    until(&lo, is_set, &stream.closed);
    assert_true(clock_ms() - begin >= GRACE_MS - 10);
    assert_true(stream.code == ERR_CANCELLED || stream.code == ERR_UNAVAILABLE);
    until(&lo, is_set, &down);
    assert_int_equal(lo.closed, 1);
    assert_int_equal(lo.closed_code, ERR_CANCELLED);
    outcome_done(&stream);
    outcome_done(&late);
    loopback_done(&lo);
}

static void stop_is_quick_when_calls_end_by_themselves(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    bool down = false;
    loopback_init(&lo);
    struct rpc_call *call = open_append(&lo, NULL, &out);
    until(&lo, is_set, &out.opened);
    const int64_t begin = clock_ms();
    rpc_server_stop(lo.server, 20000, set, &down);
    rpc_call_half_close(call);
    until(&lo, is_set, &down);
    assert_true(clock_ms() - begin < 10000);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    outcome_done(&out);
    loopback_done(&lo);
}

static void a_second_server_on_the_port_is_refused(void **)
{
    struct loopback lo;
    loopback_init(&lo);
    struct rpc_server *second = NULL;
    struct rpc_service services[] = {{loopback_methods, &lo}};
    struct rpc_server_options options = {.address = lo.target, RPC_SERVICES(services)};
    char message[128];
    snprintf(message, sizeof message, "cannot listen on '%s': Address already in use", lo.target);
    assert_err(ERR_UNAVAILABLE, message, rpc_server_start(lo.rpc, &options, &second));
    assert_null(second);
    rpc_server_free(lo.server);
    lo.server = NULL;
    assert_ok(rpc_server_start(lo.rpc, &options, &lo.server)); // free again
    loopback_done(&lo);
}

static void bad_addresses_are_refused(void **)
{
    static const struct {
        const char *address;
        enum err_code code;
    } rows[] = {
        {"", ERR_INVALID},           {"localhost", ERR_INVALID},   {"127.0.0.1:65536", ERR_INVALID},
        {"127.0.0.1:", ERR_INVALID}, {"127.0.0.1:x", ERR_INVALID}, {"unix:", ERR_INVALID},
        {"0.0.0.0:0", ERR_DENIED},   {"[::]:0", ERR_DENIED},       {"example.org:1", ERR_DENIED}};
    struct loopback lo;
    loopback_init(&lo);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rpc_server *server = NULL;
        struct rpc_channel *channel = NULL;
        assert_err(rows[i].code, rows[i].address,
                   rpc_server_start(
                       lo.rpc, &(struct rpc_server_options){.address = rows[i].address}, &server));
        assert_err(rows[i].code, rows[i].address,
                   rpc_channel_new(lo.rpc, &(struct rpc_channel_options){.target = rows[i].address},
                                   &channel));
        assert_null(server);
        assert_null(channel);
    }
    loopback_done(&lo);
}

static void unix_sockets_serve_too(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    rpc_server_free(lo.server);
    rpc_channel_free(lo.channel);
    char address[64];
    snprintf(address, sizeof address, "unix:/tmp/rlhfd-rpc-%d.sock", (int)getpid());
    struct rpc_service services[] = {{loopback_methods, &lo}};
    assert_ok(rpc_server_start(
        lo.rpc, &(struct rpc_server_options){.address = address, RPC_SERVICES(services)},
        &lo.server));
    assert_int_equal(rpc_server_port(lo.server), 0);
    assert_ok(
        rpc_channel_new(lo.rpc, &(struct rpc_channel_options){.target = address}, &lo.channel));
    ask_status(&lo, 60000, &out);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    outcome_done(&out);
    loopback_done(&lo);
    unlink(address + 5);
}

static void unknown_methods_are_unimplemented_at_once(void **)
{
    static const struct rpc_method unknown = {"/rlhfd.v1.Replay/Nope", NULL, NULL, RPC_BIDI};
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    const int64_t begin = clock_ms();
    for (int i = 0; i < 5; i++) { // more than are armed
        outcome_done(&out);
        rpc_call_stream(lo.channel, &unknown, &(struct rpc_call_options){.deadline_ms = 20000},
                        &outcome_handlers, &out);
        until(&lo, is_set, &out.closed);
        assert_int_equal(out.code, ERR_UNIMPLEMENTED);
        assert_false(out.opened); // a refusal is not an acceptance
        assert_non_null(strstr(out.text, "/rlhfd.v1.Replay/Nope"));
    }
    assert_true(clock_ms() - begin < 10000);
    outcome_done(&out);
    loopback_done(&lo);
}

static void malformed_requests_are_invalid(void **)
{
    static const struct rpc_method raw = {APPEND, NULL, NULL, RPC_BIDI};
    static const uint8_t garbage[] = {0x0a, 0xff, 0xff};
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    struct rpc_call *call = rpc_call_stream(lo.channel, &raw, NULL, &outcome_handlers, &out);
    SCOPED(rpc_message) bad = rpc_message_copy(garbage, sizeof garbage);
    SCOPED(rpc_message) good = group_message(0, 1);
    rpc_call_send_message(call, bad);
    rpc_call_send_message(call, good);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_INVALID);
    assert_non_null(strstr(out.text, "malformed rlhfd.v1.Group (3 bytes)"));
    assert_int_equal(lo.received, 0); // nothing after it is looked at
    outcome_done(&out);
    loopback_done(&lo);
}

/* A client with other types: a text or bytes where Manifest has its first number. */
static void malformed_replies_end_the_call(void **)
{
    static const struct rpc_method wrong[] = {
        {GET_STATUS, NULL, &rlhfd__v1__manifest__descriptor, RPC_UNARY},
        {APPEND, NULL, &rlhfd__v1__manifest__descriptor, RPC_BIDI},
    };
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    Rlhfd__Admin__V1__GetStatusRequest request = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    rpc_call_unary(lo.channel, &wrong[0], &request.base,
                   &(struct rpc_call_options){.deadline_ms = 60000}, &outcome_handlers, &out);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_INTERNAL);
    assert_int_equal(out.messages, 0);
    outcome_done(&out);
    struct rpc_call *call = rpc_call_stream(lo.channel, &wrong[1], NULL, &outcome_handlers, &out);
    SCOPED(rpc_message) group = group_message(0, 1);
    rpc_call_send_message(call, group);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_INTERNAL);
    assert_non_null(strstr(out.text, "malformed"));
    assert_int_equal(out.messages, 0);
    outcome_done(&out);
    loopback_done(&lo);
}

static void too_long_messages_are_exhausted_both_ways(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo); // 4 MiB
    struct rpc_call *call = open_append(&lo, NULL, &out);
    SCOPED(rpc_message) fits = group_message(0, (4 << 20) - 100);
    SCOPED(rpc_message) too_long = group_message(1, 4 << 20);
    rpc_call_send_message(call, fits);
    until_count(&lo, &out.messages, 1);
    rpc_call_send_message(call, too_long);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_EXHAUSTED);
    assert_int_equal(lo.received, 1);
    until_count(&lo, &lo.closed, 1);

    rpc_channel_free(lo.channel);
    connect_to(&lo, 5); // a client that takes 5 bytes at most
    ask_status(&lo, 60000, &out);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_EXHAUSTED);
    assert_int_equal(out.messages, 0);
    outcome_done(&out);
    loopback_done(&lo);
}

/* ---- clients that our own cannot be: bare core, on its own thread and queue */

struct bare {
    char target[64];
    bool compress; // gzip
    bool without_message;
    size_t zeros; // of the request's bytes
    grpc_status_code status;
    bool done;
    struct loop *loop;
};

static void bare_done(void *arg)
{
    ((struct bare *)arg)->done = true;
}

static void *bare_call(void *arg)
{
    struct bare *bare = arg;
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_arg gzip = {.type = GRPC_ARG_INTEGER,
                     .key = GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM,
                     .value.integer = GRPC_COMPRESS_GZIP};
    grpc_channel *channel = grpc_channel_create(
        bare->target, credentials, bare->compress ? &(grpc_channel_args){1, &gzip} : NULL);
    const gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(20, GPR_TIMESPAN));
    grpc_call *call = grpc_channel_create_call(
        channel, NULL, 0, queue, grpc_slice_from_static_string(GET_STATUS), NULL, deadline, NULL);
    grpc_slice request = grpc_slice_malloc(bare->zeros);
    memset(GRPC_SLICE_START_PTR(request), 0, bare->zeros);
    grpc_byte_buffer *send = grpc_raw_byte_buffer_create(&request, 1), *receive = NULL;
    grpc_metadata_array initial, trailers;
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailers);
    grpc_slice details = grpc_empty_slice();
    grpc_op ops[6];
    memset(ops, 0, sizeof ops);
    size_t n = 0;
    ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (!bare->without_message) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = send;
    }
    ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[n].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[n++].data.recv_initial_metadata.recv_initial_metadata = &initial;
    ops[n].op = GRPC_OP_RECV_MESSAGE;
    ops[n++].data.recv_message.recv_message = &receive;
    ops[n].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[n].data.recv_status_on_client.trailing_metadata = &trailers;
    ops[n].data.recv_status_on_client.status = &bare->status;
    ops[n++].data.recv_status_on_client.status_details = &details;
    grpc_call_start_batch(call, ops, n, bare, NULL);
    grpc_completion_queue_pluck(queue, bare, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_slice_unref(request);
    grpc_slice_unref(details);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailers);
    grpc_byte_buffer_destroy(send);
    grpc_byte_buffer_destroy(receive);
    grpc_call_unref(call);
    grpc_channel_destroy(channel);
    grpc_channel_credentials_release(credentials);
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
    loop_post(bare->loop, bare_done, bare);
    return NULL;
}

static grpc_status_code bare_status(struct loopback *lo, struct bare bare)
{
    memcpy(bare.target, lo->target, sizeof bare.target);
    bare.loop = lo->loop;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, bare_call, &bare), 0);
    until(lo, is_set, &bare.done);
    pthread_join(thread, NULL);
    return bare.status;
}

static void compressed_requests_are_refused(void **)
{
    struct loopback lo;
    loopback_init(&lo);
    assert_int_equal(bare_status(&lo, (struct bare){0}), GRPC_STATUS_OK); // this client works
    assert_int_equal(bare_status(&lo, (struct bare){.compress = true, .zeros = 3 << 20}),
                     GRPC_STATUS_UNIMPLEMENTED);
    assert_int_equal(lo.received, 1);
    loopback_done(&lo);
}

static void a_unary_call_without_a_message_is_invalid(void **)
{
    struct loopback lo;
    loopback_init(&lo);
    assert_int_equal(bare_status(&lo, (struct bare){.without_message = true}),
                     GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(lo.received, 0);
    loopback_done(&lo);
}

/* Whoever forgets the callers of a row learns it at the first start, not at the first caller. */
static void a_method_without_callers_does_not_start(void **)
{
    static const struct rpc_method open[] = {
        {.path = "/rlhfd.v1.Replay/Append", .kind = RPC_BIDI, .callers = CALLER_REWARDER},
        {.path = "/rlhfd.v1.Replay/Open", .kind = RPC_BIDI},
        {0}};
    const struct rpc_service services[] = {{open, NULL}};
    struct loopback lo;
    struct rpc_server *server = NULL;
    loopback_init(&lo);
    assert_err(ERR_INTERNAL, "/rlhfd.v1.Replay/Open: its row does not say who may call it",
               rpc_server_start(
                   lo.rpc,
                   &(struct rpc_server_options){.address = "127.0.0.1:0", RPC_SERVICES(services)},
                   &server));
    assert_null(server);
    loopback_done(&lo);
}

TESTS(cmocka_unit_test(a_method_without_callers_does_not_start),
      cmocka_unit_test(stop_waits_for_calls_then_cancels_them),
      cmocka_unit_test(stop_is_quick_when_calls_end_by_themselves),
      cmocka_unit_test(a_second_server_on_the_port_is_refused),
      cmocka_unit_test(bad_addresses_are_refused), cmocka_unit_test(unix_sockets_serve_too),
      cmocka_unit_test(unknown_methods_are_unimplemented_at_once),
      cmocka_unit_test(malformed_requests_are_invalid),
      cmocka_unit_test(malformed_replies_end_the_call),
      cmocka_unit_test(too_long_messages_are_exhausted_both_ways),
      cmocka_unit_test(compressed_requests_are_refused),
      cmocka_unit_test(a_unary_call_without_a_message_is_invalid))
