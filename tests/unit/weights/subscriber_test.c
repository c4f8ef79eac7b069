/* What a subscriber and a publisher refuse. */
#include "loopback_ring.h"
#include "svc/security.h"

static void no_release(void *arg)
{
    (void)arg;
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    struct weights_event event;
    struct subscription subscription = {0};
    static const uint16_t values[4] = {1, 2, 3, 4};
    struct rpc *rpc = NULL;
    struct loop *loop = NULL;
    assert_ok(loop_new(&loop));
    assert_ok(rpc_new(loop, &rpc)); // messages live within a runtime
    struct rpc_message *message = chunk_message(7, values, 4, no_release, NULL);
    assert_ok(weights_decode(message, &event));
    assert_true(event.kind == WEIGHTS_CHUNK_OF_FULL && event.first == 7 && event.count == 4);
    rpc_message_free(message);
    message = delta_message(9, (const uint8_t *)"abc", 3, no_release, NULL);
    assert_ok(weights_decode(message, &event));
    assert_true(event.kind == WEIGHTS_CHUNK_OF_DELTA && event.first == 9 && event.count == 3);
    assert_memory_equal(rpc_message_data(message) + event.offset, "abc", 3);
    rpc_message_free(message);

    const struct manifest odd = {.kind = 5, .elements = 1};
    message = manifest_message(&odd);
    assert_err(ERR_INVALID, "kind is 5", weights_decode(message, &event));
    rpc_message_free(message);
    static const uint8_t half[] = {0x12, 0x05, 0x7a, 0x03,
                                   1,    2,    3}; // chunk { values: three bytes }
    message = rpc_message_copy(half, sizeof half);
    assert_err(ERR_INVALID, "half an element", weights_decode(message, &event));
    rpc_message_free(message);
    message = rpc_message_copy("\xff\xff\xff", 3);
    assert_err(ERR_INVALID, "", weights_decode(message, &event));
    rpc_message_free(message);
    message = rpc_message_copy("", 0);
    assert_err(ERR_INVALID, "neither a manifest nor a chunk", weights_decode(message, &event));
    rpc_message_free(message);

    static const uint8_t nameless[] = {0x0a, 1, 'r'}; // run alone
    assert_err(ERR_INVALID, "generator is empty",
               subscription_decode(nameless, sizeof nameless, &subscription));
    static const uint8_t short_layout[] = {0x0a, 1, 'r', 0x12, 1, 'g', 0x22, 1, 9};
    assert_err(ERR_INVALID, "layout has 1 bytes",
               subscription_decode(short_layout, sizeof short_layout, &subscription));
    assert_null(subscription.run);
    rpc_free(rpc);
    loop_free(loop);
}

/* A learner that sends nonsense: each of these must break the stream, and none may reach a
 * model. */
enum nonsense {
    CHUNK_FIRST,
    CHUNK_TWICE,
    CHUNK_TOO_LONG,
    CHUNK_EMPTY,
    OTHER_SIZE,
    NO_BASE,
    GOES_ON,
    DELTA_IN_FULL,
    NONSENSE
};
struct liar {
    enum nonsense kind;
    int calls;
};

/* Sends and frees. */
static void send(struct rpc_call *call, struct rpc_message *message)
{
    rpc_call_send_message(call, message);
    rpc_message_free(message);
}

static void send_chunk(struct rpc_call *call, uint64_t first, const uint16_t *values, size_t count)
{
    send(call, chunk_message(first, values, count, no_release, NULL));
}

static void lie(struct rpc_call *call, struct rpc_message *, const struct ProtobufCMessage *,
                void *user)
{
    static const uint16_t values[SMALL + 1];
    struct liar *liar = user;
    struct manifest manifest = {1, 1, 1, WEIGHTS_FULL, SMALL, {{0}}, 0, 1, 0, false};
    liar->calls++;
    if (liar->kind == OTHER_SIZE)
        manifest.elements++;
    if (liar->kind == NO_BASE)
        manifest.kind = WEIGHTS_DELTA;
    if (liar->kind == GOES_ON)
        manifest.first_chunk = 1;
    if (liar->kind != CHUNK_FIRST)
        send(call, manifest_message(&manifest));
    if (liar->kind == DELTA_IN_FULL)
        send(call, delta_message(0, (const uint8_t *)"RLWD", 4, no_release, NULL));
    else if (liar->kind == CHUNK_EMPTY)
        send_chunk(call, 0, values, 0);
    else
        send_chunk(call, 0, values, liar->kind == CHUNK_TOO_LONG ? SMALL + 1 : SMALL / 2);
    if (liar->kind == CHUNK_TWICE)
        send_chunk(call, 0, values, SMALL / 2);
}

static void nonsense_breaks_the_stream(void **state)
{
    (void)state;
    static const char *const says[] = {"a chunk without a manifest",
                                       "512 come next",
                                       "0 come next, 1024 are left",
                                       "0 come next",
                                       "have 1025 elements; the model has 1024",
                                       "changes of version 0, which is not here",
                                       "go on with chunk 1; 0 are here",
                                       "of another kind than its manifest"};
    for (int kind = 0; kind < NONSENSE; kind++) {
        struct ring ring;
        struct liar liar = {(enum nonsense)kind, 0};
        const struct rpc_method methods[] = {
            {"/rlhfd.v1.Weights/Subscribe", NULL, NULL, RPC_BIDI, CALLER_ANY, {.message = lie}, 0},
            {0}};
        struct rpc_service services[] = {{methods, &liar}};
        ring_init(&ring, SMALL);
        rpc_server_free(ring.server);
        assert_ok(rpc_server_start(
            ring.rpc,
            &(struct rpc_server_options){.address = "127.0.0.1:0", RPC_SERVICES(services)},
            &ring.server));
        snprintf(ring.target, sizeof ring.target, "127.0.0.1:%d", rpc_server_port(ring.server));
        subscribe(&ring, 0, &(struct subscriber_options){0});
        until(&ring, is_down);
        if (!strstr(ring.generator[0].text, says[kind]))
            fail_msg("'%s' is not in '%s'", says[kind], ring.generator[0].text);
        assert_int_equal(ring.generator[0].why, ERR_INVALID);
        assert_int_equal(ring.generator[0].applied, 0);
        ring_done(&ring);
    }
}

TESTS(cmocka_unit_test(what_is_malformed_is_refused), cmocka_unit_test(nonsense_breaks_the_stream))
