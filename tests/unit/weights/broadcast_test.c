/* Publisher and subscribers with NCCL beside their streams (the stand-in's): what is broadcast, and
 * what of it goes over gRPC. */
#include "gpu/nccl.h"
#include "loopback_ring.h"
#include "rpc/call.h"
#include "weights/broadcast/carry.h"
#include "weights/broadcast/nccl_carrier.h"
#include "weights/carriers.h"
#include "weights/stream/streaming.h"

enum { BUCKET = 512 << 10, MEMBERS = 2 };
static const struct session_limits LIMITS = {100, 1500, 4000, 1500, 700, 300};
static const struct member_limits MEMBER_LIMITS = {10000, 10000, 10000, 5000};

struct stage {
    struct ring ring;
    struct nccl *nccl;
    struct nccl_means means;
    struct carriers carriers;
};

static struct broadcast_stats stats_of(struct ring *ring)
{
    return carry_stats(publisher_carrier(ring->publisher, &carrier_nccl));
}

static bool session_stands(struct ring *ring)
{
    const struct transport_stats stats = stats_of(ring).transport;
    return stats.state == SESSION_STANDING && stats.members == MEMBERS;
}

/* Two generators in a session that stands, with version 1. */
static void stage_open(struct stage *stage, size_t elements)
{
    sparse = true;
    setenv("FAKE_NCCL", "", 1);
    assert_ok(nccl_open(FAKE_NCCL_LIBRARY, FAKE_CUDART_LIBRARY, &stage->nccl));
    stage->means = (struct nccl_means){.nccl = stage->nccl,
                                       .bucket_bytes = BUCKET,
                                       .limits = LIMITS,
                                       .member_limits = MEMBER_LIMITS};
    stage->carriers.means[carriers_index(&carrier_nccl)] = &stage->means;
    struct ring *ring = &stage->ring;
    *ring = (struct ring){.elements = elements, .publishing.carriers = &stage->carriers};
    ring->layout = make_layout(elements);
    assert_ok(loop_new(&ring->loop));
    assert_ok(rpc_new(ring->loop, &ring->rpc));
    stage->means.loop = ring->loop;
    serve(ring, 0);
    for (int i = 0; i < MEMBERS; i++)
        subscribe(ring, i, &(struct subscriber_options){.carriers = &stage->carriers});
    publish(ring, 1);
    until(ring, all_have_newest);
    until(ring, session_stands);
}

static void stage_close(struct stage *stage)
{
    setenv("FAKE_NCCL", "", 1);
    ring_done(&stage->ring);
    assert_false(nccl_is_stuck());
    nccl_free(stage->nccl);
    sparse = false;
}

static void assert_models(struct stage *stage, uint64_t version)
{
    for (int i = 0; i < MEMBERS; i++)
        assert_model(&stage->ring.generator[i], version);
}

/* A value in a hundred changes; each version goes once, as changes. Another lineage has no way
 * there: all values. */
static void changes_are_broadcast_and_all_values_where_there_is_no_way(void **state)
{
    struct stage stage = {0};
    (void)state;
    stage_open(&stage, LARGE);
    struct ring *ring = &stage.ring;
    const uint64_t before = publisher_stats(ring->publisher).bytes;
    for (uint64_t version = 2; version <= 4; version++) {
        publish(ring, version);
        until(ring, all_have_newest);
        until(ring, session_stands); // the answers come after the news
    }
    assert_models(&stage, 4);
    struct broadcast_stats stats = stats_of(ring);
    assert_int_equal(stats.offered, 3);
    assert_int_equal(stats.as_changes, 3);
    assert_int_equal(stats.arrived, 3 * MEMBERS);
    assert_int_equal(stats.transport.counts.carried, 3);
    assert_in_range(stats.transport.bytes, 1, LARGE);                 // a tenth of all values
    assert_int_equal(publisher_stats(ring->publisher).bytes, before); // nothing on the streams
    publish_broken(ring, 2, 5, false);
    until(ring, all_have_newest);
    assert_models(&stage, 5);
    stats = stats_of(ring);
    assert_int_equal(stats.offered, 4);
    assert_int_equal(stats.as_changes, 3);
    for (int i = 0; i < MEMBERS; i++) {
        const struct subscriber_stats at = subscriber_stats(ring->generator[i].subscriber);
        assert_int_equal(at.by_nccl, 4);
        assert_int_equal(at.mismatches, 0);
        assert_int_equal(at.full, 2);
    }
    stage_close(&stage);
}

/* What the manners of one broadcast leave: the rest goes over gRPC, from the chunk at which it
 * ended. */
static void a_broadcast_that_breaks_off_goes_on_over_grpc(void **state)
{
    static const struct {
        const char *manner;
        uint32_t lineage; // 1: changes, 2: all values
        bool poisons;
    } cases[] = {
        {"bcast_hang_at=1", 1, false},
        {"bcast_hang_at=4", 2, false},
        {"bcast_error_at=5,error=2", 2, false},
        {"corrupt_at=1", 1, true},
        {"corrupt_at=3", 2, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage = {0};
        stage_open(&stage, LARGE);
        struct ring *ring = &stage.ring;
        setenv("FAKE_NCCL", cases[i].manner, 1);
        publish_broken(ring, cases[i].lineage, 2, false);
        until(ring, all_have_newest);
        setenv("FAKE_NCCL", "", 1);
        assert_models(&stage, 2);
        if (strstr(cases[i].manner, "hang")) // its first buckets were not sent again
            assert_true(publisher_stats(ring->publisher).bytes <
                        (cases[i].lineage == 1 ? 3 : 4) * LARGE * sizeof(uint16_t));
        const struct broadcast_stats stats = stats_of(ring);
        print_message("%s: %llu came, of %llu the rest went over gRPC, %llu bytes on streams\n",
                      cases[i].manner, (unsigned long long)stats.arrived,
                      (unsigned long long)stats.fallbacks,
                      (unsigned long long)publisher_stats(ring->publisher).bytes);
        assert_int_equal(stats.offered, 1);
        int poisoned = 0;
        for (int g = 0; g < MEMBERS; g++)
            poisoned += ring->generator[g].poisoned;
        if (cases[i].poisons) // who is poisoned leaves, which may cut the other's broadcast off
            assert_int_equal(poisoned + (int)stats.fallbacks, MEMBERS);
        assert_true(cases[i].poisons ? poisoned > 0 : poisoned == 0 && stats.fallbacks > 0);
        publish_broken(ring, cases[i].lineage, 3, false); // whatever stands then
        until(ring, all_have_newest);
        assert_models(&stage, 3);
        stage_close(&stage);
    }
}

/* A publisher that breaks its own order: the buffer that NCCL writes to must not be freed for what
 * is said to come instead. */
static void a_manifest_during_a_broadcast_is_refused(void **state)
{
    struct stage stage = {0};
    (void)state;
    stage_open(&stage, LARGE);
    struct ring *ring = &stage.ring;
    struct manifest changes = *publisher_newest(ring->publisher);
    changes.kind = WEIGHTS_DELTA;
    changes.base = changes.version++;
    changes.chunks = 1;
    setenv("FAKE_NCCL", "bcast_hang_at=4", 1);
    publish_broken(ring, 2, 2, false); // all values: it is announced when this returns
    const struct sending *sending = publisher_carrier(ring->publisher, &carrier_stream);
    for (const struct peer *peer = sending->peers; peer; peer = peer->next) {
        SCOPED(rpc_message) message = manifest_message(&changes);
        assert_non_null(peer->carried_by);
        assert_true(rpc_call_send_message(peer->call, message));
    }
    until(ring, is_down);
    assert_int_equal(ring->generator[0].why, ERR_INVALID);
    assert_non_null(strstr(ring->generator[0].text, "while NCCL brings one"));
    setenv("FAKE_NCCL", "", 1);
    until(ring, all_have_newest);
    assert_models(&stage, 2);
    stage_close(&stage);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_broadcast_and_all_values_where_there_is_no_way),
        cmocka_unit_test(a_broadcast_that_breaks_off_goes_on_over_grpc),
        cmocka_unit_test(a_manifest_during_a_broadcast_is_refused),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
