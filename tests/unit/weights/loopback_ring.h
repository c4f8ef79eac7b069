/* A publisher and its subscribers over real gRPC on loopback, in one process: what the tests of
 * both sides share. */
#pragma once
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/stream.h"
#include "svc/loop.h"
#include "tensor/digest.h"
#include "testing/testing.h"
#include "weights/codec/changelist.h"
#include "weights/codec/touched.h"
#include "weights/publisher.h"
#include "weights/stream/devicelists.h"
#include "weights/subscriber.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 1024,
    THREE_CHUNKS = 2 * WEIGHTS_CHUNK + 96,
    LARGE = 8 * WEIGHTS_CHUNK + 32,
    SUBSCRIBERS = 6
};

/* One generator: its orders for versions, and its findings. */
struct generator {
    struct subscriber *subscriber;
    const struct layout *layout;
    char name[32];
    /* NULL: it passes nothing on. */
    void (*forward)(struct subscriber *, const struct manifest *, const uint16_t *, struct delta *,
                    void *);
    bool holds_back;  // versions are taken, and applied only when the test says so
    bool faulty;      // the test changed a value in the receiver's memory, which nothing marks
    uint16_t *values; // its model
    size_t elements;
    const uint16_t *taken;
    struct manifest manifest; // taken or applied
    int applied, ups, downs, poisoned;
    int by_lists;       // versions whose changes lay in its device's memory
    uint64_t order[64]; // versions in the order applied
    enum err_code why;
    char text[512];
};

struct ring {
    struct loop *loop;
    struct rpc *rpc;
    struct layout *layout;
    struct publisher_options publishing;
    struct publisher *publisher;
    uint16_t *published; // the newest version's values; NULL: none
    struct rpc_server *server;
    size_t elements;
    bool evaluated; // the method is Weights.SubscribeEvaluated
    char target[64];
    struct generator generator[SUBSCRIBERS];
    int settled;
    uint64_t settled_version;
    double settled_ms;
    bool (*done)(struct ring *);
    int64_t give_up_ms, until_ms;
};

/* ---- the learner */

/* A few tensors of so many elements in all. */
static inline struct layout *make_layout(size_t elements)
{
    struct layout *layout = layout_new();
    assert_true(elements % LAYOUT_ALIGN == 0);
    layout_add(layout, "head", LAYOUT_ALIGN, 0);
    layout_add(layout, "empty", 0, 0);
    layout_add(layout, "body", (int)elements - LAYOUT_ALIGN, 0);
    return layout;
}

static inline void settled(const struct manifest *manifest, double ms, void *user)
{
    struct ring *ring = user;
    ring->settled++;
    ring->settled_version = manifest->version;
    ring->settled_ms = ms;
}

static inline void serve(struct ring *ring, int port)
{
    struct publisher_options options = ring->publishing;
    options.run = "sort-1";
    options.layout = ring->layout;
    options.settled = settled;
    options.user = ring;
    options.evaluated = ring->evaluated;
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    assert_ok(publisher_new(&options, &ring->publisher));
    struct rpc_service services[] = {publisher_service(ring->publisher)};
    const struct rpc_server_options server = {.address = address, RPC_SERVICES(services)};
    assert_ok(rpc_server_start(ring->rpc, &server, &ring->server));
    snprintf(ring->target, sizeof ring->target, "127.0.0.1:%d", rpc_server_port(ring->server));
}

static inline void stop_serving(struct ring *ring)
{
    rpc_server_free(ring->server);
    publisher_free(ring->publisher);
}

/* Set by tests of deltas: one value in a hundred changes from version to version. */
static bool sparse;

/* Set by tests of lists: versions are published with one, too, which this call may change; where
 * the stand-in's device is the host, its memory is the device's. */
static bool listing;
static void (*spoil)(const struct layout *layout, uint8_t *list);

static inline struct listed *list_of(const struct ring *ring, const struct delta *delta)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (!delta || !listing)
        return NULL;
    changelist_of_delta(ring->layout, ring->published, delta, &bytes, &len);
    assert_non_null(bytes);
    if (spoil)
        spoil(ring->layout, bytes);
    const struct listed listed = {.refs = 1,
                                  .base = publisher_newest(ring->publisher)->version,
                                  .device = bytes,
                                  .bytes = len,
                                  .release = mem_free,
                                  .arg = bytes};
    return mem_copy(&listed, sizeof listed);
}

/* Version v's element i. */
static inline uint16_t value_of(uint64_t version, size_t i)
{
    if (sparse)
        return (uint16_t)(i * 31 + (version + i) / 100);
    return (uint16_t)(version * 7919 + i * 31 + (i >> 16));
}

/* Takes values, of which the manifest has this digest. With a delta from what was published before
 * if tests are of these. */
static inline void publish_values(struct ring *ring, uint32_t lineage, uint64_t version,
                                  uint16_t *values, struct digest digest)
{
    const struct manifest manifest = {.lineage = lineage,
                                      .version = version,
                                      .round = version,
                                      .elements = ring->elements,
                                      .digest = digest};
    struct delta *delta =
        sparse && ring->published ? delta_encode(ring->layout, ring->published, values) : NULL;
    struct listed *list = list_of(ring, delta);
    publisher_publish_listed(ring->publisher, snapshot_new(&manifest, values), delta, list);
    free(ring->published);
    ring->published = values;
}

static inline uint16_t *make_values(const struct ring *ring, uint64_t version)
{
    uint16_t *values = mem_array(ring->elements, sizeof *values);
    for (size_t i = 0; i < ring->elements; i++)
        values[i] = value_of(version, i);
    return values;
}

static inline void publish_broken(struct ring *ring, uint32_t lineage, uint64_t version,
                                  bool broken)
{
    uint16_t *values = make_values(ring, version);
    const struct digest digest = weights_digest(values, 0, ring->elements);
    if (broken) // one value changes on the way
        values[ring->elements - 3] ^= 4;
    publish_values(ring, lineage, version, values, digest);
}

static inline void publish(struct ring *ring, uint64_t version)
{
    publish_broken(ring, 1, version, false);
}

/* ---- the generators */

/* As a kernel does it: the lists alone lead to the values. */
static inline void apply_lists(struct generator *generator)
{
    const struct devicelist *list;
    const int lists = subscriber_lists(generator->subscriber, &list);
    for (int i = 0; i < lists; i++) {
        const uint32_t *index = list[i].index;
        const uint16_t *value = list[i].value;
        for (int t = 0; t < generator->layout->count; t++)
            for (uint32_t left = list[i].count[t]; left; left--)
                generator->values[generator->layout->tensor[t].offset + *index++] = *value++;
    }
    generator->by_lists += lists > 0;
    if (lists)
        assert_memory_equal(generator->values, generator->taken,
                            generator->elements * sizeof *generator->values);
}

/* Values that are not flagged or marked as changed must be there already. */
static inline void apply(struct generator *generator)
{
    const struct touched *touched = subscriber_touched(generator->subscriber);
    const uint32_t *mark = touched_marks(touched);
    const bool *changed = touched->tensor;
    const bool marked = generator->taken && mark && !generator->faulty;
    for (size_t i = 0; marked && i < generator->elements; i++)
        assert_true(mark[i / 32] >> i % 32 & 1 || generator->values[i] == generator->taken[i]);
    for (int t = 0; t < generator->layout->count; t++) {
        const struct layout_tensor *tensor = &generator->layout->tensor[t];
        if (generator->taken && !changed[t])
            assert_memory_equal(generator->values + tensor->offset,
                                generator->taken + tensor->offset,
                                tensor->count * sizeof *generator->values);
    }
    if (generator->taken && !generator->faulty)
        apply_lists(generator);
    if (generator->taken)
        memcpy(generator->values, generator->taken,
               generator->elements * sizeof *generator->values);
    for (size_t i = 0; i < generator->elements; i += generator->elements / 997 + 1)
        assert_int_equal(generator->values[i], value_of(generator->manifest.version, i));
    generator->order[generator->applied++ % 64] = generator->manifest.version;
    generator->taken = NULL;
    subscriber_applied(generator->subscriber);
}

static inline void staged(struct subscriber *subscriber, const struct manifest *manifest,
                          void *user)
{
    struct generator *generator = user;
    if (generator->holds_back)
        return;
    assert_true(subscriber_take(subscriber, &generator->manifest, &generator->taken));
    assert_int_equal(generator->manifest.version, manifest->version);
    apply(generator);
}

static inline void down(struct subscriber *, err_t why, void *user)
{
    struct generator *generator = user;
    generator->downs++;
    generator->why = err_code(why);
    snprintf(generator->text, sizeof generator->text, "%s", err_message(why));
    err_free(why);
}

static inline void up(struct subscriber *, void *user)
{
    ((struct generator *)user)->ups++;
}

static inline void poisoned(struct subscriber *, void *user)
{
    ((struct generator *)user)->poisoned++;
}

static void (*on_note)(struct subscriber *, const char *text, void *); // NULL: not wanted

static inline void subscribe(struct ring *ring, int i, const struct subscriber_options *changes)
{
    struct generator *generator = &ring->generator[i];
    const struct subscriber_handlers handlers = {.staged = staged,
                                                 .down = down,
                                                 .up = up,
                                                 .poisoned = poisoned,
                                                 .forward = generator->forward,
                                                 .note = on_note};
    snprintf(generator->name, sizeof generator->name, "generator-%d", i);
    struct subscriber_options options = *changes;
    options.target = ring->target;
    options.run = options.run ? options.run : "sort-1";
    options.generator = options.generator ? options.generator : generator->name;
    options.layout = options.layout ? options.layout : ring->layout;
    options.loop = ring->loop;
    options.marks = true;
    options.backoff_min_ms = 20;
    options.backoff_max_ms = 50;
    generator->layout = options.layout;
    generator->elements = options.layout->elements;
    generator->values = mem_array(generator->elements, sizeof *generator->values);
    assert_ok(subscriber_open(ring->rpc, &options, &handlers, generator, &generator->subscriber));
}

/* ---- running */

/* options: what differs from the default. */
static inline void ring_init_with(struct ring *ring, size_t elements,
                                  const struct publisher_options *options)
{
    *ring = (struct ring){.elements = elements, .publishing = *options};
    ring->layout = make_layout(elements);
    assert_ok(loop_new(&ring->loop));
    assert_ok(rpc_new(ring->loop, &ring->rpc));
    serve(ring, 0);
}

static inline void ring_init(struct ring *ring, size_t elements)
{
    ring_init_with(ring, elements, &(struct publisher_options){0});
}

static inline void ring_done(struct ring *ring)
{
    for (int i = 0; i < SUBSCRIBERS; i++) {
        subscriber_free(ring->generator[i].subscriber);
        free(ring->generator[i].values);
    }
    stop_serving(ring);
    rpc_free(ring->rpc);
    loop_free(ring->loop);
    layout_free(ring->layout);
    free(ring->published);
}

static inline void poll(void *arg)
{
    struct ring *ring = arg;
    if (ring->done(ring))
        loop_stop(ring->loop);
    else if (clock_ms() > ring->give_up_ms)
        fail_msg("waited in vain");
}

static inline void until(struct ring *ring, bool (*done)(struct ring *))
{
    ring->done = done;
    ring->give_up_ms = clock_ms() + 60000; // sanitizers on a loaded machine
    SCOPED(loop_timer) timer = loop_timer_new(ring->loop, poll, ring);
    loop_timer_start(timer, 0, 1);
    assert_ok(loop_run(ring->loop));
}

static inline bool time_is_up(struct ring *ring)
{
    return clock_ms() >= ring->until_ms;
}

static inline void run_for(struct ring *ring, int ms)
{
    ring->until_ms = clock_ms() + ms;
    until(ring, time_is_up);
}

static inline bool all_have_newest(struct ring *ring)
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

static inline void assert_model(const struct generator *generator, uint64_t version)
{
    for (size_t i = 0; i < generator->elements; i++)
        if (generator->values[i] != value_of(version, i))
            fail_msg("element %zu is not that of version %llu", i, (unsigned long long)version);
}

static inline bool is_down(struct ring *ring)
{
    return ring->generator[0].downs > 0;
}
