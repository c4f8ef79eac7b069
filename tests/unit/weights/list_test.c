/* Lists of changes: their bytes, what is refused, the delta that is made of them, and the ring of a
 * device's memory in which they wait. */
#include "base/mem.h"
#include "base/rng.h"
#include "tensor/digest.h"
#include "testing/testing.h"
#include "weights/codec/changelist.h"
#include "weights/codec/delta.h"
#include "weights/codec/staging.h"
#include "weights/stream/devicelists.h"
#include <stdio.h>
#include <string.h>

static struct layout *layout_of(const int *size, size_t count)
{
    struct layout *layout = layout_new();
    for (size_t i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%zu", i);
        layout_add(layout, name, size[i], 0);
    }
    return layout;
}
#define LAYOUT(...)                                                                                \
    layout_of((const int[]){__VA_ARGS__}, sizeof(const int[]){__VA_ARGS__} / sizeof(int))

/* Two versions, and a list that has one more element in every so many than changed. */
struct pair {
    struct layout *layout;
    uint16_t *old, *now;
    uint8_t *bytes;
    size_t len;
    uint64_t changed;
};

static void pair_done(struct pair *pair)
{
    layout_free(pair->layout);
    mem_free(pair->old);
    mem_free(pair->now);
    mem_free(pair->bytes);
}

/* 0: as it is; 1: another value; 2: listed, and the same value. */
static int fate(const struct rng *rng, size_t at, uint64_t every)
{
    const uint64_t x = every ? rng_below(rng, at, every) : 2;
    return x == 0 ? 1 : x == 1 && rng_below(rng, at + (1 << 30), 10) == 0 ? 2 : 0;
}

static struct pair pair_of(struct layout *layout, uint64_t every)
{
    const struct rng rng = rng_keyed(every, RNG_TEST, 0, 0);
    struct pair pair = {.layout = layout};
    pair.old = mem_array(layout->elements + 1, sizeof *pair.old);
    for (size_t i = 0; i < layout->elements; i++)
        pair.old[i] = (uint16_t)(i * 40503 + 7);
    pair.now = mem_copy(pair.old, (layout->elements + 1) * sizeof *pair.now);
    SCOPED_MEM uint32_t *count = mem_array((size_t)layout->count + 1, sizeof *count);
    SCOPED_MEM uint32_t *index = mem_array(layout->elements + 1, sizeof *index);
    SCOPED_MEM uint16_t *value = mem_array(layout->elements + 1, sizeof *value);
    size_t listed = 0;
    for (int t = 0; t < layout->count; t++)
        for (size_t i = 0; i < layout->tensor[t].count; i++) {
            const size_t at = layout->tensor[t].offset + i;
            const int is = fate(&rng, at, every);
            if (!is)
                continue;
            pair.now[at] = (uint16_t)(pair.now[at] + (is == 1));
            pair.changed += is == 1;
            count[t]++;
            index[listed] = (uint32_t)i;
            value[listed++] = pair.now[at];
        }
    const size_t head = changelist_head_bytes(layout);
    pair.len = changelist_bytes(layout, listed);
    pair.bytes = mem_new(pair.len);
    changelist_head(layout, count, pair.bytes);
    memcpy(pair.bytes + head, index, listed * sizeof *index);
    memcpy(pair.bytes + head + listed * sizeof *index, value, listed * sizeof *value);
    return pair;
}

static void assert_same_delta(const struct delta *a, const struct delta *b)
{
    assert_int_equal(a->chunks, b->chunks);
    assert_int_equal(a->changed, b->changed);
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(&a->change, &b->change, sizeof a->change);
    for (size_t i = 0; i < a->chunks; i++) {
        assert_int_equal(a->chunk[i].len, b->chunk[i].len);
        assert_memory_equal(a->chunk[i].data, b->chunk[i].data, a->chunk[i].len);
    }
}

/* The delta is that of both arrays, byte for byte; and its list leads to the same values. */
static void assert_one_delta(const struct pair *pair)
{
    struct changelist list;
    uint8_t *again = NULL;
    size_t len = 0;
    assert_ok(changelist_open(pair->layout, pair->bytes, pair->len, &list));
    SCOPED(delta) of_list = delta_of_list(pair->layout, pair->old, &list);
    SCOPED(delta) of_both = delta_encode(pair->layout, pair->old, pair->now);
    assert_same_delta(of_list, of_both);
    assert_int_equal(of_list->changed, pair->changed);
    changelist_of_delta(pair->layout, pair->old, of_both, &again, &len);
    SCOPED_MEM uint8_t *owned = again;
    if (!again) {
        assert_true(pair->changed > pair->layout->elements / 16);
        return;
    }
    assert_ok(changelist_open(pair->layout, again, len, &list));
    assert_int_equal(list.changes, pair->changed);
    SCOPED(staging) staging = staging_new(pair->layout);
    SCOPED_MEM uint16_t *values = mem_copy(pair->old, pair->layout->elements * sizeof *values);
    staging_add_list(staging, values, &list);
    const struct digest change = staging_change(staging);
    assert_true(digest_equal(&change, &of_both->change));
    staging_apply(staging, values, NULL);
    assert_memory_equal(values, pair->now, pair->layout->elements * sizeof *values);
}

static void a_lists_delta_is_that_of_the_arrays(void **state)
{
    static const uint64_t densities[] = {0, 1, 2, 7, 40, 1000};
    (void)state;
    for (size_t d = 0; d < sizeof densities / sizeof *densities; d++) {
        SCOPED_VALUE(pair)
        pair = pair_of(LAYOUT(33, 0, (1 << 18) - 1, (1 << 18) + 1, 3 << 18, 5), densities[d]);
        assert_one_delta(&pair);
    }
}

/* ---- what is refused */

static struct pair small(void)
{
    return pair_of(LAYOUT(50, 0, 70), 5);
}

static void refuse(const struct pair *pair, size_t len, const char *part)
{
    struct changelist list = {.changes = 77};
    assert_err(ERR_INVALID, part, changelist_open(pair->layout, pair->bytes, len, &list));
    assert_int_equal(list.changes, 77);
}

/* One word is another. */
static void refuse_word(size_t word, uint32_t becomes, const char *part)
{
    SCOPED_VALUE(pair) pair = small();
    uint32_t *words = (uint32_t *)(void *)pair.bytes;
    words[word] = becomes;
    refuse(&pair, pair.len, part);
}

static void wrong_lists_are_refused(void **state)
{
    enum { MAGIC, VERSION, TENSORS, ZERO, COUNTS };
    (void)state;
    SCOPED_VALUE(pair) pair = small();
    const size_t head = changelist_head_bytes(pair.layout) / sizeof(uint32_t);
    const uint32_t *index = (const uint32_t *)(const void *)pair.bytes + head;
    for (size_t len = 0; len < pair.len; len++)
        refuse(&pair, len, len < head * 4 ? "its head has" : "allowed: ");
    refuse_word(MAGIC, 0, "of format");
    refuse_word(VERSION, 2, "allowed: format 1 with 3");
    refuse_word(TENSORS, 4, "with 4 tensors");
    refuse_word(COUNTS, 0, "a list of");
    refuse_word(COUNTS + 1, 1, "a list of");
    refuse_word(COUNTS, UINT32_MAX, "a list of");
    refuse_word(head, 50, "change 0 of t0 is of element 50; allowed: 0 to 49"); // outside
    refuse_word(head, UINT32_MAX, "allowed: 0 to 49");
    refuse_word(head + 1, index[0], "change 1 of t0"); // twice
    refuse_word(head + 2, index[0], "change 2 of t0"); // descending
}

/* ---- the ring of a device's memory */

enum { ROOM = 4096, LIST = 1000 };
static char memory[ROOM]; // only its addresses count

/* A list of `bytes` in its room, staged. False: there was no room. */
static bool one_comes(struct devicelists *lists, size_t bytes)
{
    static const uint32_t count[3] = {1, 0, 2};
    const struct changelist list = {.count = count, .changes = 3};
    char *room = devicelists_room(lists, bytes);
    if (!room)
        return false;
    assert_true(room >= memory && room + bytes <= memory + ROOM);
    assert_true(devicelists_came(lists, &list));
    devicelists_stage(lists, true);
    return true;
}

static void lists_wait_in_their_order(void **state)
{
    (void)state;
    SCOPED(layout) layout = LAYOUT(50, 0, 70);
    SCOPED(devicelists) lists = devicelists_new(layout, memory, ROOM);
    const struct devicelist *all;
    int come = 0;
    assert_int_equal(devicelists_all(lists, &all), 0);
    while (one_comes(lists, LIST))
        come++;
    assert_int_equal(come, 4);
    assert_int_equal(devicelists_all(lists, &all), 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(all[i].count[2], 2);
        assert_ptr_equal((const char *)all[i].index,
                         memory + 1024 * i + changelist_head_bytes(layout));
        assert_ptr_equal(all[i].value, all[i].index + 3);
    }
    devicelists_taken(lists);
    assert_int_equal(devicelists_all(lists, &all), 0);
    assert_true(one_comes(lists, ROOM));
    assert_null(devicelists_room(lists, 1));
}

/* A list that came while others are taken stays where it is, and the next goes around. */
static void the_one_that_waits_keeps_its_memory(void **state)
{
    static const uint32_t count[3] = {1, 0, 0};
    const struct changelist list = {.count = count, .changes = 1};
    (void)state;
    SCOPED(layout) layout = LAYOUT(50, 0, 70);
    SCOPED(devicelists) lists = devicelists_new(layout, memory, ROOM);
    const struct devicelist *all;
    assert_true(one_comes(lists, 2000));
    char *waits = devicelists_room(lists, 2000);
    assert_ptr_equal(waits, memory + 2048);
    assert_true(devicelists_came(lists, &list));
    devicelists_taken(lists);
    assert_int_equal(devicelists_all(lists, &all), 0); // its version is not staged yet
    devicelists_stage(lists, true);
    assert_int_equal(devicelists_all(lists, &all), 1);
    assert_ptr_equal((const char *)all[0].index, waits + changelist_head_bytes(layout));
    assert_ptr_equal(devicelists_room(lists, 2048), memory);
    assert_null(devicelists_room(lists, 2049));
}

static void another_way_leaves_a_gap(void **state)
{
    (void)state;
    SCOPED(layout) layout = LAYOUT(50, 0, 70);
    SCOPED(devicelists) lists = devicelists_new(layout, memory, ROOM);
    const struct devicelist *all;
    assert_true(one_comes(lists, LIST));
    devicelists_stage(lists, false); // nothing changed
    assert_int_equal(devicelists_all(lists, &all), 1);
    devicelists_stage(lists, true); // changes came as chunks
    assert_int_equal(devicelists_all(lists, &all), 0);
    assert_null(devicelists_room(lists, LIST)); // a list would be of no use
    devicelists_taken(lists);
    assert_true(one_comes(lists, LIST));
    assert_int_equal(devicelists_all(lists, &all), 1);
    SCOPED(devicelists) none = devicelists_new(layout, NULL, ROOM);
    assert_null(devicelists_room(none, 1));
    assert_false(devicelists_there(none));
}

TESTS(cmocka_unit_test(a_lists_delta_is_that_of_the_arrays),
      cmocka_unit_test(wrong_lists_are_refused), cmocka_unit_test(lists_wait_in_their_order),
      cmocka_unit_test(the_one_that_waits_keeps_its_memory),
      cmocka_unit_test(another_way_leaves_a_gap))
