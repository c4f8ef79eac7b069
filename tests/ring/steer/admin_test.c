/* LearnerAdmin of a real learner that trains: each method for good and for wrong, and what of it
 * outlives the process. */
#include "base/file.h"
#include "ring/steer/admin_client.h"
#include <stdio.h>
#include <stdlib.h>

enum { RUN_MS = 120000 };

/* ---- settings */

static const Rlhfd__Admin__V1__UpdateSettingsReply *update(struct client *client, const char *key,
                                                           const char *value)
{
    Rlhfd__Admin__V1__Assignment one = RLHFD__ADMIN__V1__ASSIGNMENT__INIT, *all[] = {&one};
    Rlhfd__Admin__V1__UpdateSettingsRequest request =
        RLHFD__ADMIN__V1__UPDATE_SETTINGS_REQUEST__INIT;
    one.key = (char *)key;
    one.value = (char *)value;
    request.settings = all;
    request.n_settings = 1;
    request.author = (char *)"tester";
    return CALL(client, "UpdateSettings", request, update_settings_reply);
}

/* The value; *ret_etag is the caller's. */
static char *setting(struct client *client, const char *key, char **ret_etag)
{
    Rlhfd__Admin__V1__GetSettingsRequest request = RLHFD__ADMIN__V1__GET_SETTINGS_REQUEST__INIT;
    char *keys[] = {(char *)key};
    request.keys = keys;
    request.n_keys = 1;
    const Rlhfd__Admin__V1__Settings *settings = CALL(client, "GetSettings", request, settings);
    assert_int_equal(settings->n_settings, 1);
    assert_string_equal(settings->settings[0]->key, key);
    if (ret_etag)
        *ret_etag = mem_string(settings->etag);
    return mem_string(settings->settings[0]->value);
}

static void assert_setting(struct client *client, const char *key, const char *value)
{
    SCOPED_MEM char *is = setting(client, key, NULL);
    assert_string_equal(is, value);
}

static uint64_t changes(struct client *client)
{
    Rlhfd__Admin__V1__ListChangesRequest request = RLHFD__ADMIN__V1__LIST_CHANGES_REQUEST__INIT;
    request.newest_first = true;
    request.page_size = 1;
    const Rlhfd__Admin__V1__ListChangesReply *page =
        CALL(client, "ListChanges", request, list_changes_reply);
    return page->n_changes ? page->changes[0]->id : 0;
}

static void wrong_settings(struct client *client)
{
    static const struct {
        const char *key, *value, *mask, *etag;
        enum err_code code;
        const char *field, *allowed, *reason;
    } rows[] = {
        {"lag.mx", "1", NULL, "", ERR_NOT_FOUND, "lag.mx", "lag.max", "UNKNOWN_KEY"},
        {"learner.groups", "4", NULL, "", ERR_INVALID, "learner.groups", "fixed", "FIXED_KEY"},
        {"lag.max", "1001", NULL, "", ERR_INVALID, "lag.max", "0 to 1000", "VALUE_NOT_ALLOWED"},
        {"lag.max", "999", NULL, "", ERR_INVALID, "replay.max_groups", "at least",
         "SETTINGS_CONFLICT"},
        {"lag.max", "2", "lag.straggler", "", ERR_INVALID, "update_mask", "every key", NULL},
        {NULL, NULL, "lag.mx", "", ERR_NOT_FOUND, "lag.mx", "lag.max", "UNKNOWN_KEY"},
        {NULL, NULL, NULL, "", ERR_INVALID, "settings", "at least one", NULL},
        {"lag.max", "2", NULL, "0123", ERR_ABORTED, "etag", "", "STALE_ETAG"},
        {"lag.max", "\xff\n", NULL, "", ERR_INVALID, "lag.max", "UTF-8", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Rlhfd__Admin__V1__Assignment one = RLHFD__ADMIN__V1__ASSIGNMENT__INIT, *all[] = {&one};
        Rlhfd__Admin__V1__UpdateSettingsRequest request =
            RLHFD__ADMIN__V1__UPDATE_SETTINGS_REQUEST__INIT;
        char *mask[] = {(char *)rows[i].mask}, *etag, *after;
        SCOPED_MEM char *before = setting(client, "lag.max", &etag);
        one.key = (char *)rows[i].key;
        one.value = (char *)rows[i].value;
        request.settings = all;
        request.n_settings = rows[i].key != NULL;
        request.update_mask = mask;
        request.n_update_mask = rows[i].mask != NULL;
        request.etag = (char *)rows[i].etag;
        uint64_t count = changes(client);
        REFUSED(client, "UpdateSettings", request, update_settings_reply, rows[i].code,
                rows[i].field, rows[i].allowed, rows[i].reason);
        assert_setting(client, "lag.max", before);
        free(setting(client, "lag.max", &after));
        assert_string_equal(after, etag);
        assert_int_equal(changes(client), count);
        free(etag);
        free(after);
    }
}

static void wrong_questions(struct client *client)
{
    Rlhfd__Admin__V1__GetSettingsRequest get = RLHFD__ADMIN__V1__GET_SETTINGS_REQUEST__INIT;
    char *keys[] = {(char *)"no.such"};
    get.keys = keys;
    get.n_keys = 1;
    REFUSED(client, "GetSettings", get, settings, ERR_NOT_FOUND, "keys", "lag", "UNKNOWN_KEY");
    Rlhfd__Admin__V1__ListChangesRequest list = RLHFD__ADMIN__V1__LIST_CHANGES_REQUEST__INIT;
    list.page_size = 1001;
    REFUSED(client, "ListChanges", list, list_changes_reply, ERR_INVALID, "page_size", "to 1000",
            NULL);
    Rlhfd__Admin__V1__DrainWorkerRequest drain = RLHFD__ADMIN__V1__DRAIN_WORKER_REQUEST__INIT;
    drain.name = (char *)"nobody";
    REFUSED(client, "DrainWorker", drain, drain_worker_reply, ERR_NOT_FOUND, "name", "ListWorkers",
            "UNKNOWN_WORKER");
    Rlhfd__Admin__V1__GetOperationRequest operation = RLHFD__ADMIN__V1__GET_OPERATION_REQUEST__INIT;
    operation.name = (char *)"checkpoint-99";
    REFUSED(client, "GetOperation", operation, operation, ERR_NOT_FOUND, "name", "ListOperations",
            NULL);
    operation.wait_ms = 60001;
    REFUSED(client, "GetOperation", operation, operation, ERR_INVALID, "wait_ms", "60000", NULL);
    Rlhfd__Admin__V1__PauseRequest pause = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    SCOPED_MEM char *longer = mem_new(130);
    pause.request_id = memset(longer, 'x', 129);
    REFUSED(client, "Pause", pause, pause_reply, ERR_INVALID, "request_id", "128", NULL);
    Rlhfd__Admin__V1__PauseRequest hold = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    hold.training = hold.now = true; // there is nothing of training to hold
    REFUSED(client, "Pause", hold, pause_reply, ERR_INVALID, "now", "with generation", NULL);
    Rlhfd__Admin__V1__CheckpointRequest checkpoint = RLHFD__ADMIN__V1__CHECKPOINT_REQUEST__INIT;
    checkpoint.request_id = longer;
    REFUSED(client, "Checkpoint", checkpoint, operation, ERR_INVALID, "request_id", "128", NULL);
    Rlhfd__Admin__V1__WatchStatusRequest watch = RLHFD__ADMIN__V1__WATCH_STATUS_REQUEST__INIT;
    watch.interval_ms = 99;
    refused(client, "/rlhfd.admin.v1.Admin/WatchStatus", &watch.base,
            &rlhfd__admin__v1__status__descriptor, ERR_INVALID, "interval_ms", "60000", NULL);
}

/* The settings that a version's round was recorded with have this line. */
static void assert_recorded(const struct ring *ring, uint64_t version, const char *line, bool has)
{
    SCOPED_MEM char *at = mem_printf("%llu", (unsigned long long)version);
    char *output;
    int status = process_run(&output, RUN_MS, "rlhfd-learner", ring->recipe, "--run", ring->run,
                             "--job", "explain", "--at", at, "--output", "json", NULL);
    if (status || (strstr(output, line) != NULL) != has)
        fail_msg("version %s, status %d, '%s' %s:\n%s", at, status, line, has ? "missing" : "there",
                 output);
    free(output);
}

static uint64_t round_of(const struct daemons *ring)
{
    return (uint64_t)daemons_metric(ring, LEARNER, "rlhfd_round");
}

static void wait_round(const struct daemons *ring, uint64_t round)
{
    for (int64_t until = clock_ms() + RUN_MS; round_of(ring) < round; clock_sleep_ms(5)) {
        daemons_assert_running(ring, LEARNER);
        if (clock_ms() > until)
            fail_msg("round %llu does not come", (unsigned long long)round);
    }
}

static struct daemons start(struct ring *ring, int rounds)
{
    *ring = ring_prepare(&(struct ring_options){.rounds = rounds, .groups = 8, .lag = 1});
    return daemons_start(ring, "learner.lease_ms=20000");
}

/* Killed right after the answer: the change is in force when it is up again, and in the records
 * from its first round on. */
static void a_change_survives_a_kill(void **state)
{
    (void)state;
    struct ring ring;
    struct daemons d = start(&ring, 100000);
    wait_round(&d, 4);
    struct client client = client_new(&d, LEARNER);
    wrong_settings(&client);
    wrong_questions(&client);
    uint64_t first = update(&client, "learner.optimizer.lr", "0.0125")->first_round;
    daemons_kill(&d, LEARNER);
    client_done(&client);
    daemons_start_one(&d, LEARNER, "");
    daemons_announced(&d, LEARNER);
    client = client_new(&d, LEARNER);
    assert_setting(&client, "learner.optimizer.lr", "0.0125");
    assert_int_equal(changes(&client), 1);
    wait_round(&d, first + 2);
    assert_recorded(&ring, first, "lr: 0.001",
                    true); // the round before: version n is made by round n - 1
    assert_recorded(&ring, first + 1, "lr: 0.0125", true);
    assert_recorded(&ring, first + 1, "lr: 0.001\\n", false);
    uint64_t ends =
        update(&client, "run.rounds", "1")->first_round; // a limit that has passed: it ends
    assert_true(ends >= first + 2);
    client_done(&client);
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    ring_audit(&ring);
}

/* ---- pause, status, operations */

static const char *text_of(const Rlhfd__Admin__V1__Status *status, const char *name)
{
    for (size_t i = 0; i < status->n_texts; i++)
        if (strcmp(status->texts[i]->name, name) == 0)
            return status->texts[i]->value;
    return "";
}

static const Rlhfd__Admin__V1__Status *status_of(struct client *client)
{
    Rlhfd__Admin__V1__GetStatusRequest request = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    return call_ok(client, "/rlhfd.admin.v1.Admin/GetStatus", &request.base,
                   &rlhfd__admin__v1__status__descriptor);
}

static void wait_text(struct client *client, const char *name, const char *value)
{
    for (int64_t until = clock_ms() + RUN_MS; strcmp(text_of(status_of(client), name), value) != 0;
         clock_sleep_ms(20))
        if (clock_ms() > until)
            fail_msg("%s is '%s', not '%s'", name, text_of(status_of(client), name), value);
}

static void pause_both(struct client *client, const char *name, bool training, bool generation,
                       bool after)
{
    Rlhfd__Admin__V1__PauseRequest request = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    SCOPED_MEM char *method = mem_printf(METHOD("%s"), name);
    request.training = training;
    request.generation = generation;
    const Rlhfd__Admin__V1__PauseReply *reply =
        call_ok(client, method, &request.base, &rlhfd__admin__v1__pause_reply__descriptor);
    assert_int_equal(reply->training_paused, after);
    assert_int_equal(reply->generation_paused, after);
}

/* It is taken at once, where training stands. */
static void checkpoint_while_paused(struct client *client, const struct daemons *d)
{
    Rlhfd__Admin__V1__CheckpointRequest request = RLHFD__ADMIN__V1__CHECKPOINT_REQUEST__INIT;
    Rlhfd__Admin__V1__GetOperationRequest get = RLHFD__ADMIN__V1__GET_OPERATION_REQUEST__INIT;
    request.request_id = (char *)"one";
    const Rlhfd__Admin__V1__Operation *o = CALL(client, "Checkpoint", request, operation);
    assert_string_equal(o->name, "checkpoint-1");
    o = CALL(client, "Checkpoint", request, operation);
    assert_string_equal(o->name, "checkpoint-1"); // asked again
    get.name = (char *)"checkpoint-1";
    get.wait_ms = CALL_MS;
    o = CALL(client, "GetOperation", get, operation);
    assert_string_equal(o->state, "DONE");
    assert_int_equal(o->round, round_of(d));
    assert_int_equal(o->version, o->round);
    assert_true(file_exists(o->path));
    Rlhfd__Admin__V1__ListOperationsRequest list = RLHFD__ADMIN__V1__LIST_OPERATIONS_REQUEST__INIT;
    const Rlhfd__Admin__V1__ListOperationsReply *all =
        CALL(client, "ListOperations", list, list_operations_reply);
    assert_int_equal(all->n_operations, 1);
    assert_string_equal(all->operations[0]->name, "checkpoint-1");
}

/* What status and /metrics say of the run itself, not of this process. */
enum { STANDING = 8 };
static void read_standing(const struct daemons *d, double ret[STANDING])
{
    static const char *const names[STANDING] = {
        "rlhfd_round",   "rlhfd_version",      "rlhfd_reward_mean", "rlhfd_lag_mean",
        "rlhfd_lag_max", "rlhfd_lag_expected", "rlhfd_lag_target",  "rlhfd_lag_limit"};
    for (int i = 0; i < STANDING; i++)
        ret[i] = daemons_metric(d, LEARNER, names[i]);
}

static void a_pause_is_durable(void **state)
{
    (void)state;
    struct ring ring;
    struct daemons d = start(&ring, 100000);
    wait_round(&d, 4);
    struct client client = client_new(&d, LEARNER);
    pause_both(&client, "Pause", false, false, true); // both
    wait_text(&client, "waits_for", "paused");
    uint64_t stands = round_of(&d);
    double before[STANDING], after[STANDING];
    checkpoint_while_paused(&client, &d);
    read_standing(&d, before);
    daemons_kill(&d, LEARNER);
    client_done(&client);
    daemons_start_one(&d, LEARNER, "");
    daemons_announced(&d, LEARNER);
    client = client_new(&d, LEARNER);
    wait_text(&client, "waits_for", "paused");
    assert_string_equal(text_of(status_of(&client), "paused"), "generation, training");
    read_standing(&d, after); // this process has trained nothing yet
    for (int i = 0; i < STANDING; i++)
        assert_float_equal(after[i], before[i], 1e-6);
    pause_both(&client, "Resume", true, true, false);
    wait_round(&d, stands + 2);
    Rlhfd__Admin__V1__ListChangesRequest list = RLHFD__ADMIN__V1__LIST_CHANGES_REQUEST__INIT;
    const Rlhfd__Admin__V1__ListChangesReply *page =
        CALL(&client, "ListChanges", list, list_changes_reply);
    assert_int_equal(page->n_changes, 2);
    assert_string_equal(page->changes[0]->kind, "pause");
    assert_string_equal(page->changes[1]->kind, "resume");
    assert_string_equal(page->changes[1]->values[0]->key, "generation");
    assert_string_equal(page->changes[1]->values[0]->after, "running");
    update(&client, "run.rounds", "1");
    client_done(&client);
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    ring_audit(&ring);
}

/* Statuses keep coming; the trained groups by lag are those of the rounds. */
static void watched(struct client *client, int count, uint64_t least)
{
    static const struct rpc_method row = {.path = "/rlhfd.admin.v1.Admin/WatchStatus",
                                          .reply = &rlhfd__admin__v1__status__descriptor,
                                          .kind = RPC_SERVER_STREAM};
    Rlhfd__Admin__V1__WatchStatusRequest request = RLHFD__ADMIN__V1__WATCH_STATUS_REQUEST__INIT;
    request.interval_ms = 100;
    client->wanted = count;
    client->type = row.reply;
    struct rpc_call *call =
        rpc_call_stream(client->channel, &row, NULL,
                        &(struct rpc_handlers){.message = on_message, .close = on_close}, client);
    rpc_call_send(call, &request.base);
    rpc_call_half_close(call);
    assert_ok(loop_run(client->loop));
    assert_int_equal(client->wanted, 0);
    assert_int_equal(err_code(client->failed), ERR_CANCELLED);
    const Rlhfd__Admin__V1__Status *status = (const void *)client->reply;
    uint64_t trained = 0;
    for (size_t i = 0; i < status->n_lags; i++) {
        assert_true(i == 0 || status->lags[i]->lag > status->lags[i - 1]->lag);
        trained += status->lags[i]->trained;
    }
    if (least)
        assert_true(trained >= least && trained % 8 == 0);
}

/* It delivers what it has and ends well; one of its name that comes later serves. */
static void a_worker_is_sent_away(void **state)
{
    (void)state;
    struct ring ring;
    struct daemons d = start(&ring, 100000);
    wait_round(&d, 4);
    struct client client = client_new(&d, LEARNER), generator = client_new(&d, GENERATOR);
    watched(&client, 3, 4 * 8);
    watched(&generator, 2, 0);
    client_done(&generator);
    Rlhfd__Admin__V1__ListWorkersRequest list = RLHFD__ADMIN__V1__LIST_WORKERS_REQUEST__INIT;
    const Rlhfd__Admin__V1__ListWorkersReply *workers =
        CALL(&client, "ListWorkers", list, list_workers_reply);
    assert_int_equal(workers->n_workers, 2);
    assert_string_equal(workers->workers[0]->name, "generator");
    assert_string_equal(workers->workers[0]->state, "SERVING");
    assert_string_equal(workers->workers[1]->kind, "rewarder");
    assert_true(workers->workers[0]->tokens > 0 && workers->workers[1]->tokens > 0);
    assert_string_equal(workers->workers[0]->forward, "backend=cpu kernels=2 kv=bf16");
    assert_string_equal(workers->workers[1]->forward, ""); // it has no reference model
    Rlhfd__Admin__V1__DrainWorkerRequest drain = RLHFD__ADMIN__V1__DRAIN_WORKER_REQUEST__INIT;
    drain.name = (char *)"generator";
    const Rlhfd__Admin__V1__DrainWorkerReply *drained =
        CALL(&client, "DrainWorker", drain, drain_worker_reply);
    assert_int_equal(drained->change, 1);
    assert_int_equal(process_wait(&d.process[GENERATOR], RUN_MS), 0);
    wait_text(&client, "waits_for", "no groups: no generator is connected");
    uint64_t stands = round_of(&d);
    daemons_start_one(&d, GENERATOR, "");
    daemons_announced(&d, GENERATOR);
    wait_round(&d, stands + 4);
    update(&client, "run.rounds", "1");
    client_done(&client);
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    struct ring_result r = ring_read(&ring);
    assert_int_equal((int)r.logp_differing, 0);
    ring_audit(&ring);
}

/* ---- options that training reads itself */

/* publish.every and checkpoint.every from the round on that was answered. */
static void training_reads_what_was_changed(void **state)
{
    (void)state;
    struct ring ring;
    struct daemons d = start(&ring, 100000);
    wait_round(&d, 4);
    struct client client = client_new(&d, LEARNER);
    pause_both(&client, "Pause", false, false, true);
    wait_text(&client, "waits_for", "paused");
    update(&client, "checkpoint.every", "1");
    update(&client, "checkpoint.keep", "50");
    uint64_t first = update(&client, "publish.every", "2")->first_round;
    pause_both(&client, "Resume", false, false, false);
    wait_round(&d, first + 4);
    update(&client, "run.rounds", "1");
    client_done(&client);
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    for (uint64_t version = first + 1; version <= first + 4; version++) {
        SCOPED_MEM char *path =
            mem_printf("%s/checkpoints/v%llu", ring.run, (unsigned long long)version);
        if (!file_exists(path))
            fail_msg("no %s", path);
        assert_recorded(&ring, version, "every: 2", true);
    }
    ring_audit(&ring);
}

static void a_rewarder_with_a_reference_tells_its_numerics(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 100000, .groups = 8, .lag = 1, .rewarder = "reference: frozen, "});
    struct daemons d = daemons_start(&ring, "model.kv=fp32");
    wait_round(&d, 1);
    struct client client = client_new(&d, LEARNER);
    Rlhfd__Admin__V1__ListWorkersRequest list = RLHFD__ADMIN__V1__LIST_WORKERS_REQUEST__INIT;
    const Rlhfd__Admin__V1__ListWorkersReply *workers =
        CALL(&client, "ListWorkers", list, list_workers_reply);
    assert_int_equal(workers->n_workers, 2);
    for (size_t i = 0; i < workers->n_workers; i++)
        assert_string_equal(workers->workers[i]->forward, "backend=cpu kernels=2 kv=fp32");
    client_done(&client);
    process_kill(&d.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
}

TESTS(cmocka_unit_test(a_change_survives_a_kill), cmocka_unit_test(a_pause_is_durable),
      cmocka_unit_test(a_worker_is_sent_away),
      cmocka_unit_test(a_rewarder_with_a_reference_tells_its_numerics),
      cmocka_unit_test(training_reads_what_was_changed))
