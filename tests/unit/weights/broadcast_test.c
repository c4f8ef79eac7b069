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
    void *device[MEMBERS]; // a generator's; NULL: it computes on the host
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
    const size_t room = listing ? elements : 0;
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
        subscribe(ring, i,
                  &(struct subscriber_options){.carriers = &stage->carriers,
                                               .device = stage->device[i],
                                               .device_bytes = stage->device[i] ? room : 0});
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
    sparse = listing = false;
    spoil = NULL;
    for (int i = 0; i < MEMBERS; i++)
        mem_free(stage->device[i]);
}

static char told[512];
static void hear_note(struct subscriber *, const char *text, void *)
{
    snprintf(told, sizeof told, "%s", text);
}

static void stage_open_lists(struct stage *stage, int devices)
{
    listing = true;
    on_note = hear_note;
    for (int i = 0; i < devices; i++)
        stage->device[i] = mem_new(LARGE);
    stage_open(stage, LARGE);
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

/* ---- lists */

/* One that has memory of a device, and one that has none: the same bytes. Versions that one of them
 * holds back come into force together. */
static void lists_are_broadcast_where_one_has_a_device(void **state)
{
    struct stage stage = {0};
    (void)state;
    stage_open_lists(&stage, 1);
    struct ring *ring = &stage.ring;
    const uint64_t before = publisher_stats(ring->publisher).bytes;
    for (uint64_t version = 2; version <= 5; version++) {
        publish(ring, version);
        until(ring, all_have_newest);
        until(ring, session_stands);
    }
    assert_models(&stage, 5);
    const struct broadcast_stats stats = stats_of(ring);
    assert_int_equal(stats.as_lists, 4);
    assert_int_equal(stats.on_device, 4);
    assert_int_equal(stats.arrived, 4 * MEMBERS);
    assert_int_equal(publisher_stats(ring->publisher).bytes, before);
    for (int i = 0; i < MEMBERS; i++) {
        const struct subscriber_stats at = subscriber_stats(ring->generator[i].subscriber);
        assert_int_equal(at.lists, 4);
        assert_int_equal(at.on_device, i == 0 ? 4 : 0);
        assert_int_equal(ring->generator[i].by_lists, i == 0 ? 4 : 0);
        assert_int_equal(at.mismatches, 0);
    }
    stage_close(&stage);
}

static bool last_one_is_staged(struct ring *ring)
{
    return subscriber_stats(ring->generator[0].subscriber).versions == 4;
}

/* Lists of versions that were passed over are applied, too, oldest first. */
static void lists_gather_until_the_model_takes_them(void **state)
{
    struct stage stage = {0};
    (void)state;
    stage_open_lists(&stage, MEMBERS);
    struct ring *ring = &stage.ring;
    struct generator *slow = &ring->generator[0];
    slow->holds_back = true;
    for (uint64_t version = 2; version <= 4; version++) {
        publish(ring, version);
        until(ring, session_stands);
    }
    until(ring, last_one_is_staged);
    assert_int_equal(slow->applied, 1);
    assert_true(subscriber_take(slow->subscriber, &slow->manifest, &slow->taken));
    slow->holds_back = false;
    const struct devicelist *list;
    assert_int_equal(subscriber_lists(slow->subscriber, &list), 3);
    apply(slow);
    until(ring, all_have_newest);
    assert_int_equal(slow->by_lists, 1);
    assert_models(&stage, 4);
    stage_close(&stage);
}

/* Without a device chunks are smaller: they go as before. */
static void without_a_device_chunks_go(void **state)
{
    struct stage stage = {0};
    (void)state;
    stage_open_lists(&stage, 0);
    struct ring *ring = &stage.ring;
    publish(ring, 2);
    until(ring, all_have_newest);
    assert_models(&stage, 2);
    assert_int_equal(stats_of(ring).as_changes, 1);
    assert_int_equal(stats_of(ring).as_lists, 0);
    stage_close(&stage);
}

/* The list's first elements: of the tensor "body", as "head" has fewer than the ones that
 * change. */
static uint32_t *elements_of(const struct layout *layout, uint8_t *list)
{
    return (uint32_t *)(void *)(list + changelist_head_bytes(layout));
}

static void element_twice(const struct layout *layout, uint8_t *list)
{
    elements_of(layout, list)[700] = elements_of(layout, list)[699];
}

static void elements_descend(const struct layout *layout, uint8_t *list)
{
    elements_of(layout, list)[700] = elements_of(layout, list)[5];
}

static void element_outside(const struct layout *layout, uint8_t *list)
{
    elements_of(layout, list)[700] = (uint32_t)LARGE;
}

static void another_element(const struct layout *layout, uint8_t *list)
{
    elements_of(layout, list)[700]++;
}

static void another_value(const struct layout *layout, uint8_t *list)
{
    struct changelist read;
    assert_ok(changelist_open(layout, list, changelist_bytes(layout, LARGE / 100), &read));
    ((uint16_t *)read.value)[3] ^= 4;
}

static void no_format(const struct layout *layout, uint8_t *list)
{
    (void)layout;
    list[4]++;
}

/* Nothing of a wrong list comes into force: the version comes over gRPC, and what lay here keeps
 * its trust. */
static void a_wrong_list_comes_over_grpc(void **state)
{
    static const struct {
        void (*spoil)(const struct layout *layout, uint8_t *list);
        const char *manner, *says;
    } cases[] = {
        {element_twice, "", "a list's change"},
        {elements_descend, "", "a list's change"},
        {element_outside, "", "a list's change"},
        {another_element, "", "changes: weights of version 2 have digest"},
        {another_value, "", "changes: weights of version 2 have digest"},
        {no_format, "", "a list of format 2"},
        {NULL, "corrupt_at=1", ""},
        {NULL, "bcast_hang_at=1", ""},
        {NULL, "bcast_error_at=1,error=2", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage = {0};
        stage_open_lists(&stage, MEMBERS);
        struct ring *ring = &stage.ring;
        *told = 0;
        setenv("FAKE_NCCL", cases[i].manner, 1);
        spoil = cases[i].spoil;
        publish(ring, 2);
        until(ring, all_have_newest);
        setenv("FAKE_NCCL", "", 1);
        spoil = NULL;
        assert_models(&stage, 2);
        const struct broadcast_stats stats = stats_of(ring);
        assert_int_equal(stats.as_lists, 1);
        assert_int_equal(stats.fallbacks, MEMBERS);
        for (int g = 0; g < MEMBERS; g++) {
            assert_int_equal(ring->generator[g].poisoned, 0);
            assert_int_equal(ring->generator[g].downs, 0);
            assert_int_equal(ring->generator[g].by_lists, 0);
            assert_int_equal(subscriber_stats(ring->generator[g].subscriber).full, 1);
        }
        if (cases[i].spoil)
            assert_non_null(strstr(told, cases[i].says));
        publish(ring, 3); // whatever stands then
        until(ring, all_have_newest);
        assert_models(&stage, 3);
        stage_close(&stage);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_broadcast_and_all_values_where_there_is_no_way),
        cmocka_unit_test(lists_are_broadcast_where_one_has_a_device),
        cmocka_unit_test(lists_gather_until_the_model_takes_them),
        cmocka_unit_test(without_a_device_chunks_go),
        cmocka_unit_test(a_wrong_list_comes_over_grpc),
        cmocka_unit_test(a_broadcast_that_breaks_off_goes_on_over_grpc),
        cmocka_unit_test(a_manifest_during_a_broadcast_is_refused),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
