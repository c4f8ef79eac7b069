/* Deltas and jumps from a publisher to subscribers: who gets what, what a break costs, and what
 * happens to wrong ones. */
#include "loopback_ring.h"
#include "svc/security.h"
#include "weights/codec/deltachunk.h"

static void start(struct ring *ring, size_t elements, const struct publisher_options *options)
{
    sparse = true;
    ring_init_with(ring, elements, options);
}

static struct subscriber_stats stats_of(const struct ring *ring, int i)
{
    return subscriber_stats(ring->generator[i].subscriber);
}

static void settle(struct ring *ring, uint64_t version)
{
    publish(ring, version);
    until(ring, all_have_newest);
}

/* The network breaks; the learner goes on. */
static int cut(struct ring *ring)
{
    const int port = rpc_server_port(ring->server);
    rpc_server_free(ring->server);
    ring->server = NULL;
    return port;
}

static void mend(struct ring *ring, int port)
{
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    struct rpc_service services[] = {publisher_service(ring->publisher)};
    const struct rpc_server_options server = {.address = address, RPC_SERVICES(services)};
    assert_ok(rpc_server_start(ring->rpc, &server, &ring->server));
}

static void what_changed_is_sent_alone(void **state)
{
    (void)state;
    struct ring ring;
    start(&ring, THREE_CHUNKS, &(struct publisher_options){0});
    subscribe(&ring, 0, &(struct subscriber_options){0});
    settle(&ring, 1);
    const uint64_t full = publisher_stats(ring.publisher).bytes;
    for (uint64_t version = 2; version <= 6; version++)
        settle(&ring, version);
    subscribe(&ring, 1, &(struct subscriber_options){0}); // joins late
    until(&ring, all_have_newest);
    settle(&ring, 7);
    for (int i = 0; i < 2; i++) {
        assert_model(&ring.generator[i], 7);
        assert_int_equal(stats_of(&ring, i).full, 1);
        assert_int_equal(stats_of(&ring, i).changes, i ? 1 : 6);
        assert_int_equal(stats_of(&ring, i).mismatches, 0);
    }
    const struct publisher_stats stats = publisher_stats(ring.publisher);
    assert_true(stats.full == 2 && stats.deltas == 7 && stats.jumps == 0 && stats.unusable == 0);
    assert_true((stats.bytes - 2 * full) / 7 < full / 60); // a hundredth changed
    ring_done(&ring);
}

/* Publishes these values, and sees them come. */
static void pass(struct ring *ring, uint64_t version, uint16_t *values)
{
    struct generator *generator = &ring->generator[0];
    SCOPED_MEM uint16_t *copy = mem_copy(values, ring->elements * sizeof *values);
    publish_values(ring, 1, version, values, weights_digest(values, 0, ring->elements));
    while (!subscriber_take(generator->subscriber, &generator->manifest, &generator->taken))
        run_for(ring, 1);
    assert_int_equal(generator->manifest.version, version);
    assert_memory_equal(generator->taken, copy, ring->elements * sizeof *copy);
    subscriber_applied(generator->subscriber);
}

static void nothing_and_everything_changed(void **state)
{
    (void)state;
    struct ring ring;
    start(&ring, SMALL, &(struct publisher_options){0});
    ring.generator[0].holds_back = true;
    subscribe(&ring, 0, &(struct subscriber_options){0});
    pass(&ring, 1, make_values(&ring, 1));
    pass(&ring, 2, make_values(&ring, 1));
    assert_int_equal(ring.generator[0].manifest.kind, WEIGHTS_DELTA);
    uint16_t *other = make_values(&ring, 1);
    for (size_t i = 0; i < ring.elements; i++)
        other[i] ^= 0x1234;
    pass(&ring, 3, other);
    assert_int_equal(ring.generator[0].manifest.kind, WEIGHTS_FULL); // it takes no more
    assert_int_equal(publisher_stats(ring.publisher).unusable, 1);
    pass(&ring, 4, make_values(&ring, 1));
    assert_int_equal(publisher_stats(ring.publisher).full, 3);
    ring_done(&ring);
}

static void who_was_away_jumps(void **state)
{
    (void)state;
    struct ring ring;
    start(&ring, THREE_CHUNKS, &(struct publisher_options){0});
    subscribe(&ring, 0, &(struct subscriber_options){0});
    settle(&ring, 1);
    settle(&ring, 2);
    const int port = cut(&ring);
    for (uint64_t version = 3; version <= 9; version++)
        publish(&ring, version);
    mend(&ring, port);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 9);
    assert_int_equal(ring.generator[0].applied, 3);
    assert_int_equal(publisher_stats(ring.publisher).jumps, 1);
    settle(&ring, 10);
    assert_model(&ring.generator[0], 10);
    assert_int_equal(publisher_stats(ring.publisher).full, 1);
    ring_done(&ring);
}

static void who_was_away_long_gets_all(void **state)
{
    (void)state;
    struct ring ring;
    start(&ring, SMALL, &(struct publisher_options){0});
    subscribe(&ring, 0, &(struct subscriber_options){0});
    settle(&ring, 1);
    const int port = cut(&ring);
    for (uint64_t version = 2; version <= 90; version++)
        publish(&ring, version);
    mend(&ring, port);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 90);
    const struct publisher_stats stats = publisher_stats(ring.publisher);
    assert_true(stats.full == 2 && stats.jumps == 0 && stats.deltas == 0);
    ring_done(&ring);
}

static void another_lineage_comes_whole(void **state)
{
    (void)state;
    struct ring ring;
    start(&ring, SMALL, &(struct publisher_options){0});
    subscribe(&ring, 0, &(struct subscriber_options){0});
    for (uint64_t version = 1; version <= 4; version++)
        settle(&ring, version);
    publish_broken(&ring, 2, 3, false); // rolled back
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 3);
    assert_int_equal(stats_of(&ring, 0).full, 2);
    publish_broken(&ring, 2, 4, false);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 4);
    assert_int_equal(stats_of(&ring, 0).full, 2);
    ring_done(&ring);
}

static void who_holds_back_comes_after(void **state)
{
    (void)state;
    struct ring ring;
    start(&ring, THREE_CHUNKS, &(struct publisher_options){0});
    struct generator *slow = &ring.generator[0];
    slow->holds_back = true;
    subscribe(&ring, 0, &(struct subscriber_options){0});
    publish(&ring, 1);
    while (!subscriber_take(slow->subscriber, &slow->manifest, &slow->taken))
        run_for(&ring, 1);
    for (uint64_t version = 2; version <= 12; version++) {
        publish(&ring, version);
        run_for(&ring, 2);
    }
    for (size_t i = 0; i < ring.elements; i++) // nothing is written into what is taken
        if (slow->taken[i] != value_of(1, i))
            fail_msg("element %zu changed while it was taken", i);
    while (!all_have_newest(&ring)) {
        if (slow->taken)
            apply(slow);
        run_for(&ring, 1);
        subscriber_take(slow->subscriber, &slow->manifest, &slow->taken);
    }
    assert_model(slow, 12);
    assert_int_equal(stats_of(&ring, 0).full, 1);
    ring_done(&ring);
}

/* ---- breaks */

static bool is_under_way(struct ring *ring)
{
    const struct subscriber_stats stats = stats_of(ring, 0);
    return stats.bytes > 4 * WEIGHTS_CHUNK * sizeof(uint16_t) || stats.versions > 0;
}

static void a_break_in_the_middle_costs_no_chunk_twice(void **state)
{
    (void)state;
    enum { CHUNKS = 40, ELEMENTS = CHUNKS * WEIGHTS_CHUNK + 64 };
    struct ring ring;
    start(&ring, ELEMENTS, &(struct publisher_options){0});
    publish(&ring, 1);
    subscribe(&ring, 0, &(struct subscriber_options){0});
    until(&ring, is_under_way);
    const int port = cut(&ring);
    if (stats_of(&ring, 0).versions) { // it was too quick for us
        ring_done(&ring);
        skip();
    }
    mend(&ring, port);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 1);
    assert_int_equal(stats_of(&ring, 0).resumed, 1);
    assert_int_equal(publisher_stats(ring.publisher).resumed, 1);
    assert_int_equal(stats_of(&ring, 0).bytes, ELEMENTS * sizeof(uint16_t));
    ring_done(&ring);
}

/* A learner whose stream breaks after the first chunk of a delta: version 1 whole, then a part of
 * version 2. */
struct breaker {
    struct snapshot *full, *delta;
    int calls;
};

static void send_from(struct rpc_call *call, struct snapshot *snapshot, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        rpc_call_send_message(call, snapshot_message(snapshot, i, true));
}

static void break_off(struct rpc_call *call, struct rpc_message *message,
                      const struct ProtobufCMessage *, void *user)
{
    struct breaker *breaker = user;
    SCOPED_VALUE(subscription) hello = {0};
    assert_ok(subscription_decode(rpc_message_data(message), rpc_message_len(message), &hello));
    if (!hello.run)
        return;
    const size_t chunks = snapshot_messages(breaker->delta);
    if (++breaker->calls == 1) {
        assert_false(hello.has || hello.has_partial);
        send_from(call, breaker->full, 0, snapshot_messages(breaker->full));
        send_from(call, breaker->delta, 0, 3);
        rpc_call_finish(call, err_new(ERR_UNAVAILABLE, "gone"));
        return;
    }
    assert_true(hello.has && hello.has_version == 1 && hello.has_partial);
    assert_true(manifest_same(&hello.partial, snapshot_manifest(breaker->delta)));
    assert_int_equal(hello.partial_chunks, 2);
    struct manifest manifest = *snapshot_manifest(breaker->delta);
    manifest.first_chunk = hello.partial_chunks;
    SCOPED(rpc_message) going_on = manifest_message(&manifest);
    rpc_call_send_message(call, going_on);
    send_from(call, breaker->delta, 3, chunks);
}

static bool second_is_applied(struct ring *ring)
{
    return ring->generator[0].applied && ring->generator[0].manifest.version == 2;
}

static void a_delta_goes_on_after_a_break(void **state)
{
    (void)state;
    enum { ELEMENTS = 4 << 20 };
    struct ring ring;
    start(&ring, ELEMENTS, &(struct publisher_options){0});
    SCOPED_MEM uint16_t *old = make_values(&ring, 1);
    sparse = false;
    SCOPED_MEM uint16_t *now = make_values(&ring, 2);
    struct delta *delta = delta_encode(ring.layout, old, now);
    struct manifest manifest = {.lineage = 1, .version = 1, .elements = ELEMENTS};
    struct breaker breaker = {0};
    manifest.digest = weights_digest(old, 0, ELEMENTS);
    breaker.full = snapshot_new(&manifest, old);
    manifest.digest = weights_digest(now, 0, ELEMENTS);
    manifest.version = 2;
    manifest.kind = WEIGHTS_DELTA;
    manifest.base = 1;
    breaker.delta = snapshot_of_delta(&manifest, delta);
    assert_true(snapshot_messages(breaker.delta) > 4);

    const struct rpc_method methods[] = {{"/rlhfd.v1.Weights/Subscribe",
                                          NULL,
                                          NULL,
                                          RPC_BIDI,
                                          CALLER_ANY,
                                          {.message = break_off},
                                          0},
                                         {0}};
    struct rpc_service services[] = {{methods, &breaker}};
    const struct rpc_server_options server = {.address = "127.0.0.1:0", RPC_SERVICES(services)};
    rpc_server_free(ring.server);
    assert_ok(rpc_server_start(ring.rpc, &server, &ring.server));
    snprintf(ring.target, sizeof ring.target, "127.0.0.1:%d", rpc_server_port(ring.server));
    ring.generator[0].holds_back = true; // the two versions differ in how they are made
    subscribe(&ring, 0, &(struct subscriber_options){0});
    struct generator *generator = &ring.generator[0];
    while (stats_of(&ring, 0).versions < 2)
        run_for(&ring, 1);
    assert_true(subscriber_take(generator->subscriber, &generator->manifest, &generator->taken));
    apply(generator);
    assert_true(second_is_applied(&ring));
    assert_model(generator, 2);
    assert_int_equal(stats_of(&ring, 0).resumed, 1);
    assert_int_equal(breaker.calls, 2);
    rpc_server_free(ring.server);
    ring.server = NULL;
    snapshot_free(breaker.full);
    snapshot_free(breaker.delta);
    ring_done(&ring);
}

/* ---- wrong ones */

/* A delta that says what it should but does something else. */
static void publish_wrong_delta(struct ring *ring, uint64_t version)
{
    uint16_t *values = make_values(ring, version);
    const struct manifest manifest = {.lineage = 1,
                                      .version = version,
                                      .elements = ring->elements,
                                      .digest = weights_digest(values, 0, ring->elements)};
    struct delta *delta = delta_encode(ring->layout, ring->published, values);
    struct bytes *chunk = &delta->chunk[0];
    assert_int_equal(chunk->data[chunk->len - 1], 2); // a step of +1
    chunk->data[chunk->len - 1] = 4;
    publisher_publish(ring->publisher, snapshot_new(&manifest, values), delta);
    free(ring->published);
    ring->published = values;
}

static void a_wrong_delta_poisons_until_all_has_come(void **state)
{
    (void)state;
    struct ring ring;
    start(&ring, SMALL, &(struct publisher_options){0});
    subscribe(&ring, 0, &(struct subscriber_options){0});
    settle(&ring, 1);
    settle(&ring, 2);
    publish_wrong_delta(&ring, 3);
    until(&ring, all_have_newest);
    const struct generator *generator = &ring.generator[0];
    assert_int_equal(generator->poisoned, 1);
    assert_int_equal(generator->why, ERR_DATA_LOSS);
    assert_non_null(strstr(generator->text, "weights of version 3 have digest"));
    assert_int_equal(generator->manifest.kind, WEIGHTS_FULL);
    assert_model(generator, 3);
    settle(&ring, 4);
    assert_int_equal(generator->manifest.kind, WEIGHTS_DELTA);
    assert_model(generator, 4);
    assert_int_equal(generator->poisoned, 1);
    ring_done(&ring);
}

static bool has_verified(struct ring *ring)
{
    return stats_of(ring, 0).verified > 0;
}

static bool is_poisoned(struct ring *ring)
{
    return ring->generator[0].poisoned > 0;
}

/* The publisher may not have seen the stream end yet: what it says of holders does not count. */
static bool all_came_again(struct ring *ring)
{
    return stats_of(ring, 0).full == 2 && ring->generator[0].manifest.kind == WEIGHTS_FULL;
}

static void anchors_find_what_changed_in_memory(void **state)
{
    (void)state;
    struct ring ring;
    start(&ring, THREE_CHUNKS, &(struct publisher_options){.anchor_every = 4});
    struct generator *generator = &ring.generator[0];
    subscribe(&ring, 0, &(struct subscriber_options){0});
    for (uint64_t version = 1; version <= 4; version++)
        settle(&ring, version);
    settle(&ring, 5); // while the values are being summed up
    until(&ring, has_verified);
    assert_int_equal(stats_of(&ring, 0).poisoned, 0);

    generator->holds_back = true;
    publish(&ring, 6);
    while (!subscriber_take(generator->subscriber, &generator->manifest, &generator->taken))
        run_for(&ring, 1);
    const uint16_t *memory = generator->taken;
    apply(generator);
    generator->holds_back = false;
    generator->faulty = true;
    ((uint16_t *)memory)[40] ^= 1; // a bit flips where no change comes by
    settle(&ring, 7);
    assert_int_equal(generator->poisoned, 0);
    publish(&ring, 8);
    until(&ring, is_poisoned);
    assert_non_null(strstr(generator->text, "summed up in memory"));
    until(&ring, all_came_again);
    assert_model(generator, 8);
    ring_done(&ring);
}

/* ---- many, and far away */

static int most_at_once(int limit)
{
    struct ring ring;
    start(&ring, LARGE, &(struct publisher_options){.full_at_once = limit});
    for (int i = 0; i < SUBSCRIBERS; i++)
        subscribe(&ring, i, &(struct subscriber_options){0});
    while (publisher_holders(ring.publisher, NULL, 0) < SUBSCRIBERS)
        run_for(&ring, 1);
    publish(&ring, 1);
    until(&ring, all_have_newest);
    for (int i = 0; i < SUBSCRIBERS; i++)
        assert_model(&ring.generator[i], 1);
    const struct publisher_stats stats = publisher_stats(ring.publisher);
    assert_int_equal(stats.full, SUBSCRIBERS);
    assert_int_equal(stats.full_now, 0);
    ring_done(&ring);
    return stats.full_most;
}

static void a_storm_of_joiners_waits_in_turn(void **state)
{
    (void)state;
    assert_int_equal(most_at_once(1), 1);
    assert_int_equal(most_at_once(3), 3);
    assert_int_equal(most_at_once(100), SUBSCRIBERS);
}

static uint64_t bytes_of_delta(enum publisher_compress compress)
{
    struct ring ring;
    start(&ring, THREE_CHUNKS, &(struct publisher_options){.compress = compress});
    subscribe(&ring, 0, &(struct subscriber_options){0});
    settle(&ring, 1);
    const uint64_t before = publisher_stats(ring.publisher).bytes;
    settle(&ring, 2);
    const uint64_t bytes = publisher_stats(ring.publisher).bytes - before;
    assert_model(&ring.generator[0], 2);
    ring_done(&ring);
    return bytes;
}

static void compression_is_a_setting(void **state)
{
    (void)state;
    const uint64_t plain = bytes_of_delta(PUBLISHER_PLAIN);
    assert_int_equal(bytes_of_delta(PUBLISHER_AUTO), plain); // loopback
    assert_true(bytes_of_delta(PUBLISHER_ZSTD) < plain / 2);
}

TESTS(cmocka_unit_test(what_changed_is_sent_alone),
      cmocka_unit_test(nothing_and_everything_changed), cmocka_unit_test(who_was_away_jumps),
      cmocka_unit_test(who_was_away_long_gets_all), cmocka_unit_test(another_lineage_comes_whole),
      cmocka_unit_test(who_holds_back_comes_after),
      cmocka_unit_test(a_break_in_the_middle_costs_no_chunk_twice),
      cmocka_unit_test(a_delta_goes_on_after_a_break),
      cmocka_unit_test(a_wrong_delta_poisons_until_all_has_come),
      cmocka_unit_test(anchors_find_what_changed_in_memory),
      cmocka_unit_test(a_storm_of_joiners_waits_in_turn),
      cmocka_unit_test(compression_is_a_setting))
