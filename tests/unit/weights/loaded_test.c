/* A subscriber whose model holds weights that it loaded itself: what comes, and what need not. */
#include "loopback_ring.h"
#include "svc/security.h"

/* What generator 0 loaded: of this version. Counts how often it is asked for it; the first
 * `failing` times it cannot be read. */
struct loaded {
    const struct ring *ring;
    uint64_t version;
    int asked, failing;
    struct digest digest;
};

static err_t give_values(void *arg, uint16_t *ret)
{
    struct loaded *loaded = arg;
    if (loaded->asked++ < loaded->failing)
        return err_new(ERR_UNAVAILABLE, "no device answers");
    for (size_t i = 0; i < loaded->ring->elements; i++)
        ret[i] = value_of(loaded->version, i);
    return OK;
}

static void start(struct ring *ring, struct loaded *loaded, uint64_t version)
{
    sparse = true;
    ring_init(ring, THREE_CHUNKS);
    *loaded = (struct loaded){.ring = ring, .version = version};
    SCOPED_MEM uint16_t *values = make_values(ring, version);
    loaded->digest = weights_digest(values, 0, ring->elements);
    subscribe(ring, 0,
              &(struct subscriber_options){
                  .digest = &loaded->digest, .values = give_values, .arg = loaded});
    memcpy(ring->generator[0].values, values, ring->elements * sizeof *values);
}

static struct subscriber_stats stats_of(const struct ring *ring)
{
    return subscriber_stats(ring->generator[0].subscriber);
}

static void settle(struct ring *ring, uint64_t version)
{
    publish(ring, version);
    until(ring, all_have_newest);
}

static void what_was_loaded_does_not_come(void **state)
{
    (void)state;
    struct ring ring;
    struct loaded loaded;
    start(&ring, &loaded, 1);
    settle(&ring, 1);
    struct publisher_stats sent = publisher_stats(ring.publisher);
    assert_true(sent.same == 1 && sent.sent == 1 && sent.full == 0 && sent.bytes < 100);
    assert_true(stats_of(&ring).same == 1 && stats_of(&ring).bytes == 0);
    assert_int_equal(ring.generator[0].applied, 1);
    assert_int_equal(ring.settled_version, 1);
    assert_int_equal(loaded.asked, 0); // and it has no array of the values yet
    for (uint64_t version = 2; version <= 4; version++) {
        settle(&ring, version);
        assert_model(&ring.generator[0], version);
    }
    assert_int_equal(loaded.asked, 1);
    sent = publisher_stats(ring.publisher);
    assert_true(sent.full == 0 && sent.deltas == 3);
    publish_broken(&ring, 2, 4, false); // of another lineage: comes whole
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 4);
    assert_int_equal(stats_of(&ring).full, 1);
    settle(&ring, 5);
    assert_model(&ring.generator[0], 5);
    assert_int_equal(stats_of(&ring).mismatches, 0);
    ring_done(&ring);
}

static void what_was_not_loaded_comes_whole(void **state)
{
    (void)state;
    struct ring ring;
    struct loaded loaded;
    start(&ring, &loaded, 1);
    settle(&ring, 3);
    assert_model(&ring.generator[0], 3);
    assert_true(stats_of(&ring).same == 0 && stats_of(&ring).full == 1);
    settle(&ring, 4);
    assert_model(&ring.generator[0], 4);
    assert_true(stats_of(&ring).changes == 1 && loaded.asked == 0);
    ring_done(&ring);
}

/* The stream goes down with the error, and the next one has what is lacking. */
static void what_cannot_be_read_is_told(void **state)
{
    (void)state;
    struct ring ring;
    struct loaded loaded;
    start(&ring, &loaded, 1);
    settle(&ring, 1);
    loaded.failing = 2;
    publish(&ring, 2);
    until(&ring, is_down);
    assert_int_equal(ring.generator[0].why, ERR_UNAVAILABLE);
    assert_int_equal(ring.generator[0].applied, 1);
    until(&ring, all_have_newest);
    assert_model(&ring.generator[0], 2);
    assert_int_equal(loaded.asked, 3);
    assert_int_equal(stats_of(&ring).mismatches, 0);
    ring_done(&ring);
}

/* The stream breaks before anything was published, and after the version was found to be there. */
static void a_break_changes_nothing(void **state)
{
    (void)state;
    struct ring ring;
    struct loaded loaded;
    start(&ring, &loaded, 1);
    settle(&ring, 1);
    const int port = rpc_server_port(ring.server);
    stop_serving(&ring);
    free(ring.published);
    ring.published = NULL;
    until(&ring, is_down);
    serve(&ring, port); // a learner that restarts at the same version
    settle(&ring, 1);
    assert_int_equal(publisher_stats(ring.publisher).sent, 0); // it has it
    settle(&ring, 2);
    assert_model(&ring.generator[0], 2);
    assert_int_equal(loaded.asked, 1);
    ring_done(&ring);
}

/* Said to be here, though it is another: nothing may be served as that version. */
static void say_same(struct rpc_call *call, struct rpc_message *, const struct ProtobufCMessage *,
                     void *user)
{
    const struct manifest *manifest = user;
    SCOPED(rpc_message) message = manifest_message(manifest);
    rpc_call_send_message(call, message);
}

static void what_is_said_to_be_here_is_checked(void **state)
{
    (void)state;
    static const struct manifest wrong[] = {
        {1, 1, 1, WEIGHTS_SAME, THREE_CHUNKS, {{7}}, 0, 0, 0, false}, // another digest
        {1, 1, 1, WEIGHTS_SAME, SMALL, {{0}}, 0, 0, 0, false},        // another size
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ring ring;
        struct loaded loaded;
        struct manifest manifest = wrong[i];
        const struct rpc_method methods[] = {{"/rlhfd.v1.Weights/Subscribe",
                                              NULL,
                                              NULL,
                                              RPC_BIDI,
                                              CALLER_ANY,
                                              {.message = say_same},
                                              0},
                                             {0}};
        struct rpc_service services[] = {{methods, &manifest}};
        sparse = true;
        ring_init(&ring, THREE_CHUNKS);
        rpc_server_free(ring.server);
        assert_ok(rpc_server_start(
            ring.rpc,
            &(struct rpc_server_options){.address = "127.0.0.1:0", RPC_SERVICES(services)},
            &ring.server));
        snprintf(ring.target, sizeof ring.target, "127.0.0.1:%d", rpc_server_port(ring.server));
        loaded = (struct loaded){.ring = &ring};
        subscribe(&ring, 0,
                  &(struct subscriber_options){
                      .digest = &loaded.digest, .values = give_values, .arg = &loaded});
        until(&ring, is_down);
        assert_int_equal(ring.generator[0].why, ERR_INVALID);
        assert_int_equal(ring.generator[0].applied, 0);
        ring_done(&ring);
    }
}

TESTS(cmocka_unit_test(what_was_loaded_does_not_come),
      cmocka_unit_test(what_was_not_loaded_comes_whole),
      cmocka_unit_test(what_cannot_be_read_is_told), cmocka_unit_test(a_break_changes_nothing),
      cmocka_unit_test(what_is_said_to_be_here_is_checked))
