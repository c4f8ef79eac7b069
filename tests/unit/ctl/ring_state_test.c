/* Figures of the ring from what daemons say, and the picture of a given state, to the character. */
#include "base/mem.h"
#include "base/rng.h"
#include "ctl/look/ring_picture.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

static struct ring_state ring;

static json_t *status_of(const char *daemon, const char *state, const char *waits_for,
                         json_t *numbers)
{
    json_t *status = json_pack("{s:s, s:s, s:s, s:[]}", "daemon", daemon, "run", "sort", "state",
                               state, "numbers");
    const char *name;
    json_t *value;
    json_object_foreach (numbers, name, value)
        json_array_append_new(json_object_get(status, "numbers"),
                              json_pack("{s:s, s:O}", "name", name, "value", value));
    if (waits_for)
        json_object_set_new(status, "texts",
                            json_pack("[{s:s, s:s}]", "name", "waits_for", "value", waits_for));
    json_decref(numbers);
    return status;
}

/* Takes status. */
static void say(const char *name, json_t *status, int64_t now_ms)
{
    ring_state_status(&ring, ring_state_daemon(&ring, name), status, now_ms);
    json_decref(status);
}

static bool older; // its counters have no _total

static void generator(const char *name, double s, double tokens, double groups, double version,
                      const char *waits_for)
{
    say(name,
        status_of("generator", "SERVING", waits_for,
                  json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}",
                            older ? "rlhfd_decode_tokens" : "rlhfd_decode_tokens_total", tokens,
                            "rlhfd_groups_delivered_total", groups, "rlhfd_weights_version",
                            version, "rlhfd_decode_busy_seconds_total", 0.75 * s,
                            "rlhfd_decode_idle_seconds_total", 0.25 * s,
                            "rlhfd_decode_active_slots", 64.0)),
        (int64_t)(1000 * s));
}

static void rewarder(double s, double groups)
{
    say("rewarder",
        status_of("rewarder", "SERVING", NULL,
                  json_pack("{s:f, s:f}", "rlhfd_groups_scored_total", groups,
                            "rlhfd_groups_waiting", 3.0)),
        (int64_t)(1000 * s));
}

static void learner(double s, double round, double bytes)
{
    json_t *status = status_of(
        "learner", "TRAINING", "groups",
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "rlhfd_round", round,
                  "rlhfd_version", round, "rlhfd_reward_mean", 0.8125,
                  "rlhfd_groups_appended_total{outcome=\"stored\"}", 10 * round,
                  "rlhfd_groups_appended_total{outcome=\"stale\"}", 2 * round,
                  "rlhfd_tokens_trained_total", 1500 * round, "rlhfd_weights_sent_bytes_total",
                  bytes, "rlhfd_learner_busy_seconds_total", 0.9 * s,
                  "rlhfd_learner_idle_seconds_total", 0.1 * s, "rlhfd_lag_mean", 1.25,
                  "rlhfd_lag_max", 2.0));
    json_object_set_new(status, "lags",
                        json_pack("[{s:i,s:i,s:i,s:i},{s:i,s:i,s:i,s:i},{s:i,s:i,s:i,s:i}]", "lag",
                                  0, "trained", 100, "stored", 16, "leased", 40, "lag", 1,
                                  "trained", 1600, "stored", 4, "leased", 8, "lag", 2, "trained",
                                  400, "stored", 0, "leased", 0));
    say("learner", status, (int64_t)(1000 * s));
}

static int fresh(void **state)
{
    (void)state;
    memset(&ring, 0, sizeof ring);
    return 0;
}

/* Two seconds of a ring with two generators. */
static void ten_and_twelve_seconds(void)
{
    learner(10, 20, 1e6);
    rewarder(10, 200);
    generator("generator", 10, 10000, 100, 19, NULL);
    generator("generator-2", 10, 20000, 100, 18, "leases");
    learner(12, 24, 3.5e6);
    rewarder(12, 248);
    generator("generator", 12, 14000, 124, 23, NULL);
    generator("generator-2", 12, 26000, 124, 22, "leases");
}

static void rates_are_differences_over_time(void **state)
{
    (void)state;
    ten_and_twelve_seconds();
    const struct ring_figures f = ring_state_figures(&ring);
    const struct ring_rates *g = &f.kind[RING_GENERATOR], *l = &f.kind[RING_LEARNER];
    assert_int_equal(g->count, 2);
    assert_near(g->tokens, (4000 + 6000) / 2.0, 1e-9);
    assert_near(g->groups, 24, 1e-9);
    assert_near(g->busy, 0.75, 1e-9);
    assert_near(g->version_least, 22, 0);
    assert_near(g->version_most, 23, 0);
    assert_near(g->slots, 128, 0);
    assert_near(f.kind[RING_REWARDER].groups, 24, 1e-9);
    assert_near(f.kind[RING_REWARDER].busy, -1, 0); // it does not say
    assert_near(l->rounds, 2, 1e-9);
    assert_near(l->groups, 24, 1e-9); // labels are added up
    assert_near(l->weight_bytes, 1.25e6, 1e-9);
    assert_string_equal(l->state, "TRAINING");
    assert_string_equal(ring.run, "sort");
    assert_near(ring.reward, 0.8125, 0);
    SCOPED_MEM char *line = ring_state_line(&ring);
    assert_string_equal(
        line, "TRAINING  round 24  version 24  reward 0.812  lag 1.2/2  5.00k tok/s  24 groups/s  "
              "2.00 rounds/s  weights 1.25 MB/s  answering 4/4");
}

/* Only the newest samples count, however long it goes on. */
static void an_older_build_has_rates(void **state)
{
    (void)state;
    older = true;
    generator("generator", 10, 10000, 100, 19, NULL);
    generator("generator", 12, 14000, 124, 23, NULL);
    older = false;
    assert_near(ring_state_figures(&ring).kind[RING_GENERATOR].tokens, 2000, 1e-9);
}

static void rates_follow_the_last_seconds(void **state)
{
    (void)state;
    for (int s = 0; s <= 100; s++)
        rewarder(s, s <= 50 ? 10 * s : 500 + 30 * (s - 50));
    assert_near(ring_state_figures(&ring).kind[RING_REWARDER].groups, 30, 1e-9);
}

static void a_daemon_that_was_started_again_has_no_negative_rate(void **state)
{
    (void)state;
    rewarder(10, 200);
    rewarder(11, 210);
    rewarder(13, 4);
    assert_near(ring_state_figures(&ring).kind[RING_REWARDER].groups, 0, 0);
    rewarder(15, 10);
    assert_near(ring_state_figures(&ring).kind[RING_REWARDER].groups, 3, 1e-9);
}

static void more_daemons_than_there_is_room_for(void **state)
{
    (void)state;
    char name[32];
    for (int i = 0; i < RING_DAEMONS; i++) {
        snprintf(name, sizeof name, "generator-%d", i);
        assert_int_equal(ring_state_daemon(&ring, name), i);
    }
    assert_int_equal(ring_state_daemon(&ring, "one-more"), RING_DAEMONS);
    assert_int_equal(ring_state_daemon(&ring, "generator-7"), 7);
}

static void workers_are_known_by_the_learner(void **state)
{
    (void)state;
    SCOPED_JSON json_t *one =
        json_pack("{s:[{s:s,s:s,s:s,s:i,s:f,s:f,s:f,s:s}]}", "workers", "name", "g0", "kind",
                  "generator", "state", "SERVING", "version", 7, "tokens", 100.0, "busy_s", 1.0,
                  "idle_s", 1.0, "waits_for", "a lease");
    SCOPED_JSON json_t *two = json_deep_copy(one), *none = json_pack("{s:[]}", "workers");
    json_object_set_new(json_array_get(json_object_get(two, "workers"), 0), "tokens",
                        json_real(300));
    learner(10, 20, 0);
    ring_state_workers(&ring, one, 10000);
    ring_state_workers(&ring, two, 12000);
    struct ring_rates g = ring_state_figures(&ring).kind[RING_GENERATOR];
    assert_int_equal(g.answering, 1);
    assert_near(g.tokens, 100, 1e-9);
    assert_near(g.version_most, 7, 0);
    json_object_set_new(json_array_get(json_object_get(two, "workers"), 0), "state",
                        json_string("LOST"));
    ring_state_workers(&ring, two, 12500);
    assert_int_equal(ring_state_figures(&ring).kind[RING_GENERATOR].answering, 0);
    ring_state_workers(&ring, one, 12600);
    assert_int_equal(ring_state_figures(&ring).kind[RING_GENERATOR].answering, 1);
    ring_state_workers(&ring, none, 13000);
    g = ring_state_figures(&ring).kind[RING_GENERATOR];
    assert_int_equal(g.count, 1);
    assert_int_equal(g.answering, 0);
    assert_int_equal(ring_state_figures(&ring).kind[RING_LEARNER].answering, 1);
}

static void a_pause_is_seen_in_the_status(void **state)
{
    (void)state;
    SCOPED_JSON json_t *status = status_of("learner", "TRAINING", NULL, json_object());
    json_object_set_new(status, "texts",
                        json_pack("[{s:s, s:s}]", "name", "paused", "value", "training"));
    ring_state_status(&ring, ring_state_daemon(&ring, "learner"), status, 0);
    assert_true(ring.training_paused);
    assert_false(ring.generation_paused);
}

/* ---- the picture */

static void assert_picture(int columns, int lines, int64_t now_ms, const char *wanted)
{
    SCOPED(grid) grid = grid_new(columns, lines);
    SCOPED_VALUE(bytes) text = {0};
    ring_picture(&ring, now_ms, "q quit", grid);
    grid_text(grid, &text);
    if (strcmp((char *)text.data, wanted) != 0)
        fputs((char *)text.data, stderr); // cmocka cuts at 1024 bytes
    assert_int_equal(strcmp((char *)text.data, wanted), 0);
}

static void held(const char *daemon, const char *cause, const char *text, bool ready, double s)
{
    json_t *status = status_of(daemon, "SERVING", "old words", json_object());
    json_object_set_new(status, "held_up",
                        *cause ? json_pack("{s:s, s:s, s:b, s:f}", "cause", cause, "text", text,
                                           "ready", ready, "seconds", s)
                               : json_null());
    say(daemon, status, 1000);
}

static void assert_held(const char *want)
{
    SCOPED_MEM char *line = ring_state_held_line(&ring);
    if (want)
        assert_string_equal(line, want);
    else
        assert_null(line);
}

/* The learner's cause before others', what is not ready before what only waits. */
static void the_one_thing_that_holds_a_run_up(void **state)
{
    (void)state;
    assert_held(NULL);
    held("learner", "", "", true, 0);
    assert_held(NULL);
    held("learner", "no_groups", "3 of 8 groups are there", true, 1);
    assert_held(NULL); // for a moment
    held("learner", "no_groups", "3 of 8 groups are there", true, 9);
    assert_held("held up for 9 s: 3 of 8 groups are there");
    held("rewarder", "scorer_fails", "groups could not be scored", true, 30);
    assert_held("held up for 9 s: 3 of 8 groups are there");
    held("generator", "no_rewarder", "the rewarder (r:1) has not been reached", false, 20);
    assert_held("held up for 20 s: generator: the rewarder (r:1) has not been reached");
    held("learner", "paused", "paused by ann", false, 2);
    assert_held("held up for 2 s: paused by ann");
    ring_state_lost(&ring, ring_state_daemon(&ring, "learner"), "it says nothing", 2000);
    assert_held("held up: learner does not answer: it says nothing");
}

static void the_picture_of_a_ring(void **state)
{
    (void)state;
    ten_and_twelve_seconds();
    snprintf(ring.lag_limit, sizeof ring.lag_limit, "2");
    ring_state_lost(&ring, ring_state_daemon(&ring, "generator-2"), "connection refused", 15000);
    assert_picture(
        80, 24, 16500,
        " sort   round 24   version 24   reward 0.812\n"
        "\n"
        "┌─ 2 generators ───┐          ┌─ rewarder ───────┐          ┌─ learner ────────┐\n"
        "│ 1 of 2 answer    │          │ SERVING          │          │ TRAINING         │\n"
        "│ busy 75%         │ 12/s     │                  │ 24/s     │ busy 90%         │\n"
        "│ 2.00k tokens/s   │ ───────▶ │ 24 groups/s      │ ───────▶ │ 3.00k tokens/s   │\n"
        "│ 64 completions   │ groups   │ 3 on the way     │ groups   │ 2 rounds/s       │\n"
        "│ version 23       │          │                  │          │ version 24       │\n"
        "└─────────▲────────┘          └──────────────────┘          └─────────┬────────┘\n"
        "          │             weights 1.25 MB/s, 2 versions/s               │\n"
        "          └───────────────────────────────────────────────────────────┘\n"
        "\n"
        " lag (lag.max 2)       trained  stored  leased\n"
        "   0                       100      16      40  ██\n"
        "   1                     1.60k       4       8  ███████████████████████████████\n"
        "   2                       400       0       0  ████████\n"
        "\n"
        " daemon                 state             rate           busy\n"
        " generator-2            gone for 4.5 s: connection refused\n"
        " learner                TRAINING         3.00k tokens/s   90%  waits: groups\n"
        " rewarder               SERVING             24 groups/s\n"
        " generator              SERVING          2.00k tokens/s   75%\n"
        "\n"
        " q quit\n");
}

static void the_picture_of_what_is_not_known(void **state)
{
    (void)state;
    assert_picture(
        80, 16, 0,
        " rlhfd   round 0   version 0   reward 0.000\n"
        "\n"
        "┌─ generator ──────┐          ┌─ rewarder ───────┐          ┌─ learner ────────┐\n"
        "│ not known        │          │ not known        │          │ not known        │\n"
        "│                  │ 0/s      │                  │ 0/s      │                  │\n"
        "│                  │ ───────▶ │                  │ ───────▶ │                  │\n"
        "│                  │ groups   │                  │ groups   │                  │\n"
        "│                  │          │                  │          │                  │\n"
        "└─────────▲────────┘          └──────────────────┘          └─────────┬────────┘\n"
        "          │               weights 0 B/s, 0 versions/s                 │\n"
        "          └───────────────────────────────────────────────────────────┘\n"
        "\n"
        " lag                   trained  stored  leased\n"
        "   mean 0.00, largest 0 in the last round\n"
        "\n"
        " q quit\n");
}

/* Whatever the terminal's size and what daemons call themselves: no write beyond the grid
 * (sanitizers look on). */
static void any_size_is_drawn(void **state)
{
    (void)state;
    ten_and_twelve_seconds();
    const struct rng rng = rng_keyed(3, RNG_TEST, 0, 0);
    for (size_t i = 0; i + 1 < sizeof ring.daemon[0].name; i++)
        ring.daemon[0].name[i] = (char)(1 + rng_below(&rng, i, 255));
    ring_state_lost(&ring, 0, "\xe2\x94\xf0\x9f\xff", 1);
    for (int columns = -1; columns < 130; columns += 3)
        for (int lines = -1; lines < 40; lines++) {
            SCOPED(grid) grid = grid_new(columns, lines);
            SCOPED_VALUE(bytes) text = {0};
            ring_picture(&ring, 99999, "q quit", grid);
            grid_text(grid, &text);
            int breaks = 0;
            for (size_t i = 0; i < text.len; i++)
                breaks += text.data[i] == '\n';
            assert_int_equal(breaks, lines < 1 ? 1 : lines);
        }
}

static void every_character_has_an_ascii_stand_in(void **state)
{
    (void)state;
    ten_and_twelve_seconds();
    SCOPED(grid) grid = grid_new(100, 30);
    ring_picture(&ring, 0, "", grid);
    for (int i = 0; i < 100 * 30; i++)
        assert_int_not_equal(grid_ascii(grid->cell[i].code), '?');
}

#define RING_TEST(name) cmocka_unit_test_setup(name, fresh)
TESTS(RING_TEST(rates_are_differences_over_time), RING_TEST(an_older_build_has_rates),
      RING_TEST(rates_follow_the_last_seconds),
      RING_TEST(a_daemon_that_was_started_again_has_no_negative_rate),
      RING_TEST(more_daemons_than_there_is_room_for), RING_TEST(workers_are_known_by_the_learner),
      RING_TEST(a_pause_is_seen_in_the_status), RING_TEST(the_one_thing_that_holds_a_run_up),
      RING_TEST(the_picture_of_a_ring), RING_TEST(the_picture_of_what_is_not_known),
      RING_TEST(any_size_is_drawn), RING_TEST(every_character_has_an_ascii_stand_in))
