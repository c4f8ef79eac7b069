/* A generator goes with its leases: the others get them after a grace. Real processes, killed and
 * stopped by real signals, under default settings where nothing else is said. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ring/steer/admin_client.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include "testing/weights.h"
#include <string.h>

enum { RUN_MS = 120000, END_MS = 20000, RETURN_MS = 30000, GAP_MS = 10000, KILLS = 2 };

/* slots: two groups are decoded at once, so neither generator can take all leases. */
static const char few_slots[] = "generator.slots=8";

struct pair {
    struct ring ring;
    struct daemons d;
    struct extra second;
    int64_t begun_ms; // before the learner's start
};

/* The other stands still meanwhile: no run ends before the second has come. */
static void start_second(struct pair *p)
{
    process_kill(&p->d.process[GENERATOR], SIGSTOP);
    p->second = daemons_extra(&p->d, "second", "");
    process_kill(&p->d.process[GENERATOR], SIGCONT);
}

static void start(struct pair *p, const struct ring_options *options)
{
    p->ring = ring_prepare(options);
    p->begun_ms = clock_ms();
    p->d = daemons_start(&p->ring, few_slots);
    start_second(p);
}

static void start_endless(struct pair *p)
{
    start(p, &(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
}

static void end_second(struct pair *p)
{
    process_kill(&p->second.process, SIGTERM);
    assert_int_equal(process_wait(&p->second.process, END_MS), 0);
}

/* ---- what is asked of the learner */

static double freed(const struct pair *p, const char *why)
{
    SCOPED_MEM char *name = mem_printf("rlhfd_leases_revoked_total{reason=\"%s\"}", why);
    return daemons_metric(&p->d, LEARNER, name);
}

static int round_now(const struct pair *p)
{
    return (int)daemons_metric(&p->d, LEARNER, "rlhfd_round");
}

/* How many leases the generator holds while in this state; 0: it is not in it. */
static int leased(const struct pair *p, const char *name, const char *state)
{
    int count = 0;
    struct client client = client_new(&p->d, LEARNER);
    Rlhfd__Admin__V1__ListWorkersRequest request = RLHFD__ADMIN__V1__LIST_WORKERS_REQUEST__INIT;
    const Rlhfd__Admin__V1__ListWorkersReply *reply =
        CALL(&client, "ListWorkers", request, list_workers_reply);
    for (size_t i = 0; i < reply->n_workers; i++)
        if (strcmp(reply->workers[i]->name, name) == 0 &&
            strcmp(reply->workers[i]->state, state) == 0)
            count = (int)reply->workers[i]->leased;
    client_done(&client);
    return count;
}

static void wait_connected(const struct pair *p, int generators)
{
    for (int64_t until = clock_ms() + RUN_MS;
         (int)daemons_metric(&p->d, LEARNER, "rlhfd_generators_connected") != generators;
         clock_sleep_ms(10))
        if (clock_ms() > until)
            fail_msg("there are never %d generators", generators);
}

static void wait_leased(const struct pair *p, const char *name, const char *state)
{
    for (int64_t until = clock_ms() + RUN_MS; !leased(p, name, state); clock_sleep_ms(10))
        if (clock_ms() > until)
            fail_msg("%s is not %s with leases", name, state);
}

static void set(const struct pair *p, const char *key, const char *value)
{
    struct client client = client_new(&p->d, LEARNER);
    Rlhfd__Admin__V1__Assignment one = RLHFD__ADMIN__V1__ASSIGNMENT__INIT, *all[] = {&one};
    Rlhfd__Admin__V1__UpdateSettingsRequest request =
        RLHFD__ADMIN__V1__UPDATE_SETTINGS_REQUEST__INIT;
    one.key = (char *)key;
    one.value = (char *)value;
    request.settings = all;
    request.n_settings = 1;
    (void)CALL(&client, "UpdateSettings", request, update_settings_reply);
    client_done(&client);
}

static int drain(const struct pair *p, const char *name)
{
    struct client client = client_new(&p->d, LEARNER);
    Rlhfd__Admin__V1__DrainWorkerRequest request = RLHFD__ADMIN__V1__DRAIN_WORKER_REQUEST__INIT;
    request.name = (char *)name;
    const Rlhfd__Admin__V1__DrainWorkerReply *reply =
        CALL(&client, "DrainWorker", request, drain_worker_reply);
    const int count = (int)reply->leased;
    assert_true(reply->change > 0);
    client_done(&client);
    return count;
}

static void refuse_drain(const struct pair *p, const char *name)
{
    struct client client = client_new(&p->d, LEARNER);
    Rlhfd__Admin__V1__DrainWorkerRequest request = RLHFD__ADMIN__V1__DRAIN_WORKER_REQUEST__INIT;
    request.name = (char *)name;
    REFUSED(&client, "DrainWorker", request, drain_worker_reply, ERR_NOT_FOUND, "name",
            "ListWorkers", "UNKNOWN_WORKER");
    client_done(&client);
}

/* ---- what is done to generators */

static void signal_all(const struct extra *const *extra, size_t count, int number)
{
    for (size_t i = 0; i < count; i++)
        process_kill(&extra[i]->process, number);
}

/* Whether each of them keeps leases for so long. */
static bool hold_on(const struct pair *p, const char *const *names, size_t count, int64_t ms)
{
    for (const int64_t until = clock_ms() + ms;; clock_sleep_ms(10)) {
        for (size_t k = 0; k < count; k++)
            if (!leased(p, names[k], "SERVING"))
                return false;
        if (clock_ms() > until)
            return true;
    }
}

/* They stand still, each with leases: groups that they have sent are stored by now. Without leases
 * they hold nobody up, and the others would train the whole run meanwhile. */
static void stop(struct pair *p, const struct extra *const *extra, const char *const *names,
                 size_t count)
{
    enum { STORED_MS = 2000 };
    for (int i = 0; i < 200; i++) {
        wait_leased(p, names[0], "SERVING");
        signal_all(extra, count, SIGSTOP);
        if (hold_on(p, names, count, STORED_MS))
            return;
        signal_all(extra, count, SIGCONT);
    }
    fail_msg("%s and others never stop with leases", names[0]);
}

static void stop_second(struct pair *p)
{
    stop(p, (const struct extra *[]){&p->second}, (const char *[]){"second"}, 1);
}

/* A process that never comes back by itself. It stood still before, so none of its groups is under
 * way. A group stored after its end would take a lease along. */
static void kill_second(struct pair *p)
{
    stop_second(p);
    process_kill(&p->second.process, SIGKILL);
    assert_int_equal(process_wait(&p->second.process, END_MS), 128 + SIGKILL);
    wait_connected(p, 1); // the learner sees the end of the stream
    assert_true(leased(p, "second", "LOST") > 0);
}

/* The longest time without a round until `more` leases are free and three rounds have come. */
static int longest_gap(const struct pair *p, const char *why, double before)
{
    int64_t last_ms = clock_ms(), longest = 0;
    int round = round_now(p), to_come = 3;
    for (const int64_t until = last_ms + RUN_MS; to_come; clock_sleep_ms(10)) {
        const int now = round_now(p);
        const int64_t now_ms = clock_ms();
        longest = now_ms - last_ms > longest ? now_ms - last_ms : longest;
        if (now_ms > until)
            fail_msg("no leases were freed as %s, or no round came", why);
        if (now == round)
            continue;
        to_come -= freed(p, why) > before;
        round = now;
        last_ms = now_ms;
    }
    return (int)longest;
}

static void finish(struct pair *p)
{
    set(p, "run.rounds", "1"); // a limit that has passed: the run ends
    assert_int_equal(daemons_wait_learner(&p->d, RUN_MS), 0);
    ring_audit(&p->ring);
}

/* ---- cases */

static void others_go_on_within_seconds(struct pair *p)
{
    for (int i = 0; i < KILLS; i++) {
        const double before = freed(p, "lost");
        start_second(p);
        kill_second(p);
        const int gap = longest_gap(p, "lost", before);
        print_message("killed for good: %d ms without a round, %.0f leases freed\n", gap,
                      freed(p, "lost") - before);
        assert_true(gap < GAP_MS);
    }
}

/* A learner that has begun waits for those that are on their way. */
static void nothing_is_freed_after_a_start(struct pair *p)
{
    kill_second(p);
    daemons_wait_ready(&p->d, LEARNER, 200, "leased to second (gone for ");
    while (clock_ms() - p->begun_ms < RETURN_MS - 1000) {
        assert_int_equal((int)freed(p, "lost"), 0);
        clock_sleep_ms(100);
    }
    (void)longest_gap(p, "lost", 0);
    assert_true(clock_ms() - p->begun_ms >= RETURN_MS);
    assert_int_equal(leased(p, "second", "LOST"), 0);
}

/* A grace of an hour, and an operator who knows better; then none. */
static void an_operator_decides(struct pair *p)
{
    set(p, "learner.lease_grace_ms", "500");
    set(p, "learner.lease_grace_ms", "3600000");
    start_second(p);
    kill_second(p);
    const double lost = freed(p, "lost");
    clock_sleep_ms(2000); // longer than the grace before
    assert_true(leased(p, "second", "LOST") > 0);
    const int round = round_now(p);
    assert_true(drain(p, "second") > 0);
    assert_int_equal(leased(p, "second", "LOST"), 0);
    assert_true(freed(p, "drained") > 0);
    const int gap = longest_gap(p, "drained", 0);
    print_message("drained when it had gone: %d ms without a round\n", gap);
    assert_true(gap < GAP_MS / 2 && round_now(p) > round);
    assert_int_equal((int)freed(p, "lost"), (int)lost);
    refuse_drain(p, "second"); // nothing is left of it
    start_second(p);
    kill_second(p);
    set(p, "learner.lease_grace_ms", "100");
    assert_true(longest_gap(p, "lost", lost) < GAP_MS / 2);
}

/* Told to leave, it cannot, and is killed. */
static void one_that_was_sent_away_dies(struct pair *p)
{
    set(p, "learner.lease_grace_ms", "3600000");
    start_second(p);
    stop_second(p);
    const double before = freed(p, "drained");
    assert_true(drain(p, "second") > 0);
    assert_true(leased(p, "second", "DRAINING") > 0);
    process_kill(&p->second.process, SIGKILL);
    assert_int_equal(process_wait(&p->second.process, END_MS), 128 + SIGKILL);
    const int gap = longest_gap(p, "drained", before);
    print_message("sent away and killed: %d ms without a round\n", gap);
    assert_true(gap < GAP_MS / 2);
}

/* Nobody decodes, and the operator may be at work on the machine that is gone. */
static void decoding_is_held(struct pair *p)
{
    Rlhfd__Admin__V1__PauseRequest pause = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    pause.generation = pause.now = true;
    set(p, "learner.lease_grace_ms", "500");
    start_second(p);
    stop_second(p);
    struct client client = client_new(&p->d, LEARNER);
    (void)CALL(&client, "Pause", pause, pause_reply);
    client_done(&client);
    process_kill(&p->second.process, SIGKILL);
    assert_int_equal(process_wait(&p->second.process, END_MS), 128 + SIGKILL);
    wait_leased(p, "second", "LOST");
    const double lost = freed(p, "lost");
    clock_sleep_ms(2000);
    assert_int_equal((int)freed(p, "lost"), (int)lost);
    assert_true(leased(p, "second", "LOST") > 0);
    pause.now = false;
    client = client_new(&p->d, LEARNER);
    (void)CALL(&client, "Resume", pause, pause_reply);
    client_done(&client);
    (void)longest_gap(p, "lost", lost);
}

/* As a break of the network is, before keepalive finds it: one stream has ended, the other is open
 * and silent. */
static void all_are_cut_off(struct pair *p)
{
    set(p, "learner.lease_grace_ms", "6000");
    start_second(p);
    stop_second(p);
    process_kill(&p->d.process[GENERATOR], SIGSTOP);
    process_kill(&p->second.process, SIGKILL);
    assert_int_equal(process_wait(&p->second.process, END_MS), 128 + SIGKILL);
    wait_leased(p, "second", "LOST");
    const double lost = freed(p, "lost");
    clock_sleep_ms(8000);
    assert_int_equal((int)freed(p, "lost"), (int)lost);
    process_kill(&p->d.process[GENERATOR], SIGCONT);
    (void)longest_gap(p, "lost", lost);
}

/* Nobody could take the leases, and both may be back with their work. */
static void all_have_gone(struct pair *p)
{
    set(p, "learner.lease_grace_ms", "3600000");
    start_second(p);
    kill_second(p);
    const double lost = freed(p, "lost");
    daemons_kill(&p->d, GENERATOR);
    wait_connected(p, 0);
    set(p, "learner.lease_grace_ms", "1000");
    clock_sleep_ms(4000);
    assert_int_equal((int)freed(p, "lost"), (int)lost);
    assert_true(leased(p, "second", "LOST") > 0);
    daemons_start_one(&p->d, GENERATOR, "");
    daemons_announced(&p->d, GENERATOR);
    (void)longest_gap(p, "lost", lost); // now the grace of the other counts
}

static void a_generator_that_is_killed_holds_nobody_up(void **)
{
    struct pair p;
    start_endless(&p);
    nothing_is_freed_after_a_start(&p);
    others_go_on_within_seconds(&p);
    an_operator_decides(&p);
    one_that_was_sent_away_dies(&p);
    decoding_is_held(&p);
    all_are_cut_off(&p);
    all_have_gone(&p);
    finish(&p);
}

/* Their streams are not closed: keepalive finds them after 30 s at most. One goes on where it
 * stopped and hears that its leases are gone. The other was sent away meanwhile. */
static void generators_that_are_stopped_come_back(void **)
{
    struct pair p;
    start_endless(&p);
    struct extra third = daemons_extra(&p.d, "third", "");
    stop(&p, (const struct extra *[]){&third, &p.second}, (const char *[]){"third", "second"}, 2);
    const int64_t stopped_ms = clock_ms();
    wait_leased(&p, "third", "LOST");
    assert_true(drain(&p, "third") > 0);
    (void)longest_gap(&p, "lost", 0);
    const int stood_ms = (int)(clock_ms() - stopped_ms);
    print_message("stopped: rounds again after %d ms, %.0f leases freed\n", stood_ms,
                  freed(&p, "lost"));
    assert_true(stood_ms < RETURN_MS + 2 * GAP_MS);
    process_kill(&third.process, SIGCONT);
    assert_int_equal(process_wait(&third.process, END_MS), 0);
    process_kill(&p.second.process, SIGCONT);
    wait_leased(&p, "second", "SERVING");
    const int round = round_now(&p);
    ring_wait_rounds(&p.ring, round + 10, RUN_MS);
    end_second(&p);
    finish(&p);
    assert_int_equal((int)ring_read(&p.ring).logp_differing, 0);
}

/* Each attempt of a slot draws the same tokens by the same weights. An operator's drain frees the
 * leases as the end of the grace does, and not only after the learner's first 30 s. */
static void at_lag_0_a_loss_changes_no_bit(void **)
{
    static const struct ring_options options = {.rounds = 150, .groups = 8};
    json_t *weights[2];
    for (int lost = 0; lost < 2; lost++) {
        struct pair p;
        start(&p, &options);
        SCOPED_MEM char *latest = file_join(p.ring.run, "checkpoints/latest");
        if (lost) {
            kill_second(&p);
            assert_true(drain(&p, "second") > 0);
            (void)longest_gap(&p, "drained", 0);
        }
        assert_int_equal(daemons_wait_learner(&p.d, RUN_MS), 0);
        if (!lost)
            end_second(&p);
        assert_int_equal(ring_read(&p.ring).rounds, options.rounds);
        assert_int_equal((int)ring_read(&p.ring).lag_max, 0);
        ring_audit(&p.ring);
        weights[lost] = weights_of_directory(latest);
    }
    assert_true(json_equal(weights[0], weights[1]));
    json_decref(weights[0]);
    json_decref(weights[1]);
}

TESTS(cmocka_unit_test(a_generator_that_is_killed_holds_nobody_up),
      cmocka_unit_test(generators_that_are_stopped_come_back),
      cmocka_unit_test(at_lag_0_a_loss_changes_no_bit))
