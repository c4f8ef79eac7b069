/* A learner that replays recorded rounds says so, stops between two of them, and comes back where
 * it stopped; one whose run is complete stays if it is told to. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 120000, ROUNDS = 60 };

/* The number behind the last `key=` of the log. */
static long last_number(const struct daemons *d, const char *event, const char *key)
{
    SCOPED_MEM char *path = file_join(d->ring->run, "learner.log");
    SCOPED_MEM char *text = file_text(path);
    const char *line = NULL;
    for (const char *at = text; (at = strstr(at, event)); at++)
        line = at;
    if (!line || !(line = strstr(line, key)))
        fail_msg("no \"%s\" with %s in:\n%s", event, key, text);
    return strtol(line + strlen(key), NULL, 10);
}

/* Starts that had recorded rounds to train. */
static int replays_told(const struct daemons *d)
{
    SCOPED_MEM char *path = file_join(d->ring->run, "learner.log");
    SCOPED_MEM char *text = file_text(path);
    int count = 0;
    for (const char *at = text; (at = strstr(at, "\"recorded rounds are trained again\"")); at++)
        count++;
    return count;
}

/* The reasons say how many of how many are done. False: not yet, or no more (*ret_over). */
static bool replays(const struct daemons *d, bool *ret_over)
{
    long done, all;
    SCOPED_MEM char *answer = daemons_get(d->metrics[LEARNER], "/readyz");
    const char *said = strstr(answer, "recorded rounds are trained again: ");
    *ret_over = strstr(answer, " 200 ") != NULL;
    if (!said)
        return false;
    assert_int_equal(sscanf(said, "recorded rounds are trained again: %ld of %ld", &done, &all), 2);
    assert_in_range(done, 0, all);
    assert_non_null(strstr(answer, " 503 "));
    SCOPED_MEM char *probe = daemons_get(d->probes[LEARNER], "/readyz");
    SCOPED_MEM char *alive = daemons_get(d->probes[LEARNER], "/livez");
    assert_true(strstr(probe, " 503 ") || !strstr(probe, "not ready")); // unless it is over by now
    assert_non_null(strstr(alive, " 200 "));
    return true;
}

/* SIGTERM in the midst of the replay, so long after it was seen. */
static void stop_in_replay(struct daemons *d, int after_ms)
{
    bool over = false;
    daemons_start_one(d, LEARNER, "");
    daemons_announced(d, LEARNER);
    for (int64_t until = clock_ms() + WAIT_MS; !replays(d, &over) && !over; clock_sleep_ms(2))
        if (clock_ms() > until)
            fail_msg("no replay was seen");
    clock_sleep_ms(after_ms);
    process_kill(&d->process[LEARNER], SIGTERM);
    assert_int_equal(process_wait(&d->process[LEARNER], WAIT_MS), 0);
    assert_int_equal(last_number(d, "\"recorded rounds are trained again\"", "from="), 0);
}

/* To the run's end. From which recorded round on; 0: from the first; ROUNDS: none was left. */
static long goes_on(struct ring *ring, struct daemons *d)
{
    const int before = replays_told(d);
    daemons_start_one(d, LEARNER, "");
    daemons_announced(d, LEARNER);
    const bool again = replays_told(d) > before;
    const long from =
        again ? last_number(d, "\"recorded rounds are trained again\"", "from=") : ROUNDS;
    if (again && from)
        assert_int_equal(last_number(d, "\"resuming\"", "round="), from);
    assert_int_equal(daemons_wait_learner(d, WAIT_MS), 0);
    assert_int_equal(ring_read(ring).rounds, ROUNDS);
    ring_audit(ring); // every digest is the one that was recorded
    return from;
}

/* What was replayed is in a checkpoint, and the rest is left to the next start. A signal may come
 * before the first round or after the last: then all is done again, and the signal comes later, or
 * earlier. */
static void a_drain_stops_between_two_recorded_rounds(void **)
{
    enum { TRIES = 8, SOME_ROUNDS_MS = 300 };
    long from = 0;
    for (int n = 0, after_ms = SOME_ROUNDS_MS; from % ROUNDS == 0; n++) {
        assert_true(n < TRIES);
        struct ring ring = ring_prepare(&(struct ring_options){
            .rounds = ROUNDS,
            .groups = 16,
            .lag = 1,
            .learner = "objective: rloo, updates_per_round: 16, epochs: 16"});
        struct daemons d = daemons_start(&ring, "checkpoint.every=100000");
        ring_wait_rounds(&ring, ROUNDS / 2, WAIT_MS);
        daemons_kill(&d, LEARNER);
        stop_in_replay(&d, after_ms);
        from = goes_on(&ring, &d);
        after_ms = from ? after_ms / 3 : after_ms * 3;
    }
    assert_in_range(from, 1, ROUNDS - 1);
}

/* A drained learner has a checkpoint of its last round, so the next start has nothing to replay. */
static void a_drained_learner_leaves_nothing_to_replay(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 400, .groups = 8, .lag = 1});
    struct daemons d = daemons_start(&ring, "checkpoint.every=100000");
    ring_wait_rounds(&ring, 5, WAIT_MS);
    process_kill(&d.process[LEARNER], SIGTERM);
    assert_int_equal(process_wait(&d.process[LEARNER], WAIT_MS), 0);
    const int rounds = ring_read(&ring).rounds;
    daemons_start_one(&d, LEARNER, "");
    daemons_announced(&d, LEARNER);
    assert_int_equal(last_number(&d, "\"resuming\"", " round="), rounds);
    SCOPED_MEM char *path = file_join(ring.run, "learner.log");
    SCOPED_MEM char *log = file_text(path);
    assert_null(strstr(log, "recorded rounds are trained again"));
    for (int kind = GENERATOR; kind >= LEARNER; kind--)
        daemons_kill(&d, (enum daemon_kind)kind);
}

/* The generator keeps its stream, so nobody who supervises it has to start it again either. */
static void assert_stays(struct daemons *d)
{
    daemons_wait_ready(d, LEARNER, 200, "ok: the run is complete: 6 rounds, version 6");
    clock_sleep_ms(1500); // longer than generators that are told of the end take to leave
    for (int kind = LEARNER; kind < DAEMON_KINDS; kind++)
        daemons_assert_running(d, (enum daemon_kind)kind);
    daemons_wait_ready(d, GENERATOR, 200, "ok");
}

static void a_complete_run_stays_until_it_is_drained(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 6, .groups = 8, .lag = 1});
    struct daemons d = daemons_start(&ring, "run.on_complete=stay");
    assert_stays(&d);
    process_kill(&d.process[LEARNER], SIGTERM);
    assert_int_equal(process_wait(&d.process[LEARNER], WAIT_MS), 0);

    daemons_start_one(&d, LEARNER, "");
    daemons_announced(&d, LEARNER);
    assert_stays(&d);
    char *status = NULL;
    assert_int_equal(process_run(&status, WAIT_MS, "rlhfctl", "status", d.admin[LEARNER], NULL), 0);
    assert_non_null(strstr(status, "COMPLETE"));
    free(status);
    process_kill(&d.process[LEARNER], SIGTERM);
    assert_int_equal(process_wait(&d.process[LEARNER], WAIT_MS), 0);

    daemons_start_one(&d, LEARNER, "run.on_complete=exit");
    assert_int_equal(process_wait(&d.process[LEARNER], WAIT_MS), 0);
    process_kill(&d.process[GENERATOR], SIGKILL); // which may have been told of the end
    daemons_kill(&d, REWARDER);
    ring_audit(&ring);
}

/* The end of `rlhfctl up` is the run's end, whatever the recipe says. */
static void up_ends_with_the_run(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 3, .groups = 8, .lag = 1});
    char *output;
    const int status = process_run(&output, WAIT_MS, "rlhfctl", "up", ring.recipe, "--run",
                                   ring.run, "--set", "run.on_complete=stay", NULL);
    if (status)
        fail_msg("status %d: %s", status, output);
    free(output);
}

TESTS(cmocka_unit_test(a_drain_stops_between_two_recorded_rounds),
      cmocka_unit_test(a_drained_learner_leaves_nothing_to_replay),
      cmocka_unit_test(a_complete_run_stays_until_it_is_drained),
      cmocka_unit_test(up_ends_with_the_run))
