/* Each disk call of ours fails in turn: of a checkpoint, of a daemon's announcement and lock, of a
 * whole training process. Afterwards each file is old or new and never half. The error is one line
 * that names file and cause. A process that starts again comes to the same weights. */
#include "admin/announce.h"
#include "learner/publish/evals.h"
#include "learner/round/report.h"
#include "learner/train/checkpoint.h"
#include "svc/run_lock.h"
#include "testing/fault.h"
#include "unit/learner/train_kit.h"
#include <errno.h>

static const char *cause_of(const struct fault_walk *walk)
{
    return strerror(walk->fault.error);
}

/* Owned; "" if there is none. */
static char *text_of(const char *path)
{
    SCOPED_VALUE(bytes) all = {0};
    err_free(file_read(path, 1 << 20, &all));
    bytes_u8(&all, 0);
    return mem_string((char *)all.data);
}

static bool holds(const char *path, const char *wanted)
{
    SCOPED_MEM char *text = text_of(path);
    return strcmp(text, wanted) == 0;
}

/* ---- checkpoints */

struct kit {
    const char *run;
    struct backend *be;
    struct trainees trainees;
    struct checkpoint_tokenizer tokenizer;
    uint64_t round; // of the newest that is there
};

enum { KEEP = 2 };

static err_t write_checkpoint(const struct kit *kit, uint64_t round)
{
    const struct checkpoint_info info = {.run = "run",
                                         .lineage = 1,
                                         .round = round,
                                         .version = 2 * round,
                                         .trainees = trainees_digests(&kit->trainees)};
    return checkpoint_write(kit->run, &kit->trainees, &kit->tokenizer, &info, KEEP);
}

static struct kit kit_new(void)
{
    struct kit kit = {.run = kit_directory(), .be = tiny_backend(1), .round = 1};
    const struct model_config shape = config_default(37, 32, 16, 1, 2, 1, 96, true);
    const struct optimizer_config config = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8};
    struct model *model;
    SCOPED_MEM char *words = file_join(kit.run, "tokenizer.json");
    assert_ok(model_new(kit.be, &shape, 5, &model));
    assert_ok(trainees_add(&kit.trainees, "policy", model, &config, NULL));
    assert_ok(file_write(words, "{}", 2));
    kit.tokenizer = checkpoint_tokenizer(kit.run);
    assert_ok(write_checkpoint(&kit, kit.round));
    return kit;
}

static void kit_done(struct kit *kit)
{
    trainees_done(&kit->trainees);
    backend_free(kit->be);
}

/* Every checkpoint's name leads to a whole one. Returns the newest one's round. */
static uint64_t newest_of_whole(const struct kit *kit)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    struct checkpoint_info info;
    SCOPED_MEM char *latest = file_join(kit->run, "checkpoints/latest");
    assert_ok(checkpoint_list(kit->run, &list));
    assert_true(list.count > 0);
    for (size_t i = 0; i < list.count; i++) {
        SCOPED_MEM char *path = checkpoint_path(kit->run, list.version[i]);
        assert_ok(checkpoint_read(path, kit->tokenizer.files, &info));
        assert_int_equal(2 * info.round, list.version[i]);
    }
    assert_ok(checkpoint_read(latest, kit->tokenizer.files, &info));
    return list.version[0] / 2;
}

/* After a fault the next round's is written, as a learner that goes on would. */
static void torture_checkpoint(struct kit *kit, struct fault_walk *walk, struct fault_row *row)
{
    err_t failed = write_checkpoint(kit, kit->round + 1);
    const bool reached = fault_stop(walk);
    const uint64_t newest = newest_of_whole(kit);
    assert_true(newest == kit->round || newest == kit->round + 1);
    const bool old = newest == kit->round;
    if (reached && !err_failed(failed))
        fault_note(row, walk->fault.call, FAULT_PASSED);
    else if (reached)
        fault_note(row, walk->fault.call, old ? FAULT_OLD : FAULT_NEW);
    if (err_failed(failed))
        fault_error_assert(failed, kit->run, cause_of(walk));
    else
        assert_false(old);
    assert_ok(write_checkpoint(kit, ++kit->round));
    assert_int_equal(newest_of_whole(kit), kit->round);
    SCOPED_VALUE(checkpoint_list) list = {0};
    assert_ok(checkpoint_list(kit->run, &list));
    assert_true(list.count <= KEEP);
}

static void a_checkpoint_is_old_or_new(void **)
{
    struct kit kit = kit_new();
    struct fault_row row = {.place = "a checkpoint"};
    struct fault_walk walk = {.path = "checkpoints"};
    fault_begin();
    while (fault_next(&walk))
        torture_checkpoint(&kit, &walk, &row);
    fault_end();
    print_message("checkpoint: %d faults\n", (int)walk.points);
    assert_true(walk.points > 100);
    fault_row_assert(&row);
    kit_done(&kit);
}

/* One of this very version that is damaged is replaced; here the older ones are what must stay. */
static void a_damaged_one_is_replaced(void **)
{
    struct kit kit = kit_new();
    struct fault_walk walk = {.path = "checkpoints"};
    fault_begin();
    while (fault_next(&walk)) {
        SCOPED_MEM char *path = checkpoint_path(kit.run, 2 * (kit.round + 1));
        SCOPED_MEM char *state = file_join(path, "optimizer.safetensors");
        fault_set(NULL);
        assert_ok(write_checkpoint(&kit, kit.round + 1));
        assert_ok(file_write(state, "damaged", 7));
        fault_set(&walk.fault);
        err_t failed = write_checkpoint(&kit, kit.round + 1);
        fault_stop(&walk);
        if (err_failed(failed))
            fault_error_assert(failed, kit.run, cause_of(&walk));
        SCOPED_VALUE(checkpoint_list) list = {0};
        struct checkpoint_info info;
        SCOPED_MEM char *damaged = NULL;
        SCOPED_MEM char *found = NULL;
        assert_ok(checkpoint_list(kit.run, &list));
        assert_ok(checkpoint_newest(kit.run, &list, kit.tokenizer.files, &found, &damaged, &info));
        assert_non_null(found);
        assert_true(info.round == kit.round || info.round == kit.round + 1);
        assert_ok(write_checkpoint(&kit, ++kit.round));
        assert_int_equal(newest_of_whole(&kit), kit.round);
    }
    fault_end();
    print_message("damaged checkpoint: %d faults\n", (int)walk.points);
    assert_true(walk.points > 100);
    kit_done(&kit);
}

/* ---- small files of daemons */

static void an_announcement_is_old_or_new(void **)
{
    SCOPED_MEM char *path = file_join(kit_directory(), "generator.json");
    struct fault_row row = {.place = "the `--announce` file"};
    struct fault_walk walk = {.path = path};
    fault_begin();
    while (fault_next(&walk)) {
        int fd = -1;
        fault_set(NULL);
        assert_ok(announce_write(path, "old", &fd));
        close(fd);
        fd = -1;
        fault_set(&walk.fault);
        err_t failed = announce_write(path, "newer", &fd);
        const bool reached = fault_stop(&walk), old = holds(path, "old");
        assert_true(old || holds(path, "newer"));
        if (reached)
            fault_note(&row, walk.fault.call,
                       !err_failed(failed) ? FAULT_PASSED
                       : old               ? FAULT_OLD
                                           : FAULT_NEW);
        if (err_failed(failed))
            fault_error_assert(failed, path, cause_of(&walk));
        else
            close(fd);
    }
    fault_end();
    assert_true(walk.points >= 8);
    fault_row_assert(&row);
}

/* After a failure another may take it at once. */
static void a_run_lock_is_taken_or_free(void **)
{
    const char *run = kit_directory();
    SCOPED_MEM char *path = file_join(run, "lock");
    struct fault_row row = {.place = "`RUN/lock`"};
    struct fault_walk walk = {.path = path};
    fault_begin();
    while (fault_next(&walk)) {
        SCOPED(run_lock) lock = NULL;
        SCOPED(run_lock) again = NULL;
        err_t failed = run_lock_take(run, "program", &lock);
        if (fault_stop(&walk))
            fault_note(&row, walk.fault.call, err_failed(failed) ? FAULT_OLD : FAULT_PASSED);
        if (err_failed(failed)) {
            fault_error_assert(failed, path, cause_of(&walk));
            assert_ok(run_lock_take(run, "program", &again));
        } else
            assert_err(ERR_EXISTS, "is in use", run_lock_take(run, "other", &again));
    }
    fault_end();
    assert_true(walk.points >= 5);
    fault_row_assert(&row);
}

/* ---- texts that are opened again: a torn end is cut, which is a write */

static void a_torn_end_is_there_or_cut(void **)
{
    static const struct branch branch = {.lineage = 7, .parent = 7};
    static const char torn[] = "{\"round\":0,\"lineage\":7,\"version\":10}\n{\"rou",
                      whole[] = "{\"round\":0,\"lineage\":7,\"version\":10}\n";
    static const char *const names[] = {"metrics.jsonl", "evals.jsonl"};
    const char *directory = kit_directory();
    for (int kind = 0; kind < 2; kind++) {
        SCOPED_MEM char *path = file_join(directory, names[kind]);
        struct fault_walk walk = {.path = names[kind]};
        fault_begin();
        while (fault_next(&walk)) {
            SCOPED(report) report = NULL;
            SCOPED(evals) evals = NULL;
            fault_set(NULL);
            assert_ok(file_write(path, torn, strlen(torn)));
            fault_set(&walk.fault);
            err_t failed = kind ? evals_open(path, &evals) : report_open(path, &branch, 1, &report);
            fault_stop(&walk);
            assert_true(holds(path, torn) || holds(path, whole));
            if (err_failed(failed))
                fault_error_assert(failed, path, cause_of(&walk));
            else
                assert_true(holds(path, whole));
        }
        fault_end();
        assert_true(walk.points > 8);
    }
}

/* ---- a training process */

enum { ROUNDS = 4 };

static int rounds_told(const struct site *site)
{
    SCOPED_MEM char *path = file_join(site->directory, "metrics.jsonl");
    SCOPED_MEM char *text = text_of(path);
    int told = 0;
    for (const char *at = text; (at = strstr(at, "\"round\":")); at++)
        told++;
    return told;
}

/* One life with the fault, one without. */
static bool train_with(const struct fault *fault, const char *path)
{
    struct site *site = site_new("run.rounds=4");
    fault_set(NULL);
    process_open(site);
    process_start(site);
    struct fault own = *fault;
    own.path = path;
    fault_set(&own);
    deliver(site, ROUNDS * B);
    err_t failed = OK;
    if (process_run(site) == TRAIN_FAILED)
        failed = site->why;
    const bool reached = fault_hit();
    process_close(site);
    fault_set(NULL);
    if (err_failed(failed))
        fault_error_assert(failed, path, strerror(own.error));
    process_open(site);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
    assert_recorded(site, ROUNDS);
    assert_int_equal(rounds_told(site), ROUNDS);
    site_free(site);
    return reached;
}

/* The disk takes no change from the n-th on, as if the process had died there. */
static void training_starts_again_from_any_call(void **)
{
    static const char *const paths[] = {"checkpoints", "metrics.jsonl"};
    static const int steps[] = {5, 1};
    int lives = 0;
    fault_begin();
    for (size_t p = 0; p < 2; p++)
        for (int lasting = 0; lasting < 2; lasting++) {
            struct fault fault = {.call = FAULT_ANY, .nth = 1, .error = EIO, .lasting = lasting};
            for (; train_with(&fault, paths[p]); fault.nth += (uint64_t)steps[p])
                lives++;
        }
    fault_end();
    print_message("%d lives of a training process ended by a fault\n", lives);
    assert_true(lives > 20);
}

/* Both clocks, under all threads of a learner: the wall's a day back, two ahead, the monotonic an
 * hour ahead each time. */
static void clocks_that_jump_change_no_weight(void **)
{
    enum { HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS };
    struct site *site = site_new("run.rounds=4");
    fault_begin();
    process_open(site);
    process_start(site);
    deliver(site, B);
    fault_clock(HOUR_MS, -DAY_MS);
    deliver(site, B);
    fault_clock(HOUR_MS, 2 * DAY_MS);
    deliver(site, 2 * B);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
    fault_end(); // the next process starts at an earlier time
    process_open(site);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
    assert_recorded(site, ROUNDS);
    assert_int_equal(rounds_told(site), ROUNDS);
    site_free(site);
}

TESTS(cmocka_unit_test(a_checkpoint_is_old_or_new), cmocka_unit_test(a_damaged_one_is_replaced),
      cmocka_unit_test(an_announcement_is_old_or_new),
      cmocka_unit_test(a_run_lock_is_taken_or_free), cmocka_unit_test(a_torn_end_is_there_or_cut),
      cmocka_unit_test(training_starts_again_from_any_call),
      cmocka_unit_test(clocks_that_jump_change_no_weight))
