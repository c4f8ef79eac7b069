/* A real ring with rewards from a server outside, which fails in thirty ways at a tenth of its
 * calls. Every version's weights are those of the run without faults. So no reward differs, and
 * none is zero by a fault, as the server gives at least 1. */
#include "testing/daemons.h"
#include "testing/golden.h"
#include "testing/reward_server.h"

enum { ROUNDS = 8, GROUPS = 16, COMPLETIONS = 4, RUN_MS = 180000 };

/* A ring with this path at the server; its versions' digests. */
static json_t *train(const struct reward_server *server, const char *path, double *ret_seconds)
{
    SCOPED_MEM char *url = reward_server_url(server, path);
    SCOPED_MEM char *scorers =
        mem_printf("[{kind: http, url: \"%s\", shape: slime, label_column: completion, tries: 8, "
                   "attempts: 5, timeout_ms: 250}]",
                   url);
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = ROUNDS, .groups = GROUPS, .prompts = ROUNDS * GROUPS, .scorers = scorers});
    const double begun = clock_s();
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    const int status = process_wait(&up, RUN_MS);
    if (status)
        file_print_end(path, ring.log);
    assert_int_equal(status, 0);
    *ret_seconds = clock_s() - begun;
    assert_int_equal(ring_read(&ring).rounds, ROUNDS);
    ring_audit(&ring);
    return golden_versions(ring.recipe, ring.run, "policy", ROUNDS);
}

static int kinds(const struct reward_server *server, int *ret_faults)
{
    SCOPED_JSON json_t *counts = reward_server_counts(server);
    const char *name;
    const json_t *value;
    int kinds = 0;
    *ret_faults = 0;
    json_object_foreach (counts, name, value)
        if (strncmp(name, "fault_", 6) == 0) {
            kinds++;
            *ret_faults += (int)json_integer_value(value);
        }
    return kinds;
}

static void faults_of_thirty_kinds_change_no_weights(void **state)
{
    double plain_s, faulty_s;
    int faults;
    (void)state;
    struct reward_server server = reward_server_start(NULL, NULL, NULL, NULL);
    SCOPED_JSON json_t *plain = train(&server, "slime", &plain_s);
    const int before = reward_server_count(&server, "requests");
    assert_int_equal(kinds(&server, &faults), 0);
    SCOPED_JSON json_t *faulty = train(&server, "mix/100/slime", &faulty_s);
    const int requests = reward_server_count(&server, "requests") - before;
    const int seen = kinds(&server, &faults);
    print_message("%d faults of %d kinds at %d requests; %.1f s, %.1f s without\n", faults, seen,
                  requests, faulty_s, plain_s);
    assert_true(seen >= 30 && faults * 14 > requests);
    assert_true(requests - faults >= ROUNDS * GROUPS * COMPLETIONS);
    assert_true(json_equal(plain, faulty));
    reward_server_stop(&server);
}

/* ---- a server that is killed */

static struct ring prepare(const struct reward_server *server)
{
    SCOPED_MEM char *url = reward_server_url(server, "openrlhf");
    SCOPED_MEM char *scorers =
        mem_printf("[{kind: http, url: \"%s\", shape: openrlhf, label_column: completion, tries: "
                   "1, breaker: 2, deadline_ms: 1000}]",
                   url);
    return ring_prepare(&(struct ring_options){
        .rounds = ROUNDS, .groups = GROUPS, .prompts = ROUNDS * GROUPS, .scorers = scorers});
}

static void wait_ready(const struct daemons *d, enum daemon_kind kind, const char *part, bool is)
{
    for (int64_t until = clock_ms() + RUN_MS;; clock_sleep_ms(50)) {
        SCOPED_MEM char *text = daemons_get(d->metrics[kind], "/readyz");
        if ((strstr(text, part) != NULL) == is)
            return;
        if (clock_ms() > until)
            fail_msg("'%s' %s: %s", part, is ? "is not said" : "is still said", text);
    }
}

/* For longer than a group's deadline. Leasing pauses, and the learner says why; nothing is
 * rejected, and the run goes on by itself to the weights of one that was never held up. */
static void a_dead_server_pauses_the_ring(void **state)
{
    (void)state;
    struct reward_server server = reward_server_start(NULL, NULL, NULL, NULL);
    SCOPED_MEM char *port = mem_printf("%d", server.port);
    struct ring ring[2] = {prepare(&server), prepare(&server)};
    struct daemons plain = daemons_start(&ring[0], "");
    assert_int_equal(daemons_wait_learner(&plain, RUN_MS), 0);
    struct daemons held = daemons_start(&ring[1], "");
    ring_wait_rounds(&ring[1], 3, RUN_MS);
    reward_server_stop(&server);
    wait_ready(&held, LEARNER, "rewarder.scorers[0] (kind 'http') does not answer", true);
    const int rounds = ring_read(&ring[1]).rounds;
    clock_sleep_ms(2500);
    assert_true(ring_read(&ring[1]).rounds <= rounds + 1);
    assert_true(daemons_metric(&held, LEARNER, "rlhfd_held_up{cause=\"scorer_down\"}") == 1);
    assert_true(
        daemons_metric(&held, REWARDER, "rlhfd_answer_faults_total{fault=\"unreachable\"}") > 0);
    assert_int_equal(
        daemons_metric(&held, LEARNER, "rlhfd_groups_appended_total{outcome=\"rejected\"}"), 0);
    server = reward_server_start("--port", port, NULL, NULL);
    assert_int_equal(daemons_wait_learner(&held, RUN_MS), 0);
    json_t *digests[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ring_read(&ring[i]).rounds, ROUNDS);
        ring_audit(&ring[i]);
        digests[i] = golden_versions(ring[i].recipe, ring[i].run, "policy", ROUNDS);
    }
    assert_true(json_equal(digests[0], digests[1]));
    json_decref(digests[0]);
    json_decref(digests[1]);
    reward_server_stop(&server);
}

TESTS(cmocka_unit_test(faults_of_thirty_kinds_change_no_weights),
      cmocka_unit_test(a_dead_server_pauses_the_ring))
