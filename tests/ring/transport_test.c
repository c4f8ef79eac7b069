/* Versions by NCCL in a ring of real processes, with the stand-ins of tests/fake_nccl: generators
 * that are killed, stopped, late or of another version, a learner that is killed. The learner goes
 * on, who is left converges, and every token's log-probability is to the bit that of the learner's
 * weights. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/exit_status.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 60000, CARRY_MS = 3000, END_MS = 1000, ROUNDS_AFTER = 12 };
#define DEADLINES                                                                                  \
    " publish.settle_ms=100 publish.gather_ms=2000 publish.connect_ms=4000 publish.carry_ms=3000"  \
    " publish.end_ms=1000 publish.retry_ms=500 publish.bucket_bytes=4096"

static const char SMALL[] =
    "socket_bytes=6000"; // one rank that stands still stalls all, as with the real one

struct stage {
    struct ring ring;
    struct daemons daemons;
    char settings[1024];
    struct extra extra[4];
    size_t extras;
};

static struct extra *extra_with(struct stage *stage, const char *name, const char *nccl_manner,
                                const char *cuda_manner)
{
    SCOPED_MEM char *manners = mem_printf("%s,%s", SMALL, nccl_manner);
    setenv("FAKE_NCCL", manners, 1);
    setenv("FAKE_CUDA", cuda_manner, 1);
    stage->extra[stage->extras] = daemons_extra(&stage->daemons, name, "");
    setenv("FAKE_NCCL", SMALL, 1);
    setenv("FAKE_CUDA", "", 1);
    return &stage->extra[stage->extras++];
}

static double learner_metric(const struct stage *stage, const char *name)
{
    return daemons_metric(&stage->daemons, LEARNER, name);
}

static bool log_has(const struct stage *stage, const char *name, const char *part)
{
    SCOPED_MEM char *path = mem_printf("%s/%s.log", stage->ring.run, name);
    SCOPED_MEM char *text = file_text(path);
    return strstr(text, part) != NULL;
}

/* Nobody waits at a lag of 2 with stragglers' leases taken away: what is seen is the
 * transport's. */
static void stage_open(struct stage *stage, const char *transport)
{
    setenv("FAKE_NCCL", SMALL, 1);
    setenv("FAKE_CUDA", "", 1);
    *stage = (struct stage){.ring = ring_prepare(&(struct ring_options){
                                .rounds = 1000000, .groups = 8, .lag = 2, .straggler = "drop"})};
    snprintf(stage->settings, sizeof stage->settings, "%s" DEADLINES, transport);
    stage->daemons = daemons_start(&stage->ring, stage->settings);
}

static const char BY_NCCL[] = "publish.transport=nccl publish.nccl_library=" FAKE_NCCL_LIBRARY
                              " publish.cudart_library=" FAKE_CUDART_LIBRARY;

/* What is long is not for cmocka's messages. */
static void complain(const char *text)
{
    fputs(text, stderr);
    fail();
}

static void wait_metric(const struct stage *stage, const char *http, const char *name,
                        double at_least)
{
    for (int64_t until = clock_ms() + WAIT_MS; clock_ms() < until; clock_sleep_ms(20))
        if (daemons_metric_at(http, name) >= at_least)
            return;
    SCOPED_MEM char *log = file_join(stage->ring.run, "learner.log");
    SCOPED_MEM char *text = file_text(log);
    fprintf(stderr, "%s stays at %g, below %g:\n", name, daemons_metric_at(http, name), at_least);
    complain(text);
}

static void wait_members(const struct stage *stage, int members)
{
    for (int64_t until = clock_ms() + WAIT_MS; clock_ms() < until; clock_sleep_ms(20))
        if ((int)learner_metric(stage, "rlhfd_nccl_members") == members)
            return;
    SCOPED_MEM char *log = file_join(stage->ring.run, "learner.log");
    SCOPED_MEM char *text = file_text(log);
    fprintf(stderr, "there are never %d members:\n", members);
    complain(text);
}

static void wait_more_rounds(const struct stage *stage)
{
    ring_wait_rounds(&stage->ring, ring_read(&stage->ring).rounds + ROUNDS_AFTER, WAIT_MS);
}

/* What lives comes to a version made from now on. */
static void assert_converged(const struct stage *stage, const char *http)
{
    wait_metric(stage, http, "rlhfd_weights_version", ring_read(&stage->ring).rounds);
}

/* Seconds of each round, from metrics.jsonl: how many took more than so many, and the longest. */
struct times {
    int rounds, slow;
    double median_s, worst_s;
};

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct times read_times(const struct stage *stage, double slow_s)
{
    enum { MOST = 4096 };
    static double took[MOST];
    struct times times = {0};
    SCOPED_MEM char *path = file_join(stage->ring.run, "metrics.jsonl");
    SCOPED_MEM char *text = file_text(path);
    double before = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line && times.rounds < MOST;
         line = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *object = json_loads(line, 0, NULL);
        const double now = json_number_value(json_object_get(object, "time_s"));
        if (before > 0)
            took[times.rounds++] = now - before;
        before = now;
    }
    qsort(took, (size_t)times.rounds, sizeof *took, by_size);
    for (int i = 0; i < times.rounds; i++)
        times.slow += took[i] > slow_s;
    times.median_s = times.rounds ? took[times.rounds / 2] : 0;
    times.worst_s = times.rounds ? took[times.rounds - 1] : 0;
    return times;
}

/* Ends the run as an operator does, and audits it. */
static struct times stage_close(struct stage *stage, const char *name)
{
    const double failed = learner_metric(stage, "rlhfd_nccl_failed_epochs_total");
    const double versions = learner_metric(stage, "rlhfd_nccl_versions_total");
    const double fallbacks = learner_metric(stage, "rlhfd_nccl_fallbacks_total");
    for (size_t i = 0; i < stage->extras; i++) {
        process_kill(&stage->extra[i].process, SIGKILL);
        process_wait(&stage->extra[i].process, WAIT_MS);
    }
    process_kill(&stage->daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&stage->daemons, WAIT_MS), 0);
    const struct ring_result result = ring_read(&stage->ring);
    assert_true(result.logp_compared > 0);
    assert_int_equal((int)result.logp_differing, 0);
    assert_true(result.lag_max <= 2);
    ring_audit(&stage->ring);
    const struct times times = read_times(stage, CARRY_MS / 1000.0);
    print_message("%-28s %4d rounds, median %4.0f ms, longest %5.0f ms, %d above %d ms; %.0f "
                  "versions by NCCL, %.0f sessions failed, %.0f fallbacks\n",
                  name, times.rounds, times.median_s * 1000, times.worst_s * 1000, times.slow,
                  CARRY_MS, versions, failed, fallbacks);
    return times;
}

static void versions_go_by_nccl_late_ones_and_other_versions_too(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, BY_NCCL);
    wait_members(&stage, 1);
    wait_more_rounds(&stage);
    const struct extra *late = extra_with(&stage, "late", "", "");
    wait_members(&stage, 2);
    wait_metric(&stage, late->metrics, "rlhfd_weights_by_nccl_total", 2);
    const struct extra *other = extra_with(&stage, "other", "version=22810", "");
    wait_metric(&stage, stage.daemons.metrics[LEARNER], "rlhfd_nccl_refused_total", 1);
    wait_more_rounds(&stage);
    assert_converged(&stage, stage.daemons.metrics[GENERATOR]);
    assert_converged(&stage, late->metrics);
    assert_converged(&stage, other->metrics);
    assert_int_equal((int)daemons_metric_at(other->metrics, "rlhfd_weights_by_nccl_total"), 0);
    assert_int_equal((int)learner_metric(&stage, "rlhfd_nccl_failed_epochs_total"), 0);
    stage_close(&stage, "late and other ones");
}

/* Where the victim is hit: by its stand-ins, or by us when it is at rest. */
struct hit {
    const char *name, *nccl, *cuda;
    bool at_rest;
    bool fails;  // the fault is in a session that has begun, so the learner sees it
    bool stalls; // a broadcast: what is left of it goes over gRPC
};
static const struct hit hits[] = {
    {"prepares", "", "signal_in_malloc=%d", false, false, false},
    {"connects", "signal_in_init=%d", "", false, true, false},
    {"at rest", "", "", true, true, false},
    {"in the first broadcast", "signal_at=1,signal=%d", "", false, true, true},
    {"in a later bucket", "signal_at=4,signal=%d", "", false, true, true},
};

static void hit_one(const struct hit *hit, int signal_number)
{
    struct stage stage;
    char nccl[64] = "", cuda[64] = "", name[64];
    SCOPED_MEM char *whole = mem_printf("%s publish.delta=false", BY_NCCL); // many buckets
    stage_open(&stage, whole);
    const struct extra *second = extra_with(&stage, "second", "", "");
    wait_members(&stage, 2);
    if (*hit->nccl)
        snprintf(nccl, sizeof nccl, hit->nccl, signal_number);
    if (*hit->cuda)
        snprintf(cuda, sizeof cuda, hit->cuda, signal_number);
    struct extra *victim = extra_with(&stage, "victim", nccl, cuda);
    if (hit->at_rest) {
        wait_members(&stage, 3);
        wait_metric(&stage, victim->metrics, "rlhfd_weights_by_nccl_total", 1);
        process_kill(&victim->process, signal_number);
    }
    wait_more_rounds(&stage);
    wait_metric(&stage, stage.daemons.metrics[LEARNER], "rlhfd_nccl_failed_epochs_total",
                hit->fails);
    wait_more_rounds(&stage);
    wait_members(&stage, 2); // the others are together again
    const double carried = learner_metric(&stage, "rlhfd_nccl_versions_total");
    wait_metric(&stage, stage.daemons.metrics[LEARNER], "rlhfd_nccl_versions_total", carried + 2);
    assert_converged(&stage, stage.daemons.metrics[GENERATOR]);
    assert_converged(&stage, second->metrics);
    const int fallbacks = (int)learner_metric(&stage, "rlhfd_nccl_fallbacks_total");
    assert_in_range(fallbacks, hit->stalls ? 1 : 0, 3);
    snprintf(name, sizeof name, "%s, %s", hit->name,
             signal_number == SIGKILL ? "killed" : "stopped");
    const struct times times = stage_close(&stage, name);
    assert_in_range(times.slow, 0, 1);
    assert_true(times.worst_s < (CARRY_MS + END_MS) / 1000.0 + 10); // a machine's load apart
}

static void a_killed_generator_delays_at_most_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hits / sizeof *hits; i++)
        hit_one(&hits[i], SIGKILL);
}

static void a_stopped_generator_delays_at_most_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hits / sizeof *hits; i++)
        hit_one(&hits[i], SIGSTOP);
}

static void who_goes_on_after_a_stop_comes_to_the_head(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, BY_NCCL);
    const struct extra *second = extra_with(&stage, "second", "", "");
    wait_members(&stage, 2);
    process_kill(&second->process, SIGSTOP);
    wait_members(&stage, 1);
    wait_more_rounds(&stage);
    process_kill(&second->process, SIGCONT);
    assert_converged(&stage, second->metrics);
    wait_members(&stage, 2);
    stage_close(&stage, "stopped, then goes on");
}

static void a_killed_learner_gathers_them_again(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, BY_NCCL);
    const struct extra *second = extra_with(&stage, "second", "", "");
    wait_members(&stage, 2);
    wait_more_rounds(&stage);
    daemons_kill(&stage.daemons, LEARNER);
    daemons_start_one(&stage.daemons, LEARNER, "");
    daemons_announced(&stage.daemons, LEARNER);
    wait_members(&stage, 2);
    wait_metric(&stage, stage.daemons.metrics[LEARNER], "rlhfd_nccl_versions_total", 2);
    wait_more_rounds(&stage);
    assert_converged(&stage, stage.daemons.metrics[GENERATOR]);
    assert_converged(&stage, second->metrics);
    stage_close(&stage, "learner killed");
}

/* Its memory may still be written to: that generator ends, with the reason, and the others go
 * on. */
static void a_generator_whose_abort_never_returns_ends(void **state)
{
    struct stage stage;
    (void)state;
    SCOPED_MEM char *whole = mem_printf("%s publish.delta=false", BY_NCCL);
    stage_open(&stage, whole);
    wait_members(&stage, 1);
    struct extra *victim = extra_with(&stage, "victim", "bcast_hang_at=2,abort_hang=1", "");
    assert_int_equal(process_wait(&victim->process, WAIT_MS), 1);
    assert_true(log_has(&stage, "victim", "does not return"));
    stage.extras--;
    wait_members(&stage, 1);
    wait_more_rounds(&stage);
    assert_converged(&stage, stage.daemons.metrics[GENERATOR]);
    stage_close(&stage, "abort hangs in a generator");
}

/* The learner goes on over gRPC, and still ends when it is told to. */
static void a_learner_whose_abort_never_returns_goes_on_over_grpc(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, BY_NCCL);
    wait_members(&stage, 1);
    process_kill(&stage.daemons.process[LEARNER], SIGKILL);
    process_wait(&stage.daemons.process[LEARNER], WAIT_MS);
    setenv("FAKE_NCCL", "abort_hang=1", 1);
    daemons_start_one(&stage.daemons, LEARNER, "");
    setenv("FAKE_NCCL", SMALL, 1);
    daemons_announced(&stage.daemons, LEARNER);
    wait_members(&stage, 1);
    extra_with(&stage, "second", "", ""); // a new session: the old one is to be aborted
    for (int64_t until = clock_ms() + WAIT_MS;
         !log_has(&stage, "learner", "over gRPC from here on"); clock_sleep_ms(20))
        assert_true(clock_ms() < until);
    wait_more_rounds(&stage);
    assert_converged(&stage, stage.daemons.metrics[GENERATOR]);
    assert_converged(&stage, stage.extra[0].metrics);
    stage_close(&stage, "abort hangs in the learner");
}

/* auto goes on over gRPC and says why; nccl refuses. With the real libraries too, where there is no
 * GPU. */
static void without_a_library_or_a_device_auto_falls_back(void **state)
{
    static const struct {
        const char *settings, *why;
        int refused; // with this status, where NCCL is asked for
    } cases[] = {
        {"publish.nccl_library=/nonexistent/libnccl.so", "/nonexistent/libnccl.so",
         EXIT_STATUS_USAGE},
        {"publish.nccl_library=" REAL_NCCL_LIBRARY " publish.cudart_library=" REAL_CUDART_LIBRARY,
         "no devices", EXIT_STATUS_FAILED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage;
        SCOPED_MEM char *settings = mem_printf("publish.transport=auto %s", cases[i].settings);
        if (i == 1 && (!*REAL_NCCL_LIBRARY || file_exists("/dev/nvidia0")))
            continue;
        stage_open(&stage, settings);
        wait_more_rounds(&stage);
        assert_true(log_has(&stage, "learner", cases[i].why));
        assert_true(log_has(&stage, "generator", cases[i].why));
        process_kill(&stage.daemons.process[LEARNER], SIGTERM);
        assert_int_equal(daemons_wait_learner(&stage.daemons, WAIT_MS), 0);
        assert_int_equal((int)ring_read(&stage.ring).logp_differing, 0);
        SCOPED_MEM char *library = mem_printf("%s", cases[i].settings);
        char *space = strchr(library, ' '), *output;
        if (space)
            *space = '\0';
        const int status =
            process_run(&output, WAIT_MS, "rlhfd-learner", stage.ring.recipe, "--run",
                        stage.ring.run, "--set", "publish.transport=nccl", "--set", library,
                        "--set", "learner.listen=127.0.0.1:0", NULL);
        assert_int_equal(status, cases[i].refused);
        if (!strstr(output, "publish.transport: nccl"))
            complain(output);
        free(output);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_go_by_nccl_late_ones_and_other_versions_too),
        cmocka_unit_test(a_killed_generator_delays_at_most_once),
        cmocka_unit_test(a_stopped_generator_delays_at_most_once),
        cmocka_unit_test(who_goes_on_after_a_stop_comes_to_the_head),
        cmocka_unit_test(a_killed_learner_gathers_them_again),
        cmocka_unit_test(a_generator_whose_abort_never_returns_ends),
        cmocka_unit_test(a_learner_whose_abort_never_returns_goes_on_over_grpc),
        cmocka_unit_test(without_a_library_or_a_device_auto_falls_back),
    };
    if (!TESTING_FORKS)
        return 77;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
