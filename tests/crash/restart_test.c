/* A learner started again on what another left: a store or checkpoint that is gone, torn, of
 * another build, of other settings; a round that cannot be trained; a fork. Real processes on a run
 * that a whole ring made and left. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/store/audit/audit.h"
#include "learner/store/db.h"
#include "learner/store/history.h"
#include "learner/store/record.h"
#include "learner/train/checkpoint.h"
#include "svc/exit_status.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000, START_MS = 60000, ROUNDS = 400, GROUPS = 8, LAG = 4, HASTE = 100 };

static struct ring base; // drained in the middle of its run, with groups stored
static struct ring done; // at its end

/* ---- runs and learners */

static void succeed(int status, char *output, const char *what)
{
    if (status)
        print_error("%s: exit status %d:\n%s\n", what, status, output);
    free(output);
    assert_int_equal(status, 0);
}

static struct ring copy_of(const struct ring *from)
{
    struct ring copy = *from;
    char *output;
    copy.directory = testing_directory();
    copy.run = testing_path(copy.directory, "run");
    copy.log = testing_path(copy.directory, "log");
    int status = process_run(&output, 60000, "/bin/cp", "-a", from->run, copy.run, NULL);
    succeed(status, output, "cp");
    return copy;
}

static void remove_from(const struct ring *ring, const char *name)
{
    SCOPED_MEM char *path = file_join(ring->run, name);
    assert_ok(file_remove_tree(path));
}

static struct checkpoint_list checkpoints_of(const struct ring *ring)
{
    struct checkpoint_list list = {0};
    assert_ok(checkpoint_list(ring->run, &list));
    return list;
}

static struct audit audit_of(const struct ring *ring)
{
    struct audit audit;
    SCOPED_MEM char *store = file_join(ring->run, "store");
    assert_ok(store_audit(store, stderr, &audit));
    assert_int_equal(audit.errors, 0);
    return audit;
}

/* Read beside the learner. */
static void wait_rounds_done(const struct ring *ring, uint64_t rounds)
{
    SCOPED_MEM char *directory = file_join(ring->run, "store");
    for (int64_t until = clock_ms() + RUN_MS; clock_ms() < until; clock_sleep_ms(HASTE)) {
        SCOPED(store) store = NULL;
        assert_ok(store_read(directory, &store));
        if (store_rounds_done(store) >= rounds)
            return;
    }
    fail_msg("fewer than %d rounds", (int)rounds);
}

/* The learner alone; its output goes to ring->log. */
static struct process start_learner(const struct ring *ring, const char *set)
{
    SCOPED_MEM char *announce = file_join(ring->directory, "learner.json");
    remove(announce);
    remove(ring->log);
    return process_start(ring->log, "rlhfd-learner", ring->recipe, "--run", ring->run, "--announce",
                         announce, "--set", "learner.listen=127.0.0.1:0", "--set",
                         set ? set : "learner.threads=1", NULL);
}

enum { FAILED = -1 }; // whatever the cause

static void assert_ends_with(const struct ring *ring, struct process *learner, int wanted,
                             const char *part)
{
    int status = process_wait(learner, RUN_MS);
    bool right =
        wanted == FAILED ? status > 0 && status <= EXIT_STATUS_RESOURCES : status == wanted;
    char *log = file_text(ring->log);
    if (!right || !strstr(log, part))
        print_error("status %d, wanted %d and '%s':\n%s\n", status, wanted, part, log);
    assert_true(right);
    assert_non_null(strstr(log, part));
    free(log);
}

static void assert_refused(const struct ring *ring, const char *set, const char *part)
{
    struct process learner = start_learner(ring, set);
    assert_ends_with(ring, &learner, FAILED, part);
}

/* Its admin address, once it trains. */
static void wait_training(const struct ring *ring, struct process *learner)
{
    SCOPED_MEM char *announce = file_join(ring->directory, "learner.json");
    for (int64_t until = clock_ms() + START_MS; clock_ms() < until; clock_sleep_ms(20)) {
        SCOPED_JSON json_t *object = NULL;
        const char *admin = NULL;
        char *output = NULL;
        int status = process_wait(learner, 1);
        if (status >= 0) {
            char *log = file_text(ring->log);
            fail_msg("the learner ended with status %d:\n%s", status, log);
        }
        if (!file_exists(announce))
            continue;
        assert_ok(json_read_file(announce, 1 << 16, &object));
        assert_ok(json_get_text(object, announce, "admin", &admin));
        status = process_run(&output, START_MS, "rlhfctl", "status", admin, NULL);
        bool training = status == 0 && strstr(output, "TRAINING");
        free(output);
        if (training)
            return;
    }
    fail_msg("the learner did not start");
}

/* Of a run at its end: the recorded rounds are trained again, then the learner ends by itself. */
static void replay(const struct ring *ring, const char *set, const char *logged)
{
    struct process learner = start_learner(ring, set);
    assert_ends_with(ring, &learner, 0, logged);
}

static void run_to_end(const struct ring *ring, const char *set1, const char *set2)
{
    remove(ring->log);
    struct process up =
        process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run, "--set", set1,
                      "--set", set2 ? set2 : "learner.threads=1", NULL);
    assert_ends_with(ring, &up, 0, "");
}

static int make_runs(void **state)
{
    (void)state;
    done = ring_prepare(&(struct ring_options){.rounds = 10, .groups = GROUPS, .lag = 1});
    run_to_end(&done, "learner.threads=1", NULL);
    base = ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = GROUPS, .lag = LAG});
    int rounds = 10; // stopped when generation is ahead: how far it is depends on the load
    do {
        struct process up =
            process_start(base.log, "rlhfctl", "up", base.recipe, "--run", base.run, NULL);
        ring_wait_rounds(&base, rounds, RUN_MS);
        process_kill(&up, SIGINT);
        assert_int_equal(process_wait(&up, RUN_MS), 0);
        rounds = ring_read(&base).rounds + 3;
    } while (audit_of(&base).stored < 2 * GROUPS && rounds < ROUNDS);
    assert_true(audit_of(&base).stored >= 2 * GROUPS);
    return 0;
}

/* ---- what is gone, torn or foreign */

static void a_store_that_is_gone(void **state)
{
    (void)state;
    struct ring ring = copy_of(&base);
    remove_from(&ring, "store");
    assert_refused(&ring, NULL, "store' is gone");
    SCOPED_MEM char *store = file_join(ring.run, "store");
    assert_false(file_exists(store)); // and no other was made
}

static void checkpoints_that_are_gone(void **state)
{
    (void)state;
    struct ring ring = copy_of(&base);
    remove_from(&ring, "checkpoints");
    assert_refused(&ring, NULL, "holds nothing whole that reaches the store's rounds");
}

static void a_checkpoint_of_another_run(void **state)
{
    (void)state;
    struct ring ring = copy_of(&base);
    struct ring other = ring_prepare(&(struct ring_options){.rounds = 4, .groups = 8, .lag = 0});
    run_to_end(&other, "learner.threads=1", NULL);
    remove_from(&ring, "checkpoints");
    SCOPED_MEM char *from = file_join(other.run, "checkpoints");
    char *output;
    int status = process_run(&output, 60000, "/bin/cp", "-a", from, ring.run, NULL);
    succeed(status, output, "cp");
    assert_refused(&ring, NULL, "do not belong together");
}

static struct bytes bytes_of(const char *directory, const char *name)
{
    struct bytes bytes = {0};
    SCOPED_MEM char *path = file_join(directory, name);
    assert_ok(file_read(path, 1 << 28, &bytes));
    return bytes;
}

static void assert_same_file(const char *a, const char *b, const char *name)
{
    SCOPED_VALUE(bytes) x = bytes_of(a, name);
    SCOPED_VALUE(bytes) y = bytes_of(b, name);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
}

/* The newest checkpoint, made again from the one before and the log, is the same to the byte. */
static void assert_made_again(const struct ring *ring, uint64_t version)
{
    static const char *const names[] = {"model.safetensors", "optimizer.safetensors", "config.json",
                                        "manifest.json"};
    SCOPED_MEM char *was = checkpoint_path(done.run, version);
    SCOPED_MEM char *is = checkpoint_path(ring->run, version);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_same_file(was, is, names[i]);
    audit_of(ring);
}

static void a_torn_checkpoint(void **state)
{
    (void)state;
    static const char *const names[] = {"model.safetensors", "optimizer.safetensors", "config.json",
                                        "tokenizer.json",    "manifest.json",         "garbage"};
    SCOPED_VALUE(checkpoint_list) list = checkpoints_of(&done);
    assert_int_equal(list.count, 2);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct ring ring = copy_of(&done);
        bool garbage = strcmp(names[i], "garbage") == 0;
        SCOPED_MEM char *directory = checkpoint_path(ring.run, list.version[0]);
        SCOPED_MEM char *path = file_join(directory, garbage ? "manifest.json" : names[i]);
        SCOPED_VALUE(bytes) all = {0};
        assert_ok(file_read(path, 1 << 28, &all));
        if (garbage)
            assert_ok(file_write(path, "{\"format\": 7, \"version\": -1}", 28));
        else
            assert_ok(file_write(path, all.data, all.len / 2));
        replay(&ring, NULL, "damaged checkpoint passed over");
        assert_made_again(&ring, list.version[0]);
    }
}

/* ---- another build, other settings */

/* The last round's record as another build would have made it. */
static void change_fingerprint(const struct ring *ring)
{
    SCOPED_MEM char *directory = file_join(ring->run, "store");
    SCOPED(store) store = NULL;
    SCOPED(round) round = NULL;
    assert_ok(store_read(directory, &store));
    assert_ok(store_round(store, store_next_round(store) - 1, &round));
    store_free(STEAL(store));
    free(round->fingerprint);
    round->fingerprint = mem_string("backend=cpu kernels=0 layout=old");
    SCOPED(db) db = NULL;
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    assert_ok(db_open(directory, false, &db));
    key_round('r', round->lineage, round->round, key);
    round_encode(round, &value);
    db_put(db, DB_ROUNDS, key, sizeof key, value.data, value.len);
    assert_ok(db_commit(db));
}

static void remove_newest_checkpoint(const struct ring *ring)
{
    SCOPED_VALUE(checkpoint_list) list = checkpoints_of(ring);
    SCOPED_MEM char *path = checkpoint_path(ring->run, list.version[0]);
    assert_ok(file_remove_tree(path));
}

static void rounds_of_another_build(void **state)
{
    (void)state;
    struct ring ring = copy_of(&done);
    change_fingerprint(&ring);
    replay(&ring, NULL, "another build goes on"); // at the head: nothing to train again
    remove_newest_checkpoint(&ring);
    assert_refused(&ring, NULL,
                   "was recorded by 'backend=cpu kernels=0 layout=old', this build (version ");
    assert_refused(&ring, NULL, "drain it (SIGTERM)");
    assert_refused(&ring, NULL, "--job fork --at");
}

/* Replayed with what was recorded, whatever is given now. */
static void other_settings(void **)
{
    static const char *const sets[] = {
        "learner.optimizer.lr=0.5", "learner.optimizer.clip_norm=0",
        "learner.objective=grpo",   "learner.optimizer.betas=[0.5, 0.6]",
        "learner.micro_tokens=200", "learner.gradient_checkpointing=true"};
    SCOPED_VALUE(checkpoint_list) list = checkpoints_of(&done);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct ring ring = copy_of(&done);
        remove_newest_checkpoint(&ring);
        const bool matters = i < 4; // the last two change no number
        replay(&ring, sets[i], matters ? "which=recorded" : "recorded rounds are trained again");
        SCOPED_MEM char *log = file_text(ring.log);
        assert_int_equal(strstr(log, "which=recorded") != NULL, matters);
        assert_made_again(&ring, list.version[0]);
    }
}

/* What the line for another build says to do: once it trains, the recorded rounds lie behind it. */
static void a_stop_after_the_recorded_rounds_covers_them(void **)
{
    struct ring ring = copy_of(&base);
    struct audit before = audit_of(&ring);
    remove_newest_checkpoint(&ring);
    struct process learner = start_learner(&ring, NULL);
    wait_training(&ring, &learner);
    process_kill(&learner, SIGTERM);
    assert_ends_with(&ring, &learner, 0, "recorded rounds are trained again");
    SCOPED_VALUE(checkpoint_list) list = checkpoints_of(&ring);
    assert_true(list.version[0] >= before.versions && list.version[0] == audit_of(&ring).versions);
}

/* ---- other limits */

static void everything_stored_is_stale(void **state)
{
    (void)state;
    struct ring ring = copy_of(&base);
    struct audit before = audit_of(&ring);
    SCOPED_MEM char *rounds = mem_printf("run.rounds=%" PRIu64, before.rounds + 6);
    run_to_end(&ring, "lag.max=0", rounds);
    struct audit after = audit_of(&ring);
    assert_int_equal(after.rounds_done, before.rounds + 6);
    assert_true(after.groups[REASON_STALE] >= before.stored - GROUPS);
}

static void a_full_store(void **)
{
    struct ring ring = copy_of(&base);
    struct audit before = audit_of(&ring);
    SCOPED_MEM char *rounds = mem_printf("run.rounds=%" PRIu64, before.rounds + 12);
    SCOPED_MEM char *full = mem_printf("replay.max_groups=%d", (LAG + 1) * GROUPS);
    run_to_end(&ring, full, rounds);
    assert_int_equal(audit_of(&ring).rounds_done, before.rounds + 12);
}

/* ---- a round that cannot be trained, then a fork */

static void a_round_that_fails_every_time(void **state)
{
    (void)state;
    struct ring ring = copy_of(&base);
    struct audit before = audit_of(&ring);
    /* The stored groups lack the reference that is asked for: the recorded round always fails. */
    remove(ring.log);
    struct process learner =
        process_start(ring.log, "rlhfd-learner", ring.recipe, "--run", ring.run, "--set",
                      "learner.listen=127.0.0.1:0", "--set", "learner.kl.coef=0.1", "--set",
                      "rewarder.reference=frozen", NULL);
    assert_ends_with(&ring, &learner, FAILED, "failed 1 of 3 times");
    assert_int_equal(audit_of(&ring).rounds, before.rounds + 1);
    assert_refused(&ring, NULL, "failed 2 of 3 times");
    assert_refused(&ring, NULL, "failed 3 of 3 times");
    learner = start_learner(&ring, NULL);
    wait_training(&ring, &learner);
    wait_rounds_done(&ring, before.rounds + 2); // the next, of groups that were stored
    process_kill(&learner, SIGTERM);
    assert_ends_with(&ring, &learner, 0, "round voided");
    struct audit after = audit_of(&ring);
    assert_true(after.voided == 1 && after.groups[REASON_ERRORED] == GROUPS);
    assert_int_equal(after.versions, after.rounds_done - 1);
    SCOPED_MEM char *rounds = mem_printf("run.rounds=%" PRIu64, after.rounds + 6);
    run_to_end(&ring, rounds, NULL);
    assert_int_equal(audit_of(&ring).rounds_done, after.rounds + 6);
}

static void fork_at(const struct ring *ring, uint64_t version, int wanted, const char *part)
{
    SCOPED_MEM char *at = mem_printf("%" PRIu64, version);
    char *output;
    int status = process_run(&output, START_MS, "rlhfd-learner", ring->recipe, "--run", ring->run,
                             "--job", "fork", "--at", at, NULL);
    if (status != wanted || !strstr(output, part))
        print_error("status %d, wanted '%s':\n%s\n", status, part, output);
    assert_int_equal(status, wanted);
    assert_non_null(strstr(output, part));
    free(output);
}

static json_t *explain(const struct ring *ring, uint64_t version)
{
    SCOPED_MEM char *number = mem_printf("%" PRIu64, version);
    char *output;
    int status = process_run(&output, START_MS, "rlhfctl", "explain", "version", number,
                             ring->recipe, "--run", ring->run, "-o", "json", NULL);
    json_t *object = status ? NULL : json_loads(output, 0, NULL);
    if (!object)
        fail_msg("explain: status %d:\n%s", status, output);
    free(output);
    return object;
}

static const char *flat_of(const json_t *explained)
{
    const json_t *update = json_array_get(json_object_get(explained, "updates"), 0);
    return json_string_value(json_object_get(update, "weights"));
}

static int64_t whole(const json_t *object, const char *name)
{
    assert_true(json_is_integer(json_object_get(object, name)));
    return json_integer_value(json_object_get(object, name));
}

/* At lag 0 a branch that nothing else was changed in comes to the same weights again. */
static void a_fork_at_lag_0_repeats_history(void **state)
{
    (void)state;
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 10, .groups = GROUPS, .lag = 0});
    run_to_end(&ring, "learner.threads=1", NULL);
    SCOPED_JSON json_t *before = explain(&ring, 10);
    fork_at(&ring, 7, EXIT_STATUS_USAGE, "version 7 has no whole checkpoint (there are: 0, 10, 8)");
    fork_at(&ring, 8, 0, "begins at version 8, after round 8 of 10");
    SCOPED_VALUE(checkpoint_list) list = checkpoints_of(&ring);
    assert_true(list.count == 1 && list.version[0] == 8);
    run_to_end(&ring, "learner.threads=1", NULL);
    SCOPED_JSON json_t *after = explain(&ring, 10);
    assert_string_equal(flat_of(before), flat_of(after));
    assert_int_equal(whole(after, "lineage"), whole(before, "lineage") + 1);
    json_t *groups = json_object_get(after, "groups"), *group;
    size_t i;
    assert_true(whole(after, "round") == 9 && json_array_size(groups) == GROUPS);
    json_array_foreach (groups, i, group) {
        assert_true(whole(group, "attempt") == 2 && whole(group, "lag") == 0);
        assert_int_equal(whole(group, "oldest_version"), 9);
        assert_string_equal(json_string_value(json_object_get(group, "generator")), "generator-1");
    }
    assert_int_equal(audit_of(&ring).cut_off, 2);
    fork_at(&ring, 0, 0, "begins at version 0"); // back to the start: no checkpoint is needed
    run_to_end(&ring, "run.rounds=2", NULL);
    assert_int_equal(audit_of(&ring).rounds_done, 2);
}

static void a_fork_of_a_run_that_is_ahead(void **state)
{
    (void)state;
    struct ring ring = copy_of(&base);
    SCOPED_VALUE(checkpoint_list) list = checkpoints_of(&ring);
    struct audit before = audit_of(&ring);
    fork_at(&ring, list.version[1], 0, "what came after stays recorded");
    SCOPED_MEM char *rounds = mem_printf("run.rounds=%" PRIu64, before.rounds + ROUNDS / 2);
    remove(ring.log);
    struct process up = process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run,
                                      "--set", rounds, NULL);
    wait_rounds_done(&ring, before.rounds);
    SCOPED_JSON json_t *live = explain(&ring, list.version[1] + 1); // while it runs
    assert_int_equal(whole(live, "round"), list.version[1]);
    fork_at(&ring, list.version[1], EXIT_STATUS_BUSY, "is in use by rlhfctl up");
    assert_ends_with(&ring, &up, 0, "");
    struct audit after = audit_of(&ring);
    assert_int_equal(after.rounds_done, before.rounds + ROUNDS / 2);
    assert_int_equal(after.lineages, 2);
    assert_int_equal(ring_read(&ring).rounds, (int)before.rounds + ROUNDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_that_is_gone),
        cmocka_unit_test(checkpoints_that_are_gone),
        cmocka_unit_test(a_checkpoint_of_another_run),
        cmocka_unit_test(a_torn_checkpoint),
        cmocka_unit_test(rounds_of_another_build),
        cmocka_unit_test(other_settings),
        cmocka_unit_test(a_stop_after_the_recorded_rounds_covers_them),
        cmocka_unit_test(everything_stored_is_stale),
        cmocka_unit_test(a_full_store),
        cmocka_unit_test(a_round_that_fails_every_time),
        cmocka_unit_test(a_fork_at_lag_0_repeats_history),
        cmocka_unit_test(a_fork_of_a_run_that_is_ahead),
    };
    return cmocka_run_group_tests(tests, make_runs, NULL);
}
