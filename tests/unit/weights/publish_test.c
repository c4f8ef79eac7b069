/* Versions from a publisher to subscribers. */
#include "loopback_ring.h"

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
    for (int i = 0; i < 2; i++) {
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
    return subscriber_take(generator->subscriber, &generator->manifest, &generator->taken);
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
    /* The one taken, the one complete, what the queue and the transport's windows (16 MiB at most)
     * held, the newest. */
    assert_true(slow->applied < 10);
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
    const uint16_t *values;
    assert_false(subscriber_take(ring.generator[0].subscriber, &none, &values)); // one at a time
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
    publish(&ring, 4);
    until(&ring, all_have_newest);
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

/* Another learner at the same address, as after a start from a backup; the generators live on. */
static void replace_learner(struct ring *ring)
{
    const int port = rpc_server_port(ring->server);
    stop_serving(ring);
    ring->publisher = NULL;
    ring->server = NULL;
    until(ring, is_down);
    serve(ring, port);
}

static void a_learner_that_went_back_replaces_what_it_has_lost(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring, THREE_CHUNKS);
    subscribe(&ring, 0, &(struct subscriber_options){0});
    publish(&ring, 4);
    until(&ring, all_have_newest);
    replace_learner(&ring);
    publish(&ring, 3);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 3);
    assert_int_equal(publisher_stats(ring.publisher).full, 1);
    ring_done(&ring);
}

/* The number was made twice, with other weights. */
static void other_weights_of_the_same_version_are_replaced(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring, THREE_CHUNKS);
    subscribe(&ring, 0, &(struct subscriber_options){0});
    publish(&ring, 4);
    until(&ring, all_have_newest);
    ring.generator[0].holds_back = true;
    replace_learner(&ring);
    uint16_t *values = make_values(&ring, 8);
    publish_values(&ring, 1, 4, values, weights_digest(values, 0, ring.elements));
    until(&ring, one_is_staged);
    assert_int_equal(ring.generator[0].manifest.version, 4);
    assert_memory_equal(ring.generator[0].taken, values, 2 * ring.elements);
    ring_done(&ring);
}

static bool nobody_waits(struct ring *ring)
{
    return ring->generator[0].applied > 0 && ring->generator[0].manifest.version == 6;
}

/* It is behind others at times; but what its own source has lost is lost below it, too. */
static void a_relay_leaves_later_versions_alone_unless_they_are_lost(void **state)
{
    (void)state;
    struct ring ring;
    ring_init_with(&ring, SMALL, &(struct publisher_options){.passes_on = true});
    publish(&ring, 3);
    subscribe(&ring, 0, &(struct subscriber_options){.holds = true, .lineage = 1, .version = 5});
    while (publisher_holders(ring.publisher, NULL, 0) == 0)
        run_for(&ring, 5);
    run_for(&ring, 50);
    assert_int_equal(publisher_stats(ring.publisher).sent, 0);
    publish(&ring, 6);
    until(&ring, nobody_waits);
    publish(&ring, 2);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 2);
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
    SCOPED(layout) other = layout_new();
    layout_add(other, "head", SMALL, 0);
    refused(&(struct subscriber_options){.layout = other}, ERR_PRECONDITION,
            "generator 'generator-0' has a model of layout ");
    refused(&(struct subscriber_options){.layout = other}, ERR_PRECONDITION,
            ": names, shapes or order");
    refused(&(struct subscriber_options){.run = "sort-2"}, ERR_PRECONDITION,
            "generator 'generator-0' is of run 'sort-2'; this learner's is 'sort-1'");
}

static bool the_second_was_replaced(struct ring *ring)
{
    return ring->generator[1].downs > 0 && ring->generator[2].ups > 0;
}

/* A learner that went back to a checkpoint evaluates a version before the one that a generator
 * holds. */
static void evaluated_weights_go_to_whoever_holds_another_version(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring, SMALL);
    stop_serving(&ring);
    ring.evaluated = true;
    serve(&ring, 0);
    subscribe(
        &ring, 0,
        &(struct subscriber_options){.evaluated = true, .holds = true, .lineage = 1, .version = 9});
    publish(&ring, 4);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 4);
    subscribe(
        &ring, 1,
        &(struct subscriber_options){.evaluated = true, .holds = true, .lineage = 1, .version = 4});
    until(&ring, all_have_newest);
    assert_int_equal(ring.generator[1].applied, 0);
    publish(&ring, 9);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 9);
    assert_model(&ring.generator[1], 9);
    ring_done(&ring);
}

/* Numbers of processes have no order: two of one name both get weights, and one that comes again
 * takes its own place. */
static void a_process_takes_the_place_of_its_own_stream_alone(void **state)
{
    (void)state;
    struct ring ring;
    struct holder holder[2];
    ring_init(&ring, SMALL);
    publish(&ring, 1);
    subscribe(&ring, 0, &(struct subscriber_options){.generator = "g", .incarnation = UINT64_MAX});
    until(&ring, all_have_newest);
    subscribe(&ring, 1, &(struct subscriber_options){.generator = "g", .incarnation = 1});
    until(&ring, all_have_newest);
    assert_int_equal(publisher_holders(ring.publisher, holder, 2), 2);
    assert_int_equal(ring.generator[0].downs, 0);
    assert_int_equal(ring.generator[1].downs, 0);
    subscribe(&ring, 2, &(struct subscriber_options){.generator = "g", .incarnation = 1});
    until(&ring, the_second_was_replaced);
    assert_non_null(strstr(ring.generator[1].text, "generator 'g' came again"));
    assert_int_equal(ring.generator[0].downs, 0);
    ring_done(&ring);
}

TESTS(cmocka_unit_test(every_version_reaches_every_subscriber),
      cmocka_unit_test(a_slow_subscriber_skips_versions_and_holds_nobody_up),
      cmocka_unit_test(what_is_staged_and_not_taken_is_replaced),
      cmocka_unit_test(a_wrong_digest_is_dropped_and_asked_for_again),
      cmocka_unit_test(a_restarted_learner_finds_its_subscribers_again),
      cmocka_unit_test(a_learner_that_went_back_replaces_what_it_has_lost),
      cmocka_unit_test(other_weights_of_the_same_version_are_replaced),
      cmocka_unit_test(a_relay_leaves_later_versions_alone_unless_they_are_lost),
      cmocka_unit_test(the_model_it_begins_with_counts),
      cmocka_unit_test(another_model_or_run_is_refused),
      cmocka_unit_test(evaluated_weights_go_to_whoever_holds_another_version),
      cmocka_unit_test(a_process_takes_the_place_of_its_own_stream_alone))
