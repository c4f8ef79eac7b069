/* Publisher and subscribers over real gRPC on loopback, in one process. */
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/stream.h"
#include "svc/loop.h"
#include "testing/testing.h"
#include "weights/digest.h"
#include "weights/publisher.h"
#include "weights/subscriber.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 1000,
    THREE_CHUNKS = 2 * WEIGHTS_CHUNK + 77,
    LARGE = 8 * WEIGHTS_CHUNK + 1,
    SUBSCRIBERS = 2
};

/* What one generator does with its versions, and what it saw. */
struct generator {
    struct subscriber *subscriber;
    bool holds_back;  // takes a version, and applies it only when the test says so
    uint16_t *values; // its model
    size_t elements;
    const uint16_t *taken;
    struct manifest manifest; // taken or applied
    int applied, ups, downs;
    uint64_t order[64]; // versions in the order applied
    enum err_code why;
    char text[512];
};

struct ring {
    struct loop *loop;
    struct rpc *rpc;
    struct publisher *publisher;
    struct rpc_server *server;
    size_t elements;
    char target[64];
    struct generator generator[SUBSCRIBERS];
    int settled;
    uint64_t settled_version;
    double settled_ms;
    bool (*done)(struct ring *);
    int64_t give_up_ms, until_ms;
};

/* ---- the learner */

static const struct digest layout = {{1, 2, 3}};

static void settled(const struct manifest *manifest, double ms, void *user)
{
    struct ring *ring = user;
    ring->settled++;
    ring->settled_version = manifest->version;
    ring->settled_ms = ms;
}

static void serve(struct ring *ring, int port)
{
    const struct publisher_options options = {.run = "sort-1",
                                              .layout = layout,
                                              .elements = ring->elements,
                                              .settled = settled,
                                              .user = ring};
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    assert_ok(publisher_new(&options, &ring->publisher));
    struct rpc_service services[] = {publisher_service(ring->publisher)};
    const struct rpc_server_options server = {.address = address, RPC_SERVICES(services)};
    assert_ok(rpc_server_start(ring->rpc, &server, &ring->server));
    snprintf(ring->target, sizeof ring->target, "127.0.0.1:%d", rpc_server_port(ring->server));
}

static void stop_serving(struct ring *ring)
{
    rpc_server_free(ring->server);
    publisher_free(ring->publisher);
}

/* Version v's element i. */
static uint16_t value_of(uint64_t version, size_t i)
{
    return (uint16_t)(version * 7919 + i * 31 + (i >> 16));
}

static void publish_broken(struct ring *ring, uint32_t lineage, uint64_t version, bool broken)
{
    SCOPED_MEM uint16_t *values = mem_array(ring->elements, sizeof *values);
    for (size_t i = 0; i < ring->elements; i++)
        values[i] = value_of(version, i);
    struct manifest manifest = {lineage,        version,
                                version,        WEIGHTS_FULL,
                                ring->elements, weights_digest(values, 0, ring->elements)};
    if (broken) // one value changes on the way
        values[ring->elements - 3] ^= 4;
    publisher_publish(ring->publisher, snapshot_new(&manifest, values));
}

static void publish(struct ring *ring, uint64_t version)
{
    publish_broken(ring, 1, version, false);
}

/* ---- the generators */

static void apply(struct generator *generator)
{
    memcpy(generator->values, generator->taken, generator->elements * sizeof *generator->values);
    for (size_t i = 0; i < generator->elements; i += generator->elements / 997 + 1)
        assert_int_equal(generator->values[i], value_of(generator->manifest.version, i));
    generator->order[generator->applied++ % 64] = generator->manifest.version;
    generator->taken = NULL;
    subscriber_applied(generator->subscriber);
}

static void staged(struct subscriber *subscriber, const struct manifest *manifest, void *user)
{
    struct generator *generator = user;
    assert_int_equal(manifest->kind, WEIGHTS_FULL);
    if (generator->holds_back)
        return;
    generator->taken = subscriber_take(subscriber, &generator->manifest);
    assert_non_null(generator->taken);
    assert_int_equal(generator->manifest.version, manifest->version);
    apply(generator);
}

static void down(struct subscriber *, err_t why, void *user)
{
    struct generator *generator = user;
    generator->downs++;
    generator->why = err_code(why);
    snprintf(generator->text, sizeof generator->text, "%s", err_message(why));
    err_free(why);
}

static void up(struct subscriber *, void *user)
{
    ((struct generator *)user)->ups++;
}

static void subscribe(struct ring *ring, int i, const struct subscriber_options *changes)
{
    static const struct subscriber_handlers handlers = {.staged = staged, .down = down, .up = up};
    struct subscriber_options options = *changes;
    options.target = ring->target;
    options.run = options.run ? options.run : "sort-1";
    options.generator = options.generator ? options.generator : i ? "generator-1" : "generator-0";
    options.elements = options.elements ? options.elements : ring->elements;
    options.backoff_min_ms = 20;
    options.backoff_max_ms = 50;
    if (digest_equal(&options.layout, &(struct digest){0}))
        options.layout = layout;
    struct generator *generator = &ring->generator[i];
    generator->elements = options.elements;
    generator->values = mem_array(options.elements, sizeof *generator->values);
    assert_ok(subscriber_open(ring->rpc, &options, &handlers, generator, &generator->subscriber));
}

/* ---- running */

static void ring_init(struct ring *ring, size_t elements)
{
    *ring = (struct ring){.elements = elements};
    assert_ok(loop_new(&ring->loop));
    assert_ok(rpc_new(ring->loop, &ring->rpc));
    serve(ring, 0);
}

static void ring_done(struct ring *ring)
{
    for (int i = 0; i < SUBSCRIBERS; i++) {
        subscriber_free(ring->generator[i].subscriber);
        free(ring->generator[i].values);
    }
    stop_serving(ring);
    rpc_free(ring->rpc);
    loop_free(ring->loop);
}

static void poll(void *arg)
{
    struct ring *ring = arg;
    if (ring->done(ring))
        loop_stop(ring->loop);
    else if (clock_ms() > ring->give_up_ms)
        fail_msg("waited in vain");
}

static void until(struct ring *ring, bool (*done)(struct ring *))
{
    ring->done = done;
    ring->give_up_ms = clock_ms() + 60000; // sanitizers on a loaded machine
    SCOPED(loop_timer) timer = loop_timer_new(ring->loop, poll, ring);
    loop_timer_start(timer, 0, 1);
    assert_ok(loop_run(ring->loop));
}

static bool time_is_up(struct ring *ring)
{
    return clock_ms() >= ring->until_ms;
}

static void run_for(struct ring *ring, int ms)
{
    ring->until_ms = clock_ms() + ms;
    until(ring, time_is_up);
}

static bool all_have_newest(struct ring *ring)
{
    const struct manifest *newest = publisher_newest(ring->publisher);
    struct holder holders[8];
    const size_t count = publisher_holders(ring->publisher, holders, 8);
    size_t have = 0, expected = 0;
    for (size_t i = 0; i < count; i++)
        have += holders[i].holds && holders[i].lineage == newest->lineage &&
                holders[i].version == newest->version;
    for (int i = 0; i < SUBSCRIBERS; i++)
        expected += ring->generator[i].subscriber != NULL;
    return have == expected && count == expected;
}

static void assert_model(const struct generator *generator, uint64_t version)
{
    for (size_t i = 0; i < generator->elements; i++)
        if (generator->values[i] != value_of(version, i))
            fail_msg("element %zu is not that of version %llu", i, (unsigned long long)version);
}

/* ---- tests */

static void every_version_reaches_every_subscriber(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring, THREE_CHUNKS);
    subscribe(&ring, 0, &(struct subscriber_options){0});
    publish(&ring, 1);
    until(&ring, all_have_newest);
    subscribe(&ring, 1, &(struct subscriber_options){0}); // joins late
    until(&ring, all_have_newest);
    for (uint64_t version = 2; version <= 3; version++) {
        publish(&ring, version);
        until(&ring, all_have_newest);
        assert_int_equal(ring.settled_version, version);
        assert_true(ring.settled_ms >= 0);
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        assert_model(&ring.generator[i], 3);
        assert_int_equal(ring.generator[i].applied, 3);
        assert_int_equal(subscriber_stats(ring.generator[i].subscriber).mismatches, 0);
    }
    assert_int_equal(ring.settled, 3);
    const struct publisher_stats stats = publisher_stats(ring.publisher);
    assert_int_equal(stats.sent, 6);
    assert_true(stats.bytes >= 6 * 2 * THREE_CHUNKS && stats.bytes < 6 * (2 * THREE_CHUNKS + 300));
    ring_done(&ring);
}

static bool publisher_is_blocked(struct ring *ring)
{
    return publisher_stats(ring->publisher).queued_max_bytes >= RPC_QUEUE_BYTES;
}

static bool one_is_staged(struct ring *ring)
{
    struct generator *generator = &ring->generator[0];
    generator->taken = subscriber_take(generator->subscriber, &generator->manifest);
    return generator->taken != NULL;
}

static void a_slow_subscriber_skips_versions_and_holds_nobody_up(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring, LARGE);
    ring.generator[0].holds_back = true;
    subscribe(&ring, 0, &(struct subscriber_options){0});
    publish(&ring, 1);
    until(&ring, one_is_staged); // and it stays taken
    for (uint64_t version = 2; version <= 20; version++) {
        publish(&ring, version);
        run_for(&ring, 10);
    }
    until(&ring, publisher_is_blocked);
    subscribe(&ring, 1, &(struct subscriber_options){0}); // another is served meanwhile
    while (ring.generator[1].applied == 0 || ring.generator[1].manifest.version != 20)
        run_for(&ring, 5);
    assert_true(publisher_stats(ring.publisher).queued_max_bytes < RPC_QUEUE_BYTES + (2 << 20));
    assert_int_equal(ring.generator[0].applied, 0);
    while (!all_have_newest(&ring)) {
        if (ring.generator[0].taken)
            apply(&ring.generator[0]);
        run_for(&ring, 5);
        one_is_staged(&ring);
    }
    const struct generator *slow = &ring.generator[0];
    assert_int_equal(slow->order[0], 1);
    assert_int_equal(slow->order[slow->applied - 1], 20);
    assert_true(slow->applied <= 5); // taken, complete, underway, newest
    for (int i = 1; i < slow->applied; i++)
        assert_true(slow->order[i] > slow->order[i - 1]);
    assert_model(slow, 20);
    ring_done(&ring);
}

static void what_is_staged_and_not_taken_is_replaced(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring, SMALL);
    ring.generator[0].holds_back = true;
    subscribe(&ring, 0, &(struct subscriber_options){0});
    for (uint64_t version = 1; version <= 5; version++) {
        publish(&ring, version);
        while (subscriber_stats(ring.generator[0].subscriber).versions < version)
            run_for(&ring, 1);
    }
    assert_true(one_is_staged(&ring));
    struct manifest none;
    assert_null(subscriber_take(ring.generator[0].subscriber, &none)); // one at a time
    assert_int_equal(ring.generator[0].manifest.version, 5);
    assert_int_equal(subscriber_stats(ring.generator[0].subscriber).replaced, 4);
    ring_done(&ring);
}

static bool first_mismatch(struct ring *ring)
{
    return subscriber_stats(ring->generator[0].subscriber).mismatches >= 2;
}

static void a_wrong_digest_is_dropped_and_asked_for_again(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring, THREE_CHUNKS);
    subscribe(&ring, 0, &(struct subscriber_options){0});
    publish(&ring, 1);
    until(&ring, all_have_newest);
    publish_broken(&ring, 1, 2, true);
    until(&ring, first_mismatch); // a second one: it asked again
    struct generator *generator = &ring.generator[0];
    assert_int_equal(generator->why, ERR_DATA_LOSS);
    assert_non_null(strstr(generator->text, "weights of version 2 have digest"));
    assert_int_equal(generator->applied, 1); // still serves version 1
    assert_model(generator, 1);
    publish_broken(&ring, 1, 3, false);
    until(&ring, all_have_newest);
    assert_model(generator, 3);
    ring_done(&ring);
}

static bool is_down(struct ring *ring)
{
    return ring->generator[0].downs > 0;
}

static void a_restarted_learner_finds_its_subscribers_again(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring, THREE_CHUNKS);
    subscribe(&ring, 0, &(struct subscriber_options){0});
    publish(&ring, 4);
    until(&ring, all_have_newest);
    const int port = rpc_server_port(ring.server);
    stop_serving(&ring);
    ring.publisher = NULL;
    ring.server = NULL;
    until(&ring, is_down);
    assert_int_equal(ring.generator[0].why, ERR_UNAVAILABLE);
    serve(&ring, port);
    publish(&ring, 3); // its checkpoint is older than what the generator serves: left alone
    while (publisher_holders(ring.publisher, NULL, 0) == 0)
        run_for(&ring, 5);
    run_for(&ring, 50);
    assert_int_equal(publisher_stats(ring.publisher).sent, 0);
    assert_int_equal(ring.generator[0].applied, 1);
    publish(&ring, 5);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 5);
    publish_broken(&ring, 2, 4, false); // another lineage: rolled back
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 4);
    ring_done(&ring);
}

static void the_model_it_begins_with_counts(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring, SMALL);
    publish(&ring, 0);
    subscribe(&ring, 0, &(struct subscriber_options){.holds = true, .lineage = 1, .version = 0});
    until(&ring, all_have_newest);
    run_for(&ring, 50);
    assert_int_equal(publisher_stats(ring.publisher).sent, 0);
    assert_int_equal(ring.settled, 1);
    ring_done(&ring);
}

static void refused(const struct subscriber_options *options, enum err_code code, const char *part)
{
    struct ring ring;
    ring_init(&ring, SMALL);
    publish(&ring, 1);
    subscribe(&ring, 0, options);
    until(&ring, is_down);
    assert_int_equal(ring.generator[0].why, code);
    if (!strstr(ring.generator[0].text, part))
        fail_msg("'%s' is not in '%s'", part, ring.generator[0].text);
    assert_int_equal(ring.generator[0].applied, 0);
    ring_done(&ring);
}

static void another_model_or_run_is_refused(void **state)
{
    (void)state;
    refused(
        &(struct subscriber_options){.layout = {{9}}}, ERR_PRECONDITION,
        "generator 'generator-0' has a model of layout 09000000000000000000000000000000, this learner one of "
        "01020300000000000000000000000000: names, shapes or order");
    refused(&(struct subscriber_options){.run = "sort-2"}, ERR_PRECONDITION,
            "generator 'generator-0' is of run 'sort-2'; this learner's is 'sort-1'");
    refused(&(struct subscriber_options){.elements = SMALL + 1}, ERR_INVALID,
            "weights of version 1 have 1000 elements; the model has 1001");
}

static bool both_are_known(struct ring *ring)
{
    return ring->generator[1].ups > 0 && ring->generator[0].downs > 0 &&
           publisher_holders(ring->publisher, NULL, 0) == 1;
}

static void a_later_incarnation_takes_the_name(void **state)
{
    (void)state;
    struct ring ring;
    struct holder holder;
    ring_init(&ring, SMALL);
    publish(&ring, 1);
    subscribe(&ring, 0, &(struct subscriber_options){.generator = "g", .incarnation = 5});
    until(&ring, all_have_newest);
    subscribe(&ring, 1, &(struct subscriber_options){.generator = "g", .incarnation = 6});
    until(&ring, both_are_known);
    run_for(&ring, 100); // the older one comes again, and is refused
    assert_int_equal(ring.generator[0].why, ERR_ABORTED);
    assert_non_null(strstr(ring.generator[0].text, "a later generator 'g' is here"));
    assert_int_equal(publisher_holders(ring.publisher, &holder, 1), 1);
    assert_int_equal(holder.incarnation, 6);
    assert_int_equal(ring.generator[1].downs, 0);
    ring_done(&ring);
}

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
    assert_true(event.is_chunk && event.first == 7 && event.count == 4);
    rpc_message_free(message);

    const struct manifest odd = {.kind = 2, .elements = 1};
    message = manifest_message(&odd);
    assert_err(ERR_INVALID, "kind is 2", weights_decode(message, &event));
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

/* A learner that sends nonsense: each of these must break the stream, and none may reach a model. */
enum nonsense { CHUNK_FIRST, CHUNK_TWICE, CHUNK_TOO_LONG, CHUNK_EMPTY, NONSENSE };
struct liar {
    enum nonsense kind;
    int calls;
};

static void send_chunk(struct rpc_call *call, uint64_t first, const uint16_t *values, size_t count)
{
    struct rpc_message *message = chunk_message(first, values, count, no_release, NULL);
    rpc_call_send_message(call, message);
    rpc_message_free(message);
}

static void lie(struct rpc_call *call, struct rpc_message *, const struct ProtobufCMessage *,
                void *user)
{
    static const uint16_t values[SMALL + 1];
    struct liar *liar = user;
    const struct manifest manifest = {1, 1, 1, WEIGHTS_FULL, SMALL, {{0}}};
    liar->calls++;
    if (liar->kind != CHUNK_FIRST) {
        struct rpc_message *message = manifest_message(&manifest);
        rpc_call_send_message(call, message);
        rpc_message_free(message);
    }
    if (liar->kind == CHUNK_EMPTY)
        send_chunk(call, 0, values, 0);
    else
        send_chunk(call, 0, values, liar->kind == CHUNK_TOO_LONG ? SMALL + 1 : SMALL / 2);
    if (liar->kind == CHUNK_TWICE)
        send_chunk(call, 0, values, SMALL / 2);
}

static void nonsense_breaks_the_stream(void **state)
{
    (void)state;
    static const char *const says[] = {"a chunk without a manifest", "500 come next",
                                       "0 come next, 1000 are left", "0 come next"};
    for (int kind = 0; kind < NONSENSE; kind++) {
        struct ring ring;
        struct liar liar = {(enum nonsense)kind, 0};
        const struct rpc_method methods[] = {
            {"/rlhfd.v1.Weights/Subscribe", NULL, NULL, RPC_BIDI, {.message = lie}, 0}, {0}};
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

TESTS(cmocka_unit_test(every_version_reaches_every_subscriber),
      cmocka_unit_test(a_slow_subscriber_skips_versions_and_holds_nobody_up),
      cmocka_unit_test(what_is_staged_and_not_taken_is_replaced),
      cmocka_unit_test(a_wrong_digest_is_dropped_and_asked_for_again),
      cmocka_unit_test(a_restarted_learner_finds_its_subscribers_again),
      cmocka_unit_test(the_model_it_begins_with_counts),
      cmocka_unit_test(another_model_or_run_is_refused),
      cmocka_unit_test(a_later_incarnation_takes_the_name),
      cmocka_unit_test(what_is_malformed_is_refused), cmocka_unit_test(nonsense_breaks_the_stream))
