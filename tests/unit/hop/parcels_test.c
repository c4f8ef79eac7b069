/* Parcels keep their order, and no call looks at more of them when there are more. */
#include "base/mem.h"
#include "hop/parcels.h"
#include "testing/testing.h"

enum { MANY = 50000 };

static struct parcel *parcel_new(uint64_t number)
{
    struct parcel *parcel = mem_new(sizeof *parcel);
    parcel->id = hash128(&number, sizeof number, 0);
    parcel->tag = (void *)(uintptr_t)number;
    return parcel;
}

static struct digest id_of(uint64_t number)
{
    return hash128(&number, sizeof number, 0);
}

static void add(struct parcels *parcels, uint64_t from, uint64_t count)
{
    for (uint64_t i = from; i < from + count; i++)
        parcels_add(parcels, parcel_new(i));
}

static void settle(struct parcels *parcels, uint64_t number)
{
    const struct digest id = id_of(number);
    struct parcel *parcel = parcels_find(parcels, &id);
    assert_non_null(parcel);
    assert_int_equal((uintptr_t)parcel->tag, number);
    parcels_remove(parcels, parcel);
    mem_free(parcel);
    assert_null(parcels_find(parcels, &id));
}

/* Sends up to count parcels; their numbers. */
static size_t send(struct parcels *parcels, size_t count, uint64_t *ret)
{
    size_t sent = 0;
    for (struct parcel *p; sent < count && (p = parcels_next(parcels)); parcels_sent(parcels))
        ret[sent++] = (uintptr_t)p->tag;
    return sent;
}

static void done(struct parcels *parcels)
{
    for (struct parcel *p = parcels->first, *after; p; p = after) {
        after = p->after;
        mem_free(p);
    }
    parcels_done(parcels);
}

static void expect(const uint64_t *seen, size_t count, const uint64_t *numbers, size_t expected)
{
    assert_int_equal(count, expected);
    for (size_t i = 0; i < expected; i++)
        assert_int_equal(seen[i], numbers[i]);
}

static void a_lost_stream_has_all_sent_again_in_their_order(void **)
{
    struct parcels parcels = {0};
    uint64_t seen[16];
    add(&parcels, 1, 6);
    expect(seen, send(&parcels, 4, seen), (uint64_t[]){1, 2, 3, 4}, 4);
    settle(&parcels, 2);
    settle(&parcels, 5); // its answer came before it was sent
    assert_int_equal(parcels_lost(&parcels), 3);
    add(&parcels, 7, 2);
    expect(seen, send(&parcels, 2, seen), (uint64_t[]){1, 3}, 2);
    settle(&parcels, 3);
    settle(&parcels, 8); // the last
    add(&parcels, 9, 1);
    expect(seen, send(&parcels, 16, seen), (uint64_t[]){4, 6, 7, 9}, 4);
    assert_null(parcels_next(&parcels));
    assert_int_equal(parcels_lost(&parcels), 5);
    expect(seen, send(&parcels, 16, seen), (uint64_t[]){1, 4, 6, 7, 9}, 5);
    assert_int_equal(parcels.count, 5);
    done(&parcels);
}

static void an_empty_list_begins_anew(void **)
{
    struct parcels parcels = {0};
    uint64_t seen[4];
    const struct digest id = id_of(1);
    assert_null(parcels_find(&parcels, &id));
    assert_null(parcels_next(&parcels));
    assert_int_equal(parcels_lost(&parcels), 0);
    for (int i = 0; i < 3; i++) {
        add(&parcels, 1, 1);
        expect(seen, send(&parcels, 4, seen), (uint64_t[]){1}, 1);
        settle(&parcels, 1);
        assert_null(parcels.first);
        assert_null(parcels.last);
    }
    done(&parcels);
}

/* Parcels looked at per parcel that is added, sent and settled while `pending` others wait. */
static double steps_with(uint64_t pending)
{
    enum { ROUNDS = 1000 };
    struct parcels parcels = {0};
    uint64_t seen[1];
    add(&parcels, 0, pending);
    while (parcels_next(&parcels))
        parcels_sent(&parcels);
    const uint64_t before = parcels.steps;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        add(&parcels, pending + i, 1);
        expect(seen, send(&parcels, 1, seen), (uint64_t[]){pending + i}, 1);
        settle(&parcels, i * (pending / ROUNDS)); // not in order
    }
    const double steps = (double)(parcels.steps - before) / ROUNDS;
    done(&parcels);
    return steps;
}

static void a_call_costs_the_same_with_many_pending(void **)
{
    const double few = steps_with(1000), many = steps_with(MANY);
    assert_true(few >= 2 && few < 12);
    assert_true(many >= 2 && many < 12);
}

TESTS(cmocka_unit_test(a_lost_stream_has_all_sent_again_in_their_order),
      cmocka_unit_test(an_empty_list_begins_anew),
      cmocka_unit_test(a_call_costs_the_same_with_many_pending))
