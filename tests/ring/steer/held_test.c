/* Whatever holds a run up is named within seconds where people and probes look: /readyz, the
 * metric, the line of `up`. When the cause is gone the run goes on. */
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "rpc/stream.h"
#include "svc/loop.h"
#include "testing/asking.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <string.h>

enum { RUN_MS = 60000, ROUNDS = 1000000 };

static struct ring long_ring(void)
{
    return ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = 8, .lag = 1});
}

static double cause(const struct daemons *d, enum daemon_kind kind, const char *word)
{
    SCOPED_MEM char *name = mem_printf("rlhfd_held_up{cause=\"%s\"}", word);
    return daemons_metric(d, kind, name);
}

static void wait_more_rounds(const struct daemons *d)
{
    const double stands = daemons_metric(d, LEARNER, "rlhfd_round");
    for (int64_t until = clock_ms() + RUN_MS; clock_ms() < until; clock_sleep_ms(20))
        if (daemons_metric(d, LEARNER, "rlhfd_round") > stands + 2)
            return;
    fail_msg("no round came after %g", stands);
}

static void assert_counts(const struct daemons *d, const char *name)
{
    const double was = daemons_metric(d, LEARNER, name);
    for (int64_t until = clock_ms() + RUN_MS; clock_ms() < until; clock_sleep_ms(50))
        if (daemons_metric(d, LEARNER, name) > was + 1)
            return;
    fail_msg("%s stands still at %g", name, was);
}

static void end(struct daemons *d)
{
    for (int kind = GENERATOR; kind >= LEARNER; kind--)
        daemons_kill(d, (enum daemon_kind)kind);
}

static void wait_over(const struct daemons *d, enum daemon_kind kind, const char *word)
{
    for (int64_t until = clock_ms() + RUN_MS; cause(d, kind, word) > 0; clock_sleep_ms(50))
        if (clock_ms() > until)
            fail_msg("%s lasts", word);
}

static void a_peer_that_is_gone(void **)
{
    struct ring ring = long_ring();
    struct daemons d = daemons_start(&ring, "");
    wait_more_rounds(&d);
    daemons_wait_ready(&d, LEARNER, 200, "ok");

    daemons_kill(&d, GENERATOR);
    daemons_wait_ready(&d, LEARNER, 200, "no generator is connected");
    assert_near(cause(&d, LEARNER, "no_generator"), 1, 0);
    assert_counts(&d, "rlhfd_learner_idle_seconds_total"); // while it is idle
    daemons_start_one(&d, GENERATOR, "");
    daemons_announced(&d, GENERATOR);
    wait_over(&d, LEARNER, "no_generator");
    wait_more_rounds(&d);

    daemons_kill(&d, REWARDER);
    daemons_wait_ready(&d, LEARNER, 200, "no rewarder is connected");
    daemons_wait_ready(&d, GENERATOR, 200, d.address[REWARDER]);
    daemons_start_one(&d, REWARDER, "");
    daemons_announced(&d, REWARDER);
    wait_over(&d, LEARNER, "no_rewarder");
    wait_over(&d, GENERATOR, "no_rewarder");
    wait_more_rounds(&d);

    daemons_kill(&d, LEARNER);
    daemons_wait_ready(&d, GENERATOR, 200, d.address[LEARNER]);
    daemons_wait_ready(&d, REWARDER, 200, d.address[LEARNER]);
    daemons_start_one(&d, LEARNER, "");
    daemons_announced(&d, LEARNER);
    wait_over(&d, GENERATOR, "no_learner");
    wait_over(&d, REWARDER, "no_learner");
    wait_more_rounds(&d);
    end(&d);
}

static void pause_(const struct daemons *d, const char *method, const char *reason)
{
    Rlhfd__Admin__V1__PauseRequest request = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    Rlhfd__Admin__V1__PauseReply *reply = NULL;
    request.author = (char *)"ann";
    request.reason = (char *)reason;
    assert_ok(ask(d->admin[LEARNER], method, &request.base,
                  &rlhfd__admin__v1__pause_reply__descriptor, (void **)&reply));
    protobuf_c_message_free_unpacked(&reply->base, NULL);
}

static void set(const struct daemons *d, const char *key, const char *value)
{
    Rlhfd__Admin__V1__UpdateSettingsRequest request =
        RLHFD__ADMIN__V1__UPDATE_SETTINGS_REQUEST__INIT;
    Rlhfd__Admin__V1__Assignment one = RLHFD__ADMIN__V1__ASSIGNMENT__INIT, *all[] = {&one};
    Rlhfd__Admin__V1__UpdateSettingsReply *reply = NULL;
    one.key = (char *)key;
    one.value = (char *)value;
    request.settings = all;
    request.n_settings = 1;
    assert_ok(ask(d->admin[LEARNER], "LearnerAdmin/UpdateSettings", &request.base,
                  &rlhfd__admin__v1__update_settings_reply__descriptor, (void **)&reply));
    protobuf_c_message_free_unpacked(&reply->base, NULL);
}

/* What GetStatus names; the caller's. */
static char *status_says(const struct daemons *d, const char *word, bool ready)
{
    Rlhfd__Admin__V1__GetStatusRequest request = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    Rlhfd__Admin__V1__Status *status = NULL;
    assert_ok(ask(d->admin[LEARNER], "Admin/GetStatus", &request.base,
                  &rlhfd__admin__v1__status__descriptor, (void **)&status));
    if (!status->held_up)
        fail_msg("the status names nothing");
    assert_string_equal(status->held_up->cause, word);
    assert_int_equal(status->held_up->ready, ready);
    char *text = mem_string(status->held_up->text);
    protobuf_c_message_free_unpacked(&status->base, NULL);
    return text;
}

static void a_pause_and_a_disk_that_is_low(void **)
{
    struct ring ring = long_ring();
    struct daemons d = daemons_start(&ring, "");
    wait_more_rounds(&d);
    pause_(&d, "LearnerAdmin/Pause", "a look at the rewards");
    daemons_wait_ready(&d, LEARNER, 200, "paused by ann: a look at the rewards");
    SCOPED_MEM char *paused = status_says(&d, "paused", true);
    assert_non_null(strstr(paused, "rlhfctl resume --run"));
    daemons_kill(&d, LEARNER); // a pause is remembered
    daemons_start_one(&d, LEARNER, "");
    daemons_announced(&d, LEARNER);
    daemons_wait_ready(&d, LEARNER, 200, "paused by ann: a look at the rewards");
    pause_(&d, "LearnerAdmin/Resume", "");
    wait_over(&d, LEARNER, "paused");
    wait_more_rounds(&d);
    set(&d, "replay.min_free_bytes", "1125899906842624");
    daemons_wait_ready(&d, LEARNER, 503, "MiB are needed");
    SCOPED_MEM char *low = status_says(&d, "disk_low", false);
    assert_non_null(strstr(low, ring.run));
    set(&d, "replay.min_free_bytes", "0");
    daemons_wait_ready(&d, LEARNER, 200, "ok");
    wait_more_rounds(&d);
    end(&d);
}

/* ---- a rewarder whose stream breaks whatever it sends */

struct breaking {
    const struct daemons *daemons;
    struct loop *loop;
    int64_t until_ms;
    bool named;
};

static void send_nonsense(struct rpc_stream *stream, void *)
{
    struct rpc_message *message = rpc_message_copy("nonsense", 8);
    rpc_stream_send_message(stream, message);
    rpc_message_free(message);
}

static void forget(struct rpc_stream *, err_t why, void *)
{
    err_free(why);
}

static void look(void *arg)
{
    struct breaking *breaking = arg;
    SCOPED_MEM char *answer = daemons_get(breaking->daemons->metrics[LEARNER], "/readyz");
    breaking->named =
        strstr(answer, " 200 ") && strstr(answer, "keeps breaking") && strstr(answer, "127.0.0.1:");
    if (breaking->named || clock_ms() > breaking->until_ms)
        loop_stop(breaking->loop);
}

static void send_until_named(struct breaking *breaking)
{
    static const struct rpc_method append = {"/rlhfd.v1.Replay/Append", NULL, NULL, RPC_BIDI};
    const struct rpc_stream_handlers handlers = {.up = send_nonsense, .down = forget};
    SCOPED(rpc) rpc = NULL;
    SCOPED(rpc_stream) stream = NULL;
    SCOPED(loop_timer) timer = loop_timer_new(breaking->loop, look, breaking);
    assert_ok(rpc_new(breaking->loop, &rpc));
    assert_ok(rpc_stream_open(
        rpc,
        &(struct rpc_stream_options){.channel = {.target = breaking->daemons->address[LEARNER]},
                                     .method = &append},
        &handlers, breaking, &stream));
    loop_timer_start(timer, 100, 100);
    assert_ok(loop_run(breaking->loop));
}

static void a_stream_that_keeps_breaking(void **)
{
    struct ring ring = long_ring();
    struct daemons d = daemons_start(&ring, "");
    wait_more_rounds(&d);
    daemons_kill(&d, REWARDER);
    SCOPED(loop) loop = NULL;
    assert_ok(loop_new(&loop));
    struct breaking breaking = {.daemons = &d, .loop = loop, .until_ms = clock_ms() + RUN_MS};
    send_until_named(&breaking);
    assert_true(breaking.named);
    daemons_start_one(&d, REWARDER, "");
    daemons_announced(&d, REWARDER);
    wait_over(&d, LEARNER, "stream_breaks"); // as soon as a group is stored
    wait_more_rounds(&d);
    end(&d);
}

/* ---- up */

static void wait_line(const char *path, const char *part)
{
    for (int64_t until = clock_ms() + RUN_MS; clock_ms() < until; clock_sleep_ms(50)) {
        SCOPED_MEM char *text = file_text(path);
        if (strstr(text, part))
            return;
    }
    fail_msg("no '%s' in:\n%s", part, file_text(path));
}

static void up_shows_it(void **)
{
    struct ring ring = long_ring();
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    ring_wait_rounds(&ring, 2, RUN_MS);
    wait_line(ring.log, "round ");
    assert_int_equal(
        process_run(NULL, RUN_MS, "rlhfctl", "pause", "--run", ring.run, "--reason", "lunch", NULL),
        0);
    wait_line(ring.log, "held up for ");
    wait_line(ring.log, ": lunch; rlhfctl resume --run ");
    char *status;
    process_run(&status, RUN_MS, "rlhfctl", "status", "--run", ring.run, NULL);
    assert_non_null(strstr(status, "held up for "));
    free(status);
    process_kill(&up, SIGINT);
    assert_int_equal(process_wait(&up, RUN_MS), 0);
}

TESTS(cmocka_unit_test(a_peer_that_is_gone), cmocka_unit_test(a_pause_and_a_disk_that_is_low),
      cmocka_unit_test(a_stream_that_keeps_breaking), cmocka_unit_test(up_shows_it))
