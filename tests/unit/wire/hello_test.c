/* Hellos: what differs is named, and hostile ones are bounded. */
#include "base/mem.h"
#include "base/version.h"
#include "testing/testing.h"
#include "wire/hello.h"
#include "wire/rollout.h"
#include <stdlib.h>
#include <string.h>

static struct hello hello_of(const char *const *words)
{
    struct hello hello = {0};
    for (; *words; words += 2)
        hello_put(&hello, words[0], words[1]);
    return hello;
}

static void every_difference_is_named(void **)
{
    SCOPED_VALUE(hello) ours = hello_of((const char *const[]){"a", "1", "b", "2", "c", "3", NULL});
    SCOPED_VALUE(hello) same = hello_of((const char *const[]){"c", "3", "a", "1", "b", "2", NULL});
    SCOPED_VALUE(hello) other = hello_of((const char *const[]){"a", "1", "b", "5", NULL});
    SCOPED_VALUE(hello)
    more = hello_of((const char *const[]){"a", "1", "b", "2", "c", "3", "d", "4", NULL});
    SCOPED_VALUE(hello) none = hello_of((const char *const[]){"z", "1", NULL});
    assert_ok(hello_check(&ours, &ours, "w"));
    assert_ok(hello_check(&ours, &same, "w"));
    assert_err(ERR_PRECONDITION,
               "w has another recipe: b is 5 there, 2 here; c is not said there, 3 here",
               hello_check(&ours, &other, "w"));
    assert_err(ERR_PRECONDITION, "w has another recipe: d is 4 there, not said here",
               hello_check(&ours, &more, "w"));
    assert_err(ERR_PRECONDITION, "; 1 more differ", hello_check(&ours, &none, "w"));
}

/* The learner is upgraded first: it takes workers of the number before, none that is newer. */
static void another_protocol_is_refused_before_anything_else(void **)
{
    SCOPED_VALUE(hello) ours = hello_of((const char *const[]){"a", "1", NULL});
    SCOPED_VALUE(hello) theirs = hello_of((const char *const[]){"a", "1", NULL});
    for (uint32_t taken = HELLO_PROTOCOL_OLDEST; taken <= HELLO_PROTOCOL; taken++) {
        theirs.protocol = taken;
        assert_ok(hello_check(&ours, &theirs, "w"));
    }
    theirs.protocol = HELLO_PROTOCOL + 1;
    theirs.build = mem_string("9.0.0");
    assert_err(ERR_PRECONDITION,
               "w (version 9.0.0) speaks protocol 5, this learner 3 to 4 (version ",
               hello_check(&ours, &theirs, "w"));
    assert_err(ERR_PRECONDITION, "upgrade the learner first, then rewarders, then generators",
               hello_check(&ours, &theirs, "w"));
    theirs.protocol = HELLO_PROTOCOL_OLDEST - 1;
    assert_err(ERR_PRECONDITION, "w (version 9.0.0) speaks protocol 2, this learner 3 to 4",
               hello_check(&ours, &theirs, "w"));
    assert_err(ERR_PRECONDITION, "upgrade that worker to the learner's version",
               hello_check(&ours, &theirs, "w"));
    assert_err(ERR_PRECONDITION, version_text, hello_check(&ours, &theirs, "w"));
    assert_err(ERR_PRECONDITION, "w speaks protocol 0, this learner 3 to 4",
               hello_check(&ours, &(struct hello){0}, "w"));
    assert_err(ERR_PRECONDITION, "the learner speaks protocol 3, this process 4",
               hello_same_protocol(3, "the learner"));
}

/* The place where long values differ is shown, in a message that a status can carry. */
static void long_values_are_cut_around_the_difference(void **)
{
    SCOPED_MEM char *a = mem_new(100001);
    SCOPED_MEM char *b = mem_new(100001);
    memset(a, 'x', 100000);
    memset(b, 'x', 100000);
    memcpy(a + 50000, "left", 4);
    memcpy(b + 50000, "right", 5);
    SCOPED_VALUE(hello) ours = hello_of((const char *const[]){"k", a, NULL});
    SCOPED_VALUE(hello) theirs = hello_of((const char *const[]){"k", b, NULL});
    err_t e = hello_check(&ours, &theirs, "w");
    assert_non_null(strstr(err_message(e), "k is ...xxxxxxxxxxxxright"));
    assert_non_null(strstr(err_message(e), " there, ...xxxxxxxxxxxxleft"));
    assert_true(strlen(err_message(e)) < 250);
    err_free(e);
}

static void it_crosses_the_wire(void **)
{
    SCOPED_VALUE(hello) ours = hello_of((const char *const[]){"a", "1", "b", "", NULL});
    SCOPED_VALUE(hello) theirs = {0};
    SCOPED_VALUE(bytes) out = {0};
    hello_encode(&ours, &out);
    assert_ok(hello_decode(out.data, out.len, &theirs));
    assert_int_equal(theirs.protocol, HELLO_PROTOCOL);
    assert_int_equal(theirs.settings, 2);
    assert_string_equal(theirs.build, version_text);
    assert_ok(hello_check(&ours, &theirs, "w"));
    struct group *group = NULL;
    const struct group_limits limits = GROUP_LIMITS;
    assert_err(ERR_INVALID, "run has 0 bytes", group_decode(out.data, out.len, &limits, &group));
    bytes_clear(&out);
    welcome_encode(HELLO_PROTOCOL_OLDEST, &out);
    uint32_t protocol = 0;
    bool knows = false;
    assert_true(welcome_decode(out.data, out.len, &protocol, &knows));
    assert_true(knows);
    assert_int_equal(protocol, HELLO_PROTOCOL_OLDEST);
    assert_false(welcome_decode(out.data, 0, &protocol, &knows));
    struct disposition disposition = {.id = group_id("r", 1, 1, 1), .outcome = OUTCOME_STORED};
    bytes_clear(&out);
    disposition_encode(&disposition, &out);
    assert_false(welcome_decode(out.data, out.len, &protocol, &knows));
}

/* A hello says whose log-probabilities these are. Others are welcome, unless the learner is
 * told otherwise. */
static void other_numerics_are_refused_by_setting(void **)
{
    SCOPED_VALUE(hello) ours = hello_of((const char *const[]){"a", "1", NULL});
    SCOPED_VALUE(hello) other = hello_of((const char *const[]){"a", "1", NULL});
    SCOPED_VALUE(hello) none = {0};
    SCOPED_VALUE(hello) theirs = {0};
    SCOPED_VALUE(bytes) out = {0};
    ours.forward = mem_string("backend=cpu kernels=2 kv=bf16");
    other.forward = mem_string("backend=cuda kernels=1 build=5f1c arch=sm_90 kv=bf16");
    hello_encode(&other, &out);
    assert_ok(hello_decode(out.data, out.len, &theirs));
    assert_string_equal(theirs.forward, other.forward);
    assert_ok(hello_check(&ours, &theirs, "w"));
    ours.same_forward = mem_string("backend=cpu kernels=2 kv=bf16");
    assert_err(
        ERR_PRECONDITION,
        "computes log-probabilities by 'backend=cuda kernels=1 build=5f1c arch=sm_90 kv=bf16', "
        "this learner by 'backend=cpu kernels=2 kv=bf16'",
        hello_check(&ours, &theirs, "w"));
    assert_err(ERR_PRECONDITION, "run.mixed_numerics", hello_check(&ours, &theirs, "w"));
    free(STEAL(other.forward));
    bytes_clear(&out);
    hello_encode(&other, &out);
    assert_ok(hello_decode(out.data, out.len, &none));
    assert_null(none.forward);
    assert_ok(hello_check(&ours, &none, "w")); // a worker that computes none
    assert_ok(hello_check(&ours, &ours, "w"));
    none.forward = mem_string("backend=cpu kernels=2 kv=bf16 vacant=3");
    assert_ok(hello_check(&ours, &none, "w"));
    none.forward[29] = '9'; // a longer word
    assert_err(ERR_PRECONDITION, "run.mixed_numerics", hello_check(&ours, &none, "w"));
    other.forward = mem_new(257);
    memset(other.forward, 'f', 256);
    bytes_clear(&out);
    hello_encode(&other, &out);
    SCOPED_VALUE(hello) ret = {0};
    assert_err(ERR_INVALID, "forward has 256 bytes; at most 255",
               hello_decode(out.data, out.len, &ret));
}

/* A setting of workers that this learner has no use for. */
static void a_setting_may_stay_unasked(void **)
{
    SCOPED_VALUE(hello) without = hello_of((const char *const[]){"a", "1", NULL});
    SCOPED_VALUE(hello) with = hello_of((const char *const[]){"a", "1", "t", "x", NULL});
    SCOPED_VALUE(hello) other = hello_of((const char *const[]){"a", "1", "t", "y", NULL});
    assert_err(ERR_PRECONDITION, "t is x there", hello_check(&without, &with, "w"));
    assert_err(ERR_PRECONDITION, "t", hello_check(&with, &without, "w"));
    without.unasked = with.unasked = "t";
    assert_ok(hello_check(&without, &with, "w"));
    assert_ok(hello_check(&with, &without, "w"));
    assert_ok(hello_check(&with, &other, "w"));
    with.unasked = "a";
    assert_err(ERR_PRECONDITION, "t is y there", hello_check(&with, &other, "w"));
}

static void hostile_ones_are_bounded(void **)
{
    SCOPED_VALUE(hello) many = {0};
    SCOPED_VALUE(hello) ret = {0};
    SCOPED_VALUE(bytes) out = {0};
    for (int i = 0; i < HELLO_SETTINGS_MAX + 1; i++)
        hello_put(&many, "k", "v");
    hello_encode(&many, &out);
    assert_err(ERR_INVALID, "hello: 129 settings; at most 128",
               hello_decode(out.data, out.len, &ret));
    SCOPED_VALUE(hello) empty = hello_of((const char *const[]){"", "v", NULL});
    bytes_clear(&out);
    hello_encode(&empty, &out);
    assert_err(ERR_INVALID, "a key of 0 bytes", hello_decode(out.data, out.len, &ret));
    assert_err(ERR_NOT_FOUND, "no hello", hello_decode((const uint8_t *)"\x7f\xff", 2, &ret));
    assert_err(ERR_NOT_FOUND, "no hello", hello_decode(out.data, 0, &ret));
    for (size_t len = 0; len < out.len; len++) { // cut anywhere
        SCOPED_MEM uint8_t *cut = mem_copy(out.data, len);
        err_free(hello_decode(cut, len, &ret));
    }
    assert_int_equal(ret.settings, 0);
}

TESTS(cmocka_unit_test(every_difference_is_named),
      cmocka_unit_test(another_protocol_is_refused_before_anything_else),
      cmocka_unit_test(long_values_are_cut_around_the_difference),
      cmocka_unit_test(it_crosses_the_wire),
      cmocka_unit_test(other_numerics_are_refused_by_setting),
      cmocka_unit_test(a_setting_may_stay_unasked), cmocka_unit_test(hostile_ones_are_bounded))
