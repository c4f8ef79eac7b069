/* What holds a daemon up: its words are fit for a terminal, its seconds are those of the cause; and
 * when a peer is such a cause. */
#include "base/bytes.h"
#include "base/printable.h"
#include "base/scoped.h"
#include "svc/metrics.h"
#include "svc/peer.h"
#include "testing/testing.h"
#include <string.h>

static void words_are_printable(void **)
{
    struct hold hold = hold_make(HOLD_PAUSED, "by \x1b[31m%s\x80\xc3\xa4", "a\tb");
    assert_non_null(strstr(hold.text, "by \\x1b[31ma\\x09b"));
    assert_true(utf8_is(hold.text));
    char longer[2 * HOLD_TEXT];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(strlen(hold_make(HOLD_DISK, "%s", longer).text), HOLD_TEXT - 1);
    memcpy(longer + HOLD_TEXT - 2, "\xc3\xa4", 2); // the cut is in the middle of a character
    assert_true(utf8_is(hold_make(HOLD_DISK, "%s", longer).text));
}

static double shown(const char *name)
{
    SCOPED_VALUE(bytes) text = {0};
    metrics_render(&text);
    const char *at = strstr((const char *)text.data, name);
    assert_non_null(at);
    return at[strlen(name) + 1] - '0';
}

static void seconds_are_those_of_the_cause(void **)
{
    SCOPED(held) held = held_new();
    struct hold none = {0}, disk = hold_make(HOLD_DISK, "disk"),
                groups = hold_make(HOLD_GROUPS, "g");
    held_say(held, &disk, 7, 100);
    disk = hold_make(HOLD_DISK, "other words");
    held_say(held, &disk, 8, 130);
    assert_near(held_now(held)->seconds, 30, 1e-9);
    assert_string_equal(held_now(held)->hold.text, "other words");
    assert_near(shown("rlhfd_held_up{cause=\"disk_low\"}"), 1, 0);
    held_say(held, &groups, 8, 131);
    assert_near(held_now(held)->seconds, 0, 1e-9);
    held_say(held, &groups, 8, 141);
    assert_near(held_now(held)->seconds, 10, 1e-9);
    held_say(held, &groups, 9, 142); // it goes on, and waits again
    assert_near(held_now(held)->seconds, 0, 1e-9);
    assert_near(shown("rlhfd_held_up{cause=\"disk_low\"}"), 0, 0);
    assert_near(shown("rlhfd_held_up{cause=\"no_groups\"}"), 1, 0);
    held_say(held, &none, 9, 143);
    assert_near(shown("rlhfd_held_up{cause=\"no_groups\"}"), 0, 0);
}

static void causes_have_words_of_their_own(void **)
{
    for (int a = HOLD_NONE + 1; a < HOLD_COUNT; a++) {
        assert_true(*hold_word((enum hold_cause)a) != 0);
        for (int b = HOLD_NONE; b < a; b++)
            assert_string_not_equal(hold_word((enum hold_cause)a), hold_word((enum hold_cause)b));
    }
    assert_true(hold_ready(HOLD_NO_GENERATOR) && !hold_calm(HOLD_NO_GENERATOR));
    assert_false(hold_ready(HOLD_DISK) || hold_calm(HOLD_DISK));
    assert_true(!hold_ready(HOLD_REPLAY) && hold_calm(HOLD_REPLAY));
    assert_true(hold_ready(HOLD_NONE) && hold_ready(HOLD_STRAGGLER));
}

static void a_peer_that_is_not_reached(void **)
{
    struct hold hold = {0};
    struct peer peer = peer_of("learner", "127.0.0.1:7003", HOLD_NO_LEARNER, 100);
    assert_true(peer_holds(&peer, 103, &hold));
    assert_int_equal(hold.cause, HOLD_NO_LEARNER);
    assert_non_null(strstr(hold.text, "the learner (127.0.0.1:7003) has not been reached for 3 s"));
    peer_down(&peer, "connection refused", 104);
    assert_true(peer_holds(&peer, 110, &hold));
    assert_non_null(strstr(hold.text, "for 10 s: connection refused"));
    peer_up(&peer, 111);
    assert_false(peer_holds(&peer, 111, &hold));
    assert_true(peer.joined);
    peer_down(&peer, "reset", 120);
    assert_true(peer_holds(&peer, 122, &hold));
    assert_int_equal(hold.cause, HOLD_NO_LEARNER);
    assert_non_null(strstr(hold.text, "for 2 s: reset"));
}

static void a_stream_that_keeps_breaking(void **)
{
    struct hold hold = {0};
    struct peer peer = peer_of("rewarder", "r:1", HOLD_NO_REWARDER, 0);
    for (int i = 1; i <= 3; i++) {
        peer_up(&peer, i);
        peer_down(&peer, "malformed group", i);
    }
    peer_up(&peer, 4);
    assert_true(peer_holds(&peer, 5, &hold)); // although it is up just now
    assert_int_equal(hold.cause, HOLD_STREAM);
    assert_non_null(strstr(hold.text, "the rewarder (r:1) keeps breaking: 3 times"));
    assert_non_null(strstr(hold.text, "malformed group"));
    assert_false(peer_holds(&peer, 4 + PEER_CALM_S, &hold));
    peer_works(&peer);
    assert_false(peer_holds(&peer, 6, &hold));
}

TESTS(cmocka_unit_test(words_are_printable), cmocka_unit_test(seconds_are_those_of_the_cause),
      cmocka_unit_test(causes_have_words_of_their_own),
      cmocka_unit_test(a_peer_that_is_not_reached), cmocka_unit_test(a_stream_that_keeps_breaking))
