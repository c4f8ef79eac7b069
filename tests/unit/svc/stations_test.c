#include "base/clock.h"
#include "svc/stations.h"
#include "testing/testing.h"
#include <string.h>

static struct digest group_of(uint32_t number)
{
    return hash128(&number, sizeof number, 0);
}

static void a_way_is_kept_in_order(void **)
{
    const struct digest group = group_of(1), other = group_of(2);
    struct stations way = {0};
    const double begun = (double)clock_wall_ms() / 1000;
    assert_false(stations_find(&group, &way));
    station_came(&group, "00-x");
    station_note(&group, &(struct station){.name = "leased", .number = 3});
    station_note(&other, &(struct station){.name = "leased", .number = 1});
    station_note(&group, &(struct station){.name = "scored", .detail = "exact", .seconds = 0.5});
    assert_true(stations_find(&group, &way));
    assert_string_equal(way.parent, "00-x");
    assert_int_equal(way.count, 2);
    assert_string_equal(way.at[0].name, "leased");
    assert_int_equal(way.at[0].number, 3);
    assert_null(way.at[0].detail);
    assert_string_equal(way.at[1].detail, "exact");
    assert_near(way.at[1].seconds, 0.5, 0);
    assert_true(way.at[0].time_s <= way.at[1].time_s);
    assert_true(way.at[0].time_s > begun - 1); // a label: the wall clock's
}

static void a_long_way_keeps_its_beginning_and_its_end(void **)
{
    const struct digest group = group_of(3);
    struct stations way = {0};
    for (uint64_t i = 1; i <= 2 * STATIONS_MAX; i++)
        station_note(&group, &(struct station){.name = "drawn", .number = i});
    assert_true(stations_find(&group, &way));
    assert_int_equal(way.count, STATIONS_MAX);
    assert_int_equal(way.at[0].number, 1);
    assert_int_equal(way.at[STATIONS_MAX - 2].number, STATIONS_MAX - 1);
    assert_int_equal(way.at[STATIONS_MAX - 1].number, 2 * STATIONS_MAX);
}

/* A thousand others: the latest are there, and what was used again outlives what was not. */
static void older_groups_give_way(void **)
{
    enum { FIRST = 1000, LAST = 100000, LATEST = 100 };
    const struct digest old = group_of(FIRST), used = group_of(FIRST + 1);
    struct stations way = {0};
    station_note(&old, &(struct station){.name = "leased"});
    station_note(&used, &(struct station){.name = "leased"});
    for (uint32_t i = FIRST + 2; i < LAST; i++) {
        const struct digest next = group_of(i);
        station_note(&next, &(struct station){.name = "leased"});
        if (i % 50 == 0)
            station_came(&used, "");
    }
    assert_false(stations_find(&old, &way));
    assert_true(stations_find(&used, &way));
    int found = 0;
    for (uint32_t i = LAST - LATEST; i < LAST; i++) {
        const struct digest late = group_of(i);
        found += stations_find(&late, &way);
    }
    assert_int_equal(found, LATEST);
}

TESTS(cmocka_unit_test(a_way_is_kept_in_order),
      cmocka_unit_test(a_long_way_keeps_its_beginning_and_its_end),
      cmocka_unit_test(older_groups_give_way))
