/* Decoding held by an operator: no token while it lasts, and afterwards the weights that a run
 * without a pause makes. */
#include "base/file.h"
#include "ring/steer/admin_client.h"
#include "testing/process.h"
#include "testing/ring.h"
#include <stdlib.h>

enum { RUN_MS = 240000, WAIT_MS = 60000, HELD_MS = 300 };

static struct ring prepared(void)
{
    return ring_prepare(
        &(struct ring_options){.rounds = 1000000, .groups = 8, .slow_permille = 200});
}

static const Rlhfd__Admin__V1__PauseReply *pause_generation(struct client *client, bool now)
{
    Rlhfd__Admin__V1__PauseRequest request = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    request.generation = true;
    request.now = now;
    return CALL(client, "Pause", request, pause_reply);
}

static void resume(struct client *client)
{
    Rlhfd__Admin__V1__PauseRequest request = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    const Rlhfd__Admin__V1__PauseReply *reply = CALL(client, "Resume", request, pause_reply);
    assert_false(reply->generation_paused || reply->decoding_held);
}

static bool generator_is(struct client *client, const char *state)
{
    Rlhfd__Admin__V1__ListWorkersRequest request = RLHFD__ADMIN__V1__LIST_WORKERS_REQUEST__INIT;
    const Rlhfd__Admin__V1__ListWorkersReply *reply =
        CALL(client, "ListWorkers", request, list_workers_reply);
    for (size_t i = 0; i < reply->n_workers; i++)
        if (strcmp(reply->workers[i]->kind, "generator") == 0)
            return strcmp(reply->workers[i]->state, state) == 0;
    return false;
}

static void wait_generator(struct client *client, const char *state)
{
    for (int64_t until = clock_ms() + WAIT_MS; !generator_is(client, state); clock_sleep_ms(10))
        if (clock_ms() > until)
            fail_msg("the generator does not come to be %s", state);
}

/* What a generator last said of itself is from before the resume, until it has heard of it. */
static void go_on(struct client *client)
{
    resume(client);
    wait_generator(client, "SERVING");
}

static double tokens_of(const struct daemons *d)
{
    return daemons_metric(d, GENERATOR, "rlhfd_decode_tokens_total");
}

/* Holds until some group is half done; returns how many were under way. */
static uint32_t hold_some(struct client *client)
{
    for (int64_t until = clock_ms() + WAIT_MS;; clock_sleep_ms(20)) {
        const Rlhfd__Admin__V1__PauseReply *reply = pause_generation(client, true);
        assert_true(reply->generation_paused && reply->decoding_held && !reply->training_paused);
        const uint32_t leased = reply->leased;
        wait_generator(client, "HELD");
        if (leased)
            return leased;
        go_on(client);
        assert_true(clock_ms() < until);
    }
}

static struct bytes flat_of(const char *run)
{
    SCOPED_MEM char *path = mem_printf("%s/checkpoints/latest/model.safetensors", run);
    struct bytes bytes = {0};
    assert_ok(file_read(path, 1 << 26, &bytes));
    return bytes;
}

/* The same recipe in a run of its own, without a pause. */
static struct bytes weights_without_a_pause(const struct ring *ring, const char *rounds)
{
    SCOPED_MEM char *setting = mem_printf("run.rounds=%s", rounds);
    SCOPED_MEM char *run = mem_printf("%s/unpaused", ring->directory);
    char *output;
    if (process_run(&output, RUN_MS, "rlhfctl", "up", ring->recipe, "--run", run, "--set", setting,
                    NULL))
        fail_msg("%s", output);
    free(output);
    return flat_of(run);
}

static void end_at(struct client *client, const char *rounds)
{
    Rlhfd__Admin__V1__UpdateSettingsRequest request =
        RLHFD__ADMIN__V1__UPDATE_SETTINGS_REQUEST__INIT;
    Rlhfd__Admin__V1__Assignment to = RLHFD__ADMIN__V1__ASSIGNMENT__INIT, *at = &to;
    to.key = (char *)"run.rounds";
    to.value = (char *)rounds;
    request.n_settings = 1;
    request.settings = &at;
    (void)CALL(client, "UpdateSettings", request, update_settings_reply);
}

static void held_decoding_goes_on_to_the_same_bits(void **)
{
    struct ring ring = prepared();
    struct daemons d = daemons_start(&ring, "");
    struct client client = client_new(&d, LEARNER);
    for (int i = 0; i < 4; i++) {
        print_message("%u groups stand still\n", hold_some(&client));
        const double tokens = tokens_of(&d);
        clock_sleep_ms(HELD_MS);
        assert_true(tokens_of(&d) == tokens);
        if (i < 3)
            go_on(&client);
    }
    SCOPED_MEM char *rounds = mem_printf("%.0f", daemons_metric(&d, LEARNER, "rlhfd_round") + 4);
    end_at(&client, rounds);
    resume(&client);
    client_done(&client);
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    SCOPED_VALUE(bytes) paused = flat_of(ring.run);
    SCOPED_VALUE(bytes) straight = weights_without_a_pause(&ring, rounds);
    assert_int_equal(paused.len, straight.len);
    assert_memory_equal(paused.data, straight.data, paused.len);
    ring_audit(&ring);
}

/* A hold outlives the learner; a generator that is sent away does not wait for its end, and a pause
 * that lets finish ends it. */
static void a_hold_binds_nobody_who_leaves(void **)
{
    struct ring ring = prepared();
    struct daemons d = daemons_start(&ring, "");
    struct client client = client_new(&d, LEARNER);
    hold_some(&client);
    daemons_kill(&d, LEARNER);
    client_done(&client);
    const double tokens = tokens_of(&d);
    daemons_start_one(&d, LEARNER, "");
    daemons_announced(&d, LEARNER);
    client = client_new(&d, LEARNER);
    wait_generator(&client, "HELD");
    clock_sleep_ms(HELD_MS);
    assert_true(tokens_of(&d) == tokens);
    Rlhfd__Admin__V1__DrainWorkerRequest drain = RLHFD__ADMIN__V1__DRAIN_WORKER_REQUEST__INIT;
    drain.name = (char *)"generator";
    (void)CALL(&client, "DrainWorker", drain, drain_worker_reply);
    assert_int_equal(process_wait(&d.process[GENERATOR], WAIT_MS), 0);
    assert_int_equal(pause_generation(&client, true)->leased, 0); // given back
    daemons_start_one(&d, GENERATOR, "");
    daemons_announced(&d, GENERATOR);
    wait_generator(&client, "HELD");
    resume(&client);
    hold_some(&client);
    for (int64_t until = clock_ms() + WAIT_MS; pause_generation(&client, false)->leased;
         clock_sleep_ms(20))
        assert_true(clock_ms() < until);
    Rlhfd__Admin__V1__DrainRequest end = RLHFD__ADMIN__V1__DRAIN_REQUEST__INIT;
    resume(&client);
    hold_some(&client);
    (void)call_ok(&client, "/rlhfd.admin.v1.Admin/Drain", &end.base,
                  &rlhfd__admin__v1__drain_reply__descriptor);
    client_done(&client);
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0); // and ends the others
    ring_audit(&ring);
}

TESTS(cmocka_unit_test(held_decoding_goes_on_to_the_same_bits),
      cmocka_unit_test(a_hold_binds_nobody_who_leaves))
