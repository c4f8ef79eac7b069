/* When the leases of a generator that has gone are freed, by a clock that the test turns. */
#include "base/clock.h"
#include "base/env.h"
#include "learner/lease/absence.h"
#include "testing/testing.h"
#include <stdio.h>
#include <string.h>

enum { GRACE_MS = 5000, MANY = 200 };

static int64_t at_ms;

static int64_t at_ns(void)
{
    return at_ms * 1000000;
}

/* Each test begins with a clock that stands, a minute after the learner's start. */
struct fixture {
    struct env env;
    const struct env *before;
    struct absences absences;
};

static int setup(void **state)
{
    static struct fixture f;
    at_ms = 1000;
    f.env = *env();
    f.env.monotonic_ns = at_ns;
    f.before = env_replace(&f.env);
    absences_init(&f.absences, clock_ms());
    at_ms += 60000;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    absences_done(&f->absences);
    env_replace(f->before);
    return 0;
}

static void leaves(struct fixture *f, const char *name, uint64_t term)
{
    absences_add(&f->absences, name, term, "ipv4:127.0.0.1:1", clock_ms());
}

static void company(struct fixture *f, bool company)
{
    absences_company(&f->absences, company, clock_ms());
}

/* Whose leases would be freed now; "": nobody's. */
static const char *over(struct fixture *f)
{
    const struct absence *absence = absences_over(&f->absences, GRACE_MS, clock_ms());
    return absence ? absence->generator : "";
}

static void a_grace_is_waited_for_to_the_millisecond(void **state)
{
    struct fixture *f = *state;
    company(f, true);
    leaves(f, "a", 1);
    assert_string_equal(over(f), "");
    at_ms += GRACE_MS - 1;
    assert_string_equal(over(f), "");
    at_ms++;
    assert_string_equal(over(f), "a");
    absences_remove(&f->absences, absences_find(&f->absences, "a"));
    assert_string_equal(over(f), "");
}

static void who_comes_back_keeps_its_leases(void **state)
{
    struct fixture *f = *state;
    company(f, true);
    leaves(f, "a", 1);
    leaves(f, "b", 2);
    leaves(f, "a", 3); // of a process before
    at_ms += GRACE_MS - 1;
    absences_end(&f->absences, "a");
    at_ms++;
    assert_string_equal(over(f), "b");
    assert_null(absences_find(&f->absences, "a"));
    assert_int_equal(f->absences.count, 1);
    leaves(f, "a", 3);
    at_ms += GRACE_MS;
    absences_end(&f->absences, "b");
    assert_string_equal(over(f), "a"); // a new absence, with a grace of its own
}

/* A break of the network that cuts all off, however long: each that comes first gives the others a
 * grace. */
static void while_all_have_gone_nothing_is_freed(void **state)
{
    struct fixture *f = *state;
    company(f, true);
    leaves(f, "a", 1);
    at_ms += GRACE_MS - 1;
    leaves(f, "b", 2);
    company(f, false);
    at_ms += 10 * 3600 * 1000;
    assert_string_equal(over(f), "");
    absences_end(&f->absences, "b");
    company(f, true);
    assert_string_equal(over(f), "");
    at_ms += GRACE_MS - 1;
    company(f, true);
    assert_string_equal(over(f), "");
    at_ms++;
    assert_string_equal(over(f), "a");
}

/* Generators that were connected before a restart, and are on their way. */
static void after_a_start_generators_have_time_to_come(void **state)
{
    struct fixture *f = *state;
    absences_init(&f->absences, clock_ms());
    absences_add(&f->absences, "a", 1, "", f->absences.began_ms);
    at_ms += 100;
    company(f, true);
    at_ms += LEASE_RETURN_MS - 101;
    assert_string_equal(over(f), "");
    at_ms++;
    assert_string_equal(over(f), "a");
}

static void a_late_companion_after_a_start_gives_a_grace(void **state)
{
    struct fixture *f = *state;
    absences_init(&f->absences, clock_ms());
    absences_add(&f->absences, "a", 1, "", f->absences.began_ms);
    company(f, false);
    at_ms += LEASE_RETURN_MS;
    company(f, true);
    assert_string_equal(over(f), "");
    at_ms += GRACE_MS;
    assert_string_equal(over(f), "a");
}

static void one_that_was_sent_away_has_no_grace(void **state)
{
    struct fixture *f = *state;
    absences_init(&f->absences, clock_ms());
    leaves(f, "a", 1);
    absences_add(&f->absences, "b", 2, "", clock_ms())->away = true;
    assert_string_equal(over(f), ""); // nobody could take them
    company(f, true);
    assert_string_equal(over(f), "b");
}

static void the_setting_counts_as_it_is_now(void **state)
{
    struct fixture *f = *state;
    company(f, true);
    leaves(f, "a", 1);
    at_ms += 10;
    assert_null(absences_over(&f->absences, 11, clock_ms()));
    assert_non_null(absences_over(&f->absences, 10, clock_ms()));
    assert_non_null(absences_over(&f->absences, 0, clock_ms()));
}

/* The first to come of the same process counts, and its texts are copies. */
static void many_come_and_go(void **state)
{
    struct fixture *f = *state;
    company(f, true);
    for (uint64_t term = 1; term <= MANY; term++) {
        char name[16];
        snprintf(name, sizeof name, "g%d", (int)(term % 50));
        leaves(f, name, term);
        leaves(f, name, term);
        memset(name, 'x', sizeof name);
    }
    assert_int_equal(f->absences.count, MANY);
    at_ms += GRACE_MS;
    absences_end(&f->absences, "g7");
    assert_int_equal(f->absences.count, MANY - MANY / 50);
    int freed = 0;
    for (struct absence *a; (a = absences_over(&f->absences, GRACE_MS, clock_ms())); freed++) {
        assert_string_not_equal(a->generator, "g7");
        absences_remove(&f->absences, a);
    }
    assert_int_equal(freed, MANY - MANY / 50);
    assert_int_equal(f->absences.count, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
TESTS(CASE(a_grace_is_waited_for_to_the_millisecond), CASE(who_comes_back_keeps_its_leases),
      CASE(while_all_have_gone_nothing_is_freed), CASE(after_a_start_generators_have_time_to_come),
      CASE(a_late_companion_after_a_start_gives_a_grace), CASE(one_that_was_sent_away_has_no_grace),
      CASE(the_setting_counts_as_it_is_now), CASE(many_come_and_go))
