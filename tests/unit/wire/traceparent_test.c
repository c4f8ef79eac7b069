#include "base/mem.h"
#include "testing/testing.h"
#include "unit/wire/rollout_kit.h"
#include "wire/lease.h"
#include "wire/rollout.h"
#include "wire/traceparent.h"
#include <stdio.h>
#include <string.h>

static const struct digest id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff}};

/* W3C: version, 16 bytes of the trace, 8 of the parent, flags; small letters. */
static void the_form_is_w3c(void **)
{
    char text[TRACE_PARENT], again[TRACE_PARENT], other[TRACE_PARENT];
    trace_parent(&id, "generator", text);
    trace_parent(&id, "generator", again);
    trace_parent(&id, "rewarder", other);
    assert_int_equal(strlen(text), 55);
    assert_memory_equal(text, "00-000102030405060708090a0b0c0d0eff-", 36);
    assert_string_equal(text + 52, "-01");
    assert_string_equal(text, again); // nothing is drawn
    assert_string_not_equal(text, other);
    assert_memory_equal(text, other, 36);
}

static void what_is_wrong_has_not_come(void **)
{
    static const char *const wrong[] = {
        "",
        "00",
        "00-000102030405060708090a0b0c0d0eff-0000000000000000-01",  // no parent
        "00-000102030405060708090a0b0c0d0efe-00f067aa0ba902b7-01",  // another trace
        "00-000102030405060708090A0B0C0D0EFF-00f067aa0ba902b7-01",  // capitals
        "01-000102030405060708090a0b0c0d0eff-00f067aa0ba902b7-01",  // a version to come
        "00-000102030405060708090a0b0c0d0eff-00f067aa0ba902b-01",   // short
        "00-000102030405060708090a0b0c0d0eff-00f067aa0ba902b7-012", // long
        "00-000102030405060708090a0b0c0d0eff-00f067aa0ba902bx-01",
        "00-000102030405060708090a0b0c0d0eff-00f067aa0ba902b7_01",
        "00-000102030405060708090a0b0c0d0eff-00f067aa0ba902b7-0 ",
    };
    char text[TRACE_PARENT];
    const char *right = "00-000102030405060708090a0b0c0d0eff-00f067aa0ba902b7-00";
    trace_take(right, &id, text);
    assert_string_equal(text, right);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        trace_take(wrong[i], &id, text);
        assert_string_equal(text, "");
    }
}

static void check_group(struct group *group, const char *sent, const char *wanted)
{
    SCOPED_VALUE(bytes) out = {0};
    SCOPED(group) read = NULL;
    snprintf(group->traceparent, sizeof group->traceparent, "%s", sent);
    group_encode(group, &out);
    assert_ok(group_decode(out.data, out.len, &GROUP_LIMITS, &read));
    assert_string_equal(read->traceparent, wanted);
    assert_int_equal(read->completions, group->completions);
}

/* With it, without, and with one that is none: the group is the same. */
static void it_goes_with_a_group(void **)
{
    char text[TRACE_PARENT];
    SCOPED(group) group = random_group(1);
    SCOPED_VALUE(bytes) without = {0};
    SCOPED_VALUE(bytes) again = {0};
    group_encode(group, &without);
    trace_parent(&group->id, "generator", text);
    check_group(group, text, text);
    check_group(group, "", "");
    check_group(group, "no trace", "");
    *group->traceparent = 0;
    group_encode(group, &again);
    assert_int_equal(again.len, without.len);
    assert_memory_equal(again.data, without.data, again.len);
}

/* Builds that do not know the field go past it, as this one does past the next. */
static void an_unknown_field_is_no_fault(void **)
{
    static const uint8_t unknown[] = {0xa2, 0x06, 3, 'n', 'e', 'w'}; // field 100, bytes
    SCOPED(group) group = random_group(1);
    SCOPED(group) read = NULL;
    SCOPED_VALUE(bytes) out = {0};
    group_encode(group, &out);
    bytes_put(&out, unknown, sizeof unknown);
    assert_ok(group_decode(out.data, out.len, &GROUP_LIMITS, &read));
    assert_int_equal(read->slot, group->slot);
}

static void it_goes_with_a_grant(void **)
{
    struct lease_grant grant = {.id = id, .attempt = 1, .row = (char *)"{}", .deadline_ms = 1};
    SCOPED_VALUE(bytes) out = {0};
    struct lease_reply reply = {0};
    trace_parent(&id, "learner", grant.traceparent);
    lease_reply_encode(&(struct lease_reply){.grants = 1, .grant = &grant}, &out);
    assert_ok(lease_reply_decode(out.data, out.len, &reply));
    assert_string_equal(reply.grant[0].traceparent, grant.traceparent);
    lease_reply_done(&reply);
}

TESTS(cmocka_unit_test(the_form_is_w3c), cmocka_unit_test(what_is_wrong_has_not_come),
      cmocka_unit_test(it_goes_with_a_group), cmocka_unit_test(an_unknown_field_is_no_fault),
      cmocka_unit_test(it_goes_with_a_grant))
