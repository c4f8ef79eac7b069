#include "base/rng.h"
#include "learner/store/lag.h"
#include "testing/testing.h"
#include <string.h>

static void room_is_of_the_rounds_that_an_age_can_join(void **)
{
    assert_int_equal(lag_room(5, 5, 0, 4), 4);  // round 5 alone
    assert_int_equal(lag_room(5, 5, 2, 4), 12); // 5, 6, 7
    assert_int_equal(lag_room(5, 7, 2, 4), 4);
    assert_int_equal(lag_room(5, 8, 2, 4), 0);
    assert_int_equal(lag_room(5, 100, 2, 4), 0);
    assert_int_equal(lag_of(7, 5), 2);
    assert_int_equal(lag_of(5, 7), 0);
}

static void leases_stop_at_the_bound(void **)
{
    struct lag_rules rules = {.eta = 1, .limit = 1, .groups = 4};
    assert_int_equal(lag_may_lease(&rules, 0, 0, 0), 8);
    assert_int_equal(lag_may_lease(&rules, 0, 0, 8), 0);
    assert_int_equal(lag_may_lease(&rules, 0, 0, 9), 0);
    assert_int_equal(lag_may_lease(&rules, 3, 2, 1), 3); // weights one round back: one round's room
    assert_int_equal(lag_may_lease(&rules, 3, 1, 0), 0); // two back: none
    rules.limit = 9;                                     // a target is paced by the target
    assert_int_equal(lag_may_lease(&rules, 3, 1, 0), 0);
}

/* While round 2 is trained: B = 4, and version 3 is to come. */
static void leases_ahead_leave_older_weights_their_room(void **)
{
    struct lag_rules rules = {.eta = 1, .limit = 1, .groups = 4};
    assert_int_equal(lag_may_lease_ahead(&rules, 3, 0, 0), 4); // of 8: 4 are for weights of round 2
    assert_int_equal(lag_may_lease_ahead(&rules, 3, 4, 0), 4);
    assert_int_equal(lag_may_lease_ahead(&rules, 3, 7, 3), 1);
    assert_int_equal(lag_may_lease_ahead(&rules, 3, 8, 4), 0);
    assert_int_equal(lag_may_lease_ahead(&rules, 3, 6, 0), 2); // the limit was lowered since
    assert_int_equal(lag_may_lease_ahead(&rules, 3, 9, 5), 0);
    rules.eta = 0;
    assert_int_equal(lag_may_lease_ahead(&rules, 3, 0, 0), 4); // exactly the next round's
    assert_int_equal(lag_may_lease_ahead(&rules, 3, 4, 4), 0);
}

static void a_straggler_is_named_with_its_excess(void **)
{
    struct lag_rules rules = {.eta = 1, .limit = 1, .groups = 2};
    const struct lag_age few[] = {{3, 4, 1}};
    assert_int_equal(lag_may_form(&rules, 3, few, 1).kind, LAG_FEW);
    const struct lag_age fine[] = {{3, 2, 2}};
    assert_int_equal(lag_may_form(&rules, 3, fine, 1).kind, LAG_FORM);
    const struct lag_age late[] = {{2, 1, 0}, {3, 1, 2}}; // the lease of age 2 must join round 3
    struct lag_form form = lag_may_form(&rules, 3, late, 2);
    assert_int_equal(form.kind, LAG_STRAGGLER);
    assert_int_equal(form.age, 2);
    assert_int_equal(form.excess, 1);
    assert_int_equal(lag_may_form(&rules, 2, late, 2).kind,
                     LAG_FORM); // here it may still join round 3
}

/* Whether all live groups could be trained in time from round next on, oldest first, were they all
 * stored: tried. */
static bool schedule_exists(const struct lag_rules *rules, uint64_t next, struct lag_age *ages,
                            size_t n)
{
    for (uint64_t round = next;; round++) {
        uint64_t take = rules->groups, left = 0;
        for (size_t i = 0; i < n; i++) {
            uint64_t live = ages[i].leased + ages[i].stored;
            if (live && lag_of(round, ages[i].round) > rules->limit)
                return false;
            uint64_t picked = live < take ? live : take;
            ages[i] = (struct lag_age){ages[i].round, 0, live - picked};
            take -= picked;
            left += live - picked;
        }
        if (!left)
            return true;
    }
}

static size_t draw_ages(const struct rng *rng, uint64_t at, uint64_t next, uint64_t limit,
                        struct lag_age ages[8])
{
    size_t n = 0;
    for (uint64_t back = limit < 7 ? limit : 7; n < 8; back--) {
        uint64_t a = rng_below(rng, at++, 4), b = rng_below(rng, at++, 4);
        if (next >= back && a + b)
            ages[n++] = (struct lag_age){next - back, a, b};
        if (!back)
            break;
    }
    return n;
}

/* The formulas say exactly what trying out a schedule says. */
static void the_rules_agree_with_schedules_tried_out(void **)
{
    int formed = 0, stragglers = 0, broken = 0;
    for (uint64_t trial = 0; trial < 20000; trial++) {
        struct rng rng = rng_keyed(1, RNG_TEST, trial, 0);
        uint64_t limit = rng_below(&rng, 0, 5), next = 5 + rng_below(&rng, 1, 3), age, excess;
        struct lag_rules rules = {limit, limit, 1 + rng_below(&rng, 2, 5)};
        struct lag_age ages[9], tried[9];
        size_t n = draw_ages(&rng, 3, next, limit, ages);
        memcpy(tried, ages, sizeof ages);
        bool holds = schedule_exists(&rules, next, tried, n);
        assert_int_equal(!lag_excess(&rules, next, ages, n, &age, &excess), holds);
        broken += !holds;
        if (!holds)
            continue;
        for (uint64_t back = 0; back <= limit; back++) { // one more of age next - back
            memcpy(tried, ages, sizeof ages);
            size_t m = n;
            tried[m++] = (struct lag_age){next - back, 1, 0};
            for (size_t i = m - 1; i && tried[i - 1].round > tried[i].round; i--) {
                struct lag_age swap = tried[i];
                tried[i] = tried[i - 1];
                tried[i - 1] = swap;
            }
            assert_int_equal(lag_may_admit(&rules, next, ages, n, next - back),
                             schedule_exists(&rules, next, tried, m));
        }
        struct lag_form form = lag_may_form(&rules, next, ages, n);
        if (form.kind == LAG_FEW)
            continue;
        uint64_t take = rules.groups;
        memcpy(tried, ages, sizeof ages);
        for (size_t i = 0; i < n; i++) {
            uint64_t picked = tried[i].stored < take ? tried[i].stored : take;
            tried[i].stored -= picked;
            take -= picked;
        }
        assert_int_equal(form.kind == LAG_FORM, schedule_exists(&rules, next + 1, tried, n));
        *(form.kind == LAG_FORM ? &formed : &stragglers) += 1;
    }
    assert_true(formed > 1000 && stragglers > 300 && broken > 1000);
}

/* Whatever older weights leased and lease, with all that is leased ahead a schedule exists. */
static void what_is_leased_ahead_can_be_trained(void **)
{
    int ahead_n = 0;
    for (uint64_t trial = 0; trial < 5000; trial++) {
        struct rng rng = rng_keyed(2, RNG_TEST, trial, 0);
        const uint64_t eta = rng_below(&rng, 0, 5), next = 6;
        const struct lag_rules rules = {eta, eta, 1 + rng_below(&rng, 1, 5)};
        struct lag_age ages[9] = {0};
        size_t n = 0;
        uint64_t live = 0, at = 2;
        for (uint64_t held = next - (eta < 5 ? eta : 5); held < next; held++) {
            const uint64_t room = lag_may_lease(&rules, next, held, live);
            const uint64_t leased = room ? rng_below(&rng, at++, room + 1) : 0;
            live += leased;
            if (leased)
                ages[n++] = (struct lag_age){held, leased, 0};
        }
        const uint64_t ahead = lag_may_lease_ahead(&rules, next, live, 0);
        const uint64_t more = next && eta ? lag_may_lease(&rules, next, next - 1, live) : 0;
        assert_int_equal(ahead, rules.groups); // older weights cannot take it
        if (more && n && ages[n - 1].round == next - 1)
            ages[n - 1].leased += more; // as if nothing had been leased ahead
        else if (more)
            ages[n++] = (struct lag_age){next - 1, more, 0};
        ages[n++] = (struct lag_age){next, ahead, 0};
        assert_true(schedule_exists(&rules, next, ages, n));
        assert_int_equal(lag_may_lease_ahead(&rules, next, live + more + ahead, ahead), 0);
        ahead_n += ahead > 0;
    }
    assert_int_equal(ahead_n, 5000);
}

TESTS(cmocka_unit_test(room_is_of_the_rounds_that_an_age_can_join),
      cmocka_unit_test(leases_stop_at_the_bound),
      cmocka_unit_test(leases_ahead_leave_older_weights_their_room),
      cmocka_unit_test(a_straggler_is_named_with_its_excess),
      cmocka_unit_test(the_rules_agree_with_schedules_tried_out),
      cmocka_unit_test(what_is_leased_ahead_can_be_trained))
