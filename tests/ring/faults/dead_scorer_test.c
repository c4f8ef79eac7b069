/* A group that alone cannot be scored is quarantined, and scored again once an operator asks;
 * while the server is dead rlhfctl status says so. */
#include "testing/daemons.h"
#include "testing/reward_server.h"

enum { ROUNDS = 10, GROUPS = 16, RUN_MS = 120000, POISONED = 5 };

static struct ring ring_of(const struct reward_server *server, const char *shape, int rounds,
                           int lag, const char *extra)
{
    SCOPED_MEM char *url = reward_server_url(server, shape);
    SCOPED_MEM char *scorers = mem_printf(
        "[{kind: http, url: \"%s\", label_column: completion, timeout_ms: 2000, tries: 1, "
        "attempts: 2}]",
        url);
    return ring_prepare(&(struct ring_options){.rounds = rounds,
                                               .groups = GROUPS,
                                               .lag = lag,
                                               .prompts = ROUNDS * GROUPS,
                                               .scorers = scorers,
                                               .extra = extra});
}

static struct process up(const struct ring *ring)
{
    return process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run, NULL);
}

static void end(struct process *up, const struct ring *ring)
{
    const int status = process_wait(up, RUN_MS);
    if (status)
        file_print_end("up", ring->log);
    assert_int_equal(status, 0);
    ring_audit(ring);
}

/* Waits until rlhfctl says the part, with these words. */
static void wait_said(const struct ring *ring, const char *part, const char *const words[3])
{
    for (int64_t until = clock_ms() + RUN_MS;;) {
        char *output = NULL;
        process_run(&output, 20000, "rlhfctl", words[0], words[1], words[2], "--run", ring->run,
                    NULL);
        SCOPED_MEM char *said = output;
        if (said && strstr(said, part))
            return;
        if (clock_ms() > until)
            fail_msg("no '%s' in: %s", part, said);
        clock_sleep_ms(100);
    }
}

static void wait_status(const struct ring *ring, const char *part)
{
    wait_said(ring, part, (const char *const[]){"status", "-o", "table"});
}

static struct reward_server come_back(const struct reward_server *dead, const char *poison)
{
    char port[16];
    snprintf(port, sizeof port, "%d", dead->port);
    return reward_server_start("--port", port, poison ? "--poison" : NULL, poison);
}

static void rlhfctl(const struct ring *ring, const char *part, const char *a, const char *b)
{
    char *output = NULL;
    const int status = process_run(&output, 30000, "rlhfctl", a, b, "--run", ring->run, NULL);
    SCOPED_MEM char *said = output;
    if (status || !strstr(said, part))
        fail_msg("%s %s: status %d, no '%s' in: %s", a, b, status, part, said);
}

static void a_group_that_cannot_be_scored_waits_for_an_operator(void **state)
{
    (void)state;
    struct reward_server server = reward_server_start("--poison", "5", NULL, NULL);
    const struct ring ring = ring_of(&server, "rlhfd", ROUNDS, 1, NULL);
    struct process ring_up = up(&ring);
    ring_wait_rounds(&ring, 3, RUN_MS); // rounds go on without it
    wait_said(&ring, "slot 5: rewarder.scorers[0]: kind 'http': attempt 2 of 2: ",
              (const char *const[]){"groups", "list", "--state=quarantined"});
    process_kill(&(struct process){.pid = ring_pid(&ring, "learner")}, SIGKILL);
    wait_said(&ring, "quarantined", (const char *const[]){"groups", "list", "--state=quarantined"});
    reward_server_stop(&server);
    server = come_back(&server, NULL);
    rlhfctl(&ring, "0 groups are scored again, 1 slots are leased anew", "groups", "retry");
    end(&ring_up, &ring);
    reward_server_stop(&server);
}

/* No round passes and nothing is leased meanwhile, so there is a place for it. The learner and the
 * rewarder die with the group under way. */
static void within_the_lag_it_is_scored_as_it_is(void **state)
{
    static const char *const quarantined[] = {"groups", "list", "--state=quarantined"};
    static const char *const stored[] = {"groups", "list",
                                         "--filter=slot=5 attempt=1 state=stored"};
    (void)state;
    struct reward_server server = reward_server_start(NULL, NULL, NULL, NULL);
    const struct ring ring = ring_of(&server, "rlhfd", ROUNDS, 1, NULL);
    reward_server_stop(&server);
    struct process ring_up = up(&ring);
    wait_status(&ring, "does not answer: "); // groups of the first leases wait
    rlhfctl(&ring, "", "pause", "--reason=test");
    server = come_back(&server, "5");
    wait_said(&ring, "slot 5: ", quarantined);
    reward_server_stop(&server);
    rlhfctl(&ring, "1 groups are scored again", "groups", "retry"); // by nobody yet
    process_kill(&(struct process){.pid = ring_pid(&ring, "learner")}, SIGKILL);
    clock_sleep_ms(500);
    process_kill(&(struct process){.pid = ring_pid(&ring, "rewarder")}, SIGKILL);
    server = come_back(&server, NULL);
    wait_said(&ring, "stored", stored);
    rlhfctl(&ring, "", "resume", "--reason=test");
    end(&ring_up, &ring);
    reward_server_stop(&server);
}

TESTS(cmocka_unit_test(a_group_that_cannot_be_scored_waits_for_an_operator),
      cmocka_unit_test(within_the_lag_it_is_scored_as_it_is))
