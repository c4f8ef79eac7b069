/* Training, on its real thread: rounds and their digests, checkpoints, restarts, what is refused,
 * the way back, pauses, settings that change, rounds that cannot be trained. */
#include "learner/job/explain.h"
#include "unit/learner/train_kit.h"
#include <inttypes.h>
#include <stdio.h>

/* ---- rounds and checkpoints */

static void assert_checkpoints(const struct site *site, size_t count, const uint64_t *versions)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    assert_ok(checkpoint_list(site->directory, &list));
    assert_int_equal(list.count, count);
    for (size_t i = 0; i < count; i++) {
        SCOPED_MEM char *path = checkpoint_path(site->directory, list.version[i]);
        struct checkpoint_info info;
        assert_int_equal(list.version[i], versions[i]);
        assert_ok(checkpoint_read(path, 0, &info));
        assert_int_equal(info.round * UPDATES, versions[i]);
    }
}

static int lines_of(const struct site *site)
{
    SCOPED_VALUE(bytes) all = {0};
    SCOPED_MEM char *path = file_join(site->directory, "metrics.jsonl");
    int lines = 0;
    assert_ok(file_read(path, 1 << 20, &all));
    for (size_t i = 0; i < all.len; i++)
        lines += all.data[i] == '\n';
    return lines;
}

/* By trainee, and the policy's under the name that it always had. */
static void explained_by_trainee(const struct site *site, uint64_t version)
{
    SCOPED(store) store = NULL;
    SCOPED_JSON json_t *explained = NULL;
    SCOPED_VALUE(bytes) said = {0};
    struct trainee_digests recorded;
    const char *weights, *name, *digest;
    char text[DIGEST_TEXT];
    assert_ok(store_read(site->store, &store));
    assert_ok(store_digests_of(store, version, &recorded));
    assert_ok(explain_version(site->recipe, store, version, &explained));
    json_t *update = json_array_get(json_object_get(explained, "updates"), (version - 1) % UPDATES);
    assert_int_equal(json_unpack(update, "{s:s, s:[{s:s, s:s}]}", "weights", &weights, "trainees",
                                 "name", &name, "weights", &digest),
                     0);
    assert_string_equal(name, "policy");
    assert_string_equal(weights, digest);
    assert_string_equal(weights, digest_text(&recorded.at[0].weights, text));
    SCOPED_MEM char *line =
        mem_printf("weights      %s  version %d, policy\n", weights, (int)version);
    explain_text(explained, &said);
    assert_non_null(memmem(said.data, said.len, line, strlen(line)));
}

static void rounds_are_trained_and_recorded(void **)
{
    struct site *site = site_new("run.rounds=5");
    process_open(site);
    assert_int_equal(train_at(site->train)->round, 0);
    deliver(site, 5 * B);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    assert_int_equal(site->train->published_version, 5 * UPDATES);
    process_close(site);
    assert_recorded(site, 5);
    explained_by_trainee(site, 6);
    assert_checkpoints(site, 3, (const uint64_t[]){10, 8, 4}); // every second round, and the last
    assert_int_equal(lines_of(site), 5);
    site_free(site);
}

static void remove_checkpoint(const struct site *site, uint64_t version)
{
    SCOPED_MEM char *path = checkpoint_path(site->directory, version);
    assert_ok(file_remove_tree(path));
}

/* The newest whole checkpoint is the start; what was recorded after it comes to the same digests,
 * or the store would say so. */
static void a_restart_makes_the_rounds_after_its_checkpoint_again(void **)
{
    struct site *site = site_new("run.rounds=5");
    process_open(site);
    deliver(site, 5 * B);
    process_run(site);
    process_close(site);
    remove_checkpoint(site, 10);
    process_open(site);
    assert_int_equal(train_at(site->train)->round, 4);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
    remove_checkpoint(site, 10);
    remove_checkpoint(site, 8);
    process_open(site);
    assert_int_equal(train_at(site->train)->round, 2);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    assert_int_equal(site->train->at.version, 10);
    process_close(site);
    assert_recorded(site, 5);
    assert_checkpoints(site, 3, (const uint64_t[]){10, 8, 4});
    assert_int_equal(lines_of(site), 5);
    site_free(site);
}

static void request_checkpoint(struct train *train, void *arg)
{
    struct checkpoint_info *ret = arg;
    if (train_at(train)->round)
        assert_ok(train_checkpoint(train, ret));
    else
        assert_err(ERR_PRECONDITION, "no round has been trained", train_checkpoint(train, ret));
}

static void a_stop_and_a_request_make_a_checkpoint(void **)
{
    struct site *site = site_new("checkpoint.every=50");
    struct checkpoint_info at = {0};
    process_open(site);
    process_start(site);
    ask(site, request_checkpoint, &at);
    deliver(site, B);
    wait_round(site, 1);
    assert_checkpoints(site, 0, NULL);
    ask(site, request_checkpoint, &at);
    ask(site, request_checkpoint, &at); // that is the same one
    assert_int_equal(at.version, 2);
    assert_checkpoints(site, 1, (const uint64_t[]){2});
    deliver(site, B);
    wait_round(site, 2);
    train_stop(site->train);
    assert_int_equal(process_run(site), TRAIN_STOPPED);
    process_close(site);
    assert_checkpoints(site, 2, (const uint64_t[]){4, 2});
    assert_recorded(site, 2);
    site_free(site);
}

/* ---- what is refused */

struct plant {
    struct site *site;
    struct trainee_digests digests;
};

/* Round 0 is recorded, and one version of it with digests that nobody trained. */
static err_t plant_job(void *arg, struct store *store)
{
    struct plant *plant = arg;
    struct site *site = plant->site;
    SCOPED_MEM char *fingerprint = settings_fingerprint(train_model(site->train), NULL);
    SCOPED(round) round = NULL;
    enum idle idle;
    struct round_plan as_ours = {UPDATES, 7, live_text(site->live), fingerprint};
    TRY(deliver_job(&(struct delivery){site, B}, store));
    TRY(store_form_round(store, 0, &as_ours, &idle, &round));
    assert_non_null(round);
    return store_update_done(store, 1, &plant->digests, false);
}

static struct site *site_with(const struct trainee_digests *digests)
{
    struct site *site = site_new("run.rounds=5");
    struct plant plant = {site, *digests};
    process_open(site);
    assert_ok(storage_call(site->storage, plant_job, &plant));
    process_close(site);
    return site;
}

static void weights_other_than_recorded_end_it(void **)
{
    const struct trainee_digests wrong = kit_trainees(1);
    struct site *site = site_with(&wrong);
    process_open(site);
    assert_int_equal(process_run(site), TRAIN_FAILED);
    assert_err(ERR_DATA_LOSS, "other weights of version 1", site->why);
    assert_int_equal(site->train->published_version, 0);
    process_close(site);
    assert_checkpoints(site, 0, NULL);
    site_free(site);
}

static void trainees_of_the_store_are_those_of_the_recipe(void **)
{
    struct trainee_digests digests = {2, {{"policy", kit_digest(1)}, {"critic", kit_digest(2)}}};
    struct site *more = site_with(&digests);
    assert_err(ERR_PRECONDITION, "the store of this run has the trainee 'critic'",
               process_try(more));
    site_free(more);
    snprintf(digests.at[0].name, sizeof digests.at[0].name, "actor");
    struct site *less = site_with(&digests);
    assert_err(ERR_PRECONDITION, "the store of this run has no trainee 'policy'",
               process_try(less));
    site_free(less);
}

/* In the place of the newest checkpoint: one with other weights of the policy, one with a critic,
 * one with a critic alone. */
static void trainees_of_a_checkpoint_are_those_of_the_store(void **)
{
    static const char *const names[3][2] = {{"policy"}, {"policy", "critic"}, {"critic"}},
                             *const said[3] = {"other weights of 'policy' at version 4",
                                               "has the trainee 'critic'",
                                               "has no trainee 'policy'"};
    struct site *site = site_new("run.rounds=2");
    process_open(site);
    deliver(site, 2 * B);
    process_run(site);
    struct checkpoint_info info = site->train->at;
    process_close(site);
    const struct model_config shape = config_default(37, 32, 16, 1, 2, 1, 96, true);
    const struct checkpoint_tokenizer none = checkpoint_tokenizer(site->directory);
    for (int i = 0; i < 3; i++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED_VALUE(trainees) others = {0};
        for (int j = 0; j < 2 && names[i][j]; j++) {
            struct model *model;
            assert_ok(model_new(be, &shape, 4, &model));
            assert_ok(trainees_add(&others, names[i][j], model, &OPTIMIZER_DEFAULTS, NULL));
        }
        info.trainees = trainees_digests(&others);
        assert_ok(checkpoint_write(site->directory, &others, &none, &info, 1));
        assert_err(ERR_PRECONDITION, said[i], process_try(site));
    }
    site_free(site);
}

/* ---- the way back */

struct going {
    uint64_t version;
    struct checkpoint_info at;
    uint64_t workspaces;
};

static void go_back(struct train *train, void *arg)
{
    struct going *going = arg;
    struct checkpoint_info before = *train_at(train);
    assert_err(ERR_NOT_FOUND, "version 6 has no whole checkpoint (there are: 0, 8, 4)",
               train_go_back(train, 6, NULL, NULL, &going->at));
    assert_int_equal(train_at(train)->version, before.version);
    assert_int_equal(train_at(train)->lineage, before.lineage);
    assert_ok(train_go_back(train, going->version, NULL, NULL, &going->at));
    assert_int_equal(train->published_version, going->version);
    going->workspaces = updates_workspaces(train->updates);
}

static void go_back_too_late(struct train *train, void *arg)
{
    struct checkpoint_info at;
    (void)arg;
    assert_err(ERR_PRECONDITION, "nothing more is trained",
               train_go_back(train, 4, NULL, NULL, &at));
}

static void training_goes_back_and_on(void **)
{
    struct site *site = site_new("run.rounds=6");
    struct going going = {.version = 4};
    process_open(site);
    deliver(site, 4 * B);
    process_start(site);
    struct checkpoint_info before = wait_round(site, 4);
    ask(site, go_back, &going);
    assert_int_equal(going.at.round, 2);
    assert_int_equal(going.at.version, 4);
    assert_int_equal(going.at.lineage, before.lineage + 1);
    assert_int_equal(going.workspaces, 1);
    assert_checkpoints(site, 1, (const uint64_t[]){4}); // what came after is set aside
    deliver(site, 4 * B);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    ask(site, go_back_too_late, NULL);
    assert_int_equal(site->train->at.version, 12);
    process_close(site);
    assert_recorded(site, 6);
    assert_int_equal(lines_of(site),
                     4 + 1 + 4); // cut off rounds stay in the file, and a line says so
    site_free(site);
}

/* ---- pauses and settings */

struct request {
    struct live *live;
    const char *lr; // NULL: a pause of training, or its end
    enum live_pause pause;
};

static err_t request_job(void *arg, struct store *store)
{
    const struct request *request = arg;
    struct live_assignment at = {request->lr ? "learner.optimizer.lr" : "training",
                                 request->lr ? request->lr : ""};
    struct live_request live = {.at = &at, .count = 1, .kind = "settings"};
    struct live_result result;
    return request->lr
               ? live_update(request->live, store, &live, &result)
               : live_pause(request->live, store, &live, false, true, request->pause, &result);
}

static void request(struct site *site, const char *lr, enum live_pause pause)
{
    struct request request = {site->live, lr, pause};
    assert_ok(storage_call(site->storage, request_job, &request));
}

static err_t tell_wait(void *arg, struct store *store)
{
    (void)store;
    struct site *site = arg;
    site->ended = draw_waits_for(train_draw(site->train)) == IDLE_PAUSED;
    return OK;
}

static void no_round_is_formed_while_training_is_paused(void **)
{
    struct site *site = site_new("checkpoint.every=50");
    process_open(site);
    request(site, NULL, LIVE_PAUSED);
    deliver(site, 2 * B);
    process_start(site);
    for (int64_t until = clock_ms() + WAIT_MS; !site->ended; clock_sleep_ms(1)) {
        assert_true(clock_ms() < until);
        assert_ok(storage_call(site->storage, tell_wait, site));
    }
    site->ended = false;
    struct checkpoint_info at = wait_round(site, 0);
    assert_int_equal(at.version, 0);
    request(site, NULL, LIVE_GOES_ON);
    wait_round(site, 2);
    request(site, NULL, LIVE_PAUSED);
    deliver(site, B);
    train_stop(site->train); // ends though a round could be formed
    assert_int_equal(process_run(site), TRAIN_STOPPED);
    process_close(site);
    assert_recorded(site, 2);
    site_free(site);
}

static void tell_workspaces(struct train *train, void *arg)
{
    *(uint64_t *)arg = updates_workspaces(train->updates);
}

/* Each round is trained with what is in force when it is recorded, also when it is trained again;
 * memory stays as it is. */
static void settings_are_those_of_the_rounds_record(void **)
{
    struct site *site = site_new("checkpoint.every=50");
    static const char *const rates[] = {"1e-2", "3e-2", "1e-3", "3e-2"};
    uint64_t workspaces = 0;
    process_open(site);
    process_start(site);
    for (uint64_t r = 0; r < 4; r++) {
        request(site, rates[r], LIVE_GOES_ON);
        deliver(site, B);
        wait_round(site, r + 1);
    }
    ask(site, tell_workspaces, &workspaces);
    assert_int_equal(workspaces, 1);
    train_stop(site->train);
    process_run(site);
    process_close(site);
    assert_recorded(site, 4);
    remove_checkpoint(site, 8);
    process_open(site);
    assert_int_equal(train_at(site->train)->round, 0);
    process_start(site);
    wait_round(site, 4);
    ask(site, tell_workspaces, &workspaces);
    assert_int_equal(workspaces, 1);
    train_stop(site->train);
    process_run(site);
    process_close(site);
    SCOPED(store) store = NULL;
    assert_ok(store_read(site->store, &store));
    for (uint64_t r = 0; r < 4; r++) {
        SCOPED(round) round = NULL;
        SCOPED(recipe) recipe = NULL;
        assert_ok(store_round(store, r, &round));
        assert_ok(restart_settings(site->recipe, round->settings, true, &recipe));
        assert_near(recipe->learner.optimizer.lr, strtod(rates[r], NULL), 0);
    }
    site_free(site);
}

/* ---- rounds that cannot be trained */

static void a_round_that_fails_every_time_is_given_up(void **)
{
    struct site *site = site_new("run.rounds=4");
    site->spoilt = 2; // in round 1
    process_open(site);
    deliver(site, 4 * B);
    for (int i = 1; i <= VOID_FAILURES; i++) {
        SCOPED_MEM char *times = mem_printf("failed %d of %d times", i, VOID_FAILURES);
        assert_int_equal(process_run(site), TRAIN_FAILED);
        assert_err(ERR_INVALID, times, err_wrap(site->why, "again"));
        process_close(site);
        assert_checkpoints(site, 0, NULL);
        process_open(site);
    }
    process_run(site);
    assert_int_equal(site->end, TRAIN_ENDED);
    process_close(site);
    SCOPED(store) store = NULL;
    SCOPED_MEM char *why = NULL;
    bool voided;
    assert_ok(store_read(site->store, &store));
    assert_ok(store_round_voided(store, 1, &voided, &why));
    assert_true(voided);
    assert_non_null(strstr(why, "the gradient's norm is"));
    assert_int_equal(store_last_version(store), 3 * UPDATES);
    assert_recorded(site, 4);
    site_free(site);
}

/* A fault of memory between two rounds. */
static void flip_a_weight(struct train *train, void *arg)
{
    (void)arg;
    struct model *model = trainees_first(&train->start.trainees)->model;
    SCOPED_MEM bf16 *flat = flat_of(model);
    set_weight(model, 100, flat[100] ^ 1U << 14);
}

static void changed_memory_makes_no_checkpoint_and_no_version(void **)
{
    struct site *site = site_new("checkpoint.every=2");
    process_open(site);
    process_start(site);
    deliver(site, 3 * B);
    wait_round(site, 3);
    assert_checkpoints(site, 1, (const uint64_t[]){4});
    ask(site, flip_a_weight, NULL);
    deliver(site, B);
    assert_int_equal(process_run(site), TRAIN_FAILED);
    assert_int_equal(site->train->published_version, 3 * UPDATES);
    assert_err(ERR_DATA_LOSS, "this machine's memory changed a weight", site->why);
    process_close(site);
    assert_checkpoints(site, 1, (const uint64_t[]){4});
    process_open(site); // its update is recorded, and comes out otherwise without the fault
    assert_int_equal(process_run(site), TRAIN_FAILED);
    assert_err(ERR_DATA_LOSS, "other weights of version 7", site->why);
    process_close(site);
    assert_checkpoints(site, 1, (const uint64_t[]){4});
    site_free(site);
}

TESTS(cmocka_unit_test(changed_memory_makes_no_checkpoint_and_no_version),
      cmocka_unit_test(rounds_are_trained_and_recorded),
      cmocka_unit_test(a_restart_makes_the_rounds_after_its_checkpoint_again),
      cmocka_unit_test(a_stop_and_a_request_make_a_checkpoint),
      cmocka_unit_test(weights_other_than_recorded_end_it),
      cmocka_unit_test(trainees_of_the_store_are_those_of_the_recipe),
      cmocka_unit_test(trainees_of_a_checkpoint_are_those_of_the_store),
      cmocka_unit_test(training_goes_back_and_on),
      cmocka_unit_test(no_round_is_formed_while_training_is_paused),
      cmocka_unit_test(settings_are_those_of_the_rounds_record),
      cmocka_unit_test(a_round_that_fails_every_time_is_given_up))
