/* One flipped bit anywhere in what a run left on disk, and a learner started on it: everything that
 * was recorded is still there, or the start is refused with what to do, and nothing was changed.
 * Real processes on copies of a run that a ring made.
 *
 * DAMAGE_FLIPS=all tries 76 bits over all files of the store and 40 over logs, checkpoints, metrics
 * and evaluations (default: a sixth of them) and prints a table. */
#include "base/clock.h"
#include "base/file.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "learner/store/audit/audit.h"
#include "learner/store/history.h"
#include "learner/train/checkpoint.h"
#include "svc/exit_status.h"
#include "testing/flips.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000, START_MS = 60000, GROUPS = 8, FIRST = 9, ROUNDS = 17 };
enum { STORE_FLIPS = 76, OTHER_FLIPS = 40, SHARE = 6 };

static struct ring base; // at its end, with tables of its first start and a log of its second
static struct ring copy; // of it, with one bit flipped

/* ---- runs */

static void run(const char *what, const char *log, int wanted, const char *const *words)
{
    remove(log);
    struct process process = process_start_words(log, what, words);
    const int status = process_wait(&process, RUN_MS);
    if (status != wanted)
        fail_msg("%s: exit status %d, not %d:\n%s", what, status, wanted, file_text(log));
}

static void up(const struct ring *ring, int rounds)
{
    SCOPED_MEM char *set = mem_printf("run.rounds=%d", rounds);
    run("rlhfctl", ring->log, 0,
        (const char *const[]){"up", ring->recipe, "--run", ring->run, "--set", set, NULL});
}

/* The learner's exit status, its output in ring->log; -1: it did not end. */
static int start(const struct ring *ring, const char *directory, const char *set)
{
    remove(ring->log);
    const char *const words[] = {
        ring->recipe, "--run", directory, "--set", set, "--set", "learner.listen=127.0.0.1:0",
        NULL};
    struct process learner = process_start_words(ring->log, "rlhfd-learner", words);
    const int status = process_wait(&learner, START_MS);
    if (status < 0)
        process_kill(&learner, SIGKILL);
    return status < 0 && process_wait(&learner, START_MS) >= 0 ? -1 : status;
}

static int job(const struct ring *ring, const char *kind)
{
    remove(ring->log);
    const char *const words[] = {ring->recipe, "--run", ring->run, "--job", kind, NULL};
    struct process process = process_start_words(ring->log, "rlhfd-learner", words);
    return process_wait(&process, START_MS);
}

static void copy_tree(const char *from, const char *to)
{
    char *output;
    assert_ok(file_remove_tree(to));
    int status = process_run(&output, RUN_MS, "/bin/cp", "-a", from, to, NULL);
    if (status)
        fail_msg("cp: %s", output);
    free(output);
}

static void fresh_copy(void)
{
    copy_tree(base.run, copy.run);
}

#define LAST_RUN "run.rounds=17"

static int make_run(void **state)
{
    (void)state;
    base = ring_prepare(&(struct ring_options){
        .rounds = FIRST, .groups = GROUPS, .lag = 1, .prompts = 16, .extra = "eval: {every: 4}\n"});
    up(&base, FIRST);
    up(&base, ROUNDS);
    copy = base;
    copy.directory = testing_directory();
    copy.run = testing_path(copy.directory, "run");
    copy.log = testing_path(copy.directory, "log");
    return 0;
}

/* ---- what is recorded */

static void add_store(const char *run_directory, struct bytes *ret)
{
    SCOPED_MEM char *path = file_join(run_directory, "store");
    SCOPED(store) store = NULL;
    char text[DIGEST_TEXT];
    assert_ok(store_read(path, &store));
    bytes_printf(ret, "lineage %u\n", store_lineage(store));
    for (uint64_t v = 1; v <= store_last_version(store); v++) {
        struct trainee_digests made;
        assert_ok(store_digests_of(store, v, &made));
        bytes_printf(ret, "version %" PRIu64 " %s\n", v, digest_text(&made.at[0].weights, text));
    }
    for (uint64_t r = 0; r < store_next_round(store); r++) {
        SCOPED(round) round = NULL;
        assert_ok(store_round(store, r, &round));
        bytes_printf(ret, "round %" PRIu64 " %s\n", r, round->settings);
        for (size_t i = 0; i < round->groups; i++) {
            struct trace trace = {0};
            assert_ok(store_trace(store, round->group[i].slot, round->group[i].attempt, &trace));
            bytes_printf(ret, "%s %" PRIu64 " %.17g %s\n",
                         digest_text(&round->group[i].content, text), round->group[i].slot,
                         trace.reward, trace.generator);
            trace_done(&trace);
        }
    }
}

/* Versions, rounds, groups; the numbers that the audit counts. */
static char *history_of(const struct ring *ring)
{
    SCOPED_VALUE(bytes) all = {0};
    struct audit audit;
    SCOPED_MEM char *store = file_join(ring->run, "store");
    assert_ok(store_audit(store, NULL, &audit));
    assert_int_equal(audit.errors, 0);
    add_store(ring->run, &all);
    bytes_printf(&all, "slots %" PRIu64 " gone %" PRIu64 " trained %" PRIu64 "\n", audit.slots,
                 audit.gone, audit.trained);
    return mem_string((char *)all.data);
}

static struct bytes read_all(const struct ring *ring, const char *name)
{
    struct bytes bytes = {0};
    SCOPED_MEM char *path = file_join(ring->run, name);
    assert_ok(file_read(path, 1 << 28, &bytes));
    return bytes;
}

/* Lines with the order of what they tell of; in a damaged one, but for the bit. Rounds trained
 * again have other times. */
static int lines_of(const struct ring *ring, const char *name)
{
    SCOPED_VALUE(bytes) text = read_all(ring, name);
    int lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    return lines;
}

static bool same_file(const char *name)
{
    SCOPED_VALUE(bytes) x = read_all(&base, name);
    SCOPED_VALUE(bytes) y = read_all(&copy, name);
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

static bool same_checkpoints(void)
{
    SCOPED_VALUE(checkpoint_list) x = {0}, y = {0};
    assert_ok(checkpoint_list(base.run, &x));
    assert_ok(checkpoint_list(copy.run, &y));
    return x.count == y.count && memcmp(x.version, y.version, x.count * sizeof *x.version) == 0;
}

/* ---- flips */

static struct flip made; // in copy
static int table_mended;

/* ---- what a start makes of one */

enum end { SURVIVED, REFUSED };

static void wrong(const char *what)
{
    fail_msg("%s byte %" PRIu64 " bit %d: %s\n%s", made.name, made.byte, made.bit, what,
             file_text(copy.log));
}

static bool tells_what_to_do(const char *log)
{
    static const char *const ways[] = {"--job salvage", "go back to a backup", "restore",
                                       "another --run"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strstr(log, ways[i]))
            return true;
    return false;
}

/* What one bit has damaged in a log comes back whole. */
static void assert_mends(const char *history)
{
    if (job(&copy, "salvage") != 0)
        wrong("salvage fails");
    SCOPED_MEM char *log = file_text(copy.log);
    if (!strstr(log, "nothing is lost"))
        wrong("salvage loses something");
    if (start(&copy, copy.run, LAST_RUN) != 0)
        wrong("salvaged, but it does not start");
    SCOPED_MEM char *now = history_of(&copy);
    if (strcmp(now, history) != 0)
        wrong("salvaged, but another history");
    table_mended++;
}

static enum end judge(int status, const char *history)
{
    SCOPED_MEM char *log = file_text(copy.log);
    if (status < 0)
        wrong("the learner hangs");
    if (status == 0) {
        SCOPED_MEM char *now = history_of(&copy);
        const bool merged =
            strstr(made.name, ".jsonl") != NULL; // a newline may be what was flipped
        if (strcmp(now, history) != 0)
            wrong("another history");
        if (lines_of(&copy, "metrics.jsonl") < lines_of(&base, "metrics.jsonl") - merged ||
            lines_of(&copy, "evals.jsonl") < lines_of(&base, "evals.jsonl") - merged)
            wrong("lines are missing");
        if (merged && !strstr(log, "damaged lines are kept") && !same_file(made.name) &&
            lines_of(&copy, made.name) < lines_of(&base, made.name))
            wrong("a line is missing unsaid");
        return SURVIVED;
    }
    if (status > EXIT_STATUS_RESOURCES)
        wrong("the learner did not end by itself");
    if (!tells_what_to_do(log))
        wrong("it does not say what to do");
    if (!same_checkpoints() ||
        (strcmp(made.name, "metrics.jsonl") && !same_file("metrics.jsonl")) ||
        (strcmp(made.name, "evals.jsonl") && !same_file("evals.jsonl")))
        wrong("refused, but files were changed");
    if (strstr(log, "--job salvage"))
        assert_mends(history);
    return REFUSED;
}

static enum end try_flip(const struct flip *flip, const char *history, int64_t *ret_ms)
{
    made = *flip;
    fresh_copy();
    flip_bit(copy.run, flip);
    const int64_t begun = clock_ms();
    const int status = start(&copy, copy.run, LAST_RUN);
    *ret_ms = clock_ms() - begun;
    return judge(status, history);
}

static const char *kind_of(const char *name)
{
    static const char *const kinds[] = {".sst",        ".log",    "MANIFEST",  "CURRENT",
                                        "IDENTITY",    "OPTIONS", "store/LOG", "high-water",
                                        "checkpoints", "metrics", "evals"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strstr(name, kinds[i]))
            return kinds[i];
    return "other";
}

struct row {
    const char *kind;
    int flips, outcome[2];
    int64_t slowest_ms;
};

static struct row table[16];

static void note(const char *kind, enum end outcome, int64_t ms)
{
    struct row *row = table;
    while (row->kind && strcmp(row->kind, kind) != 0)
        row++;
    row->kind = kind;
    row->flips++;
    row->outcome[outcome]++;
    row->slowest_ms = ms > row->slowest_ms ? ms : row->slowest_ms;
}

static void try_flips(const struct files *files, uint64_t kind, int count, const char *history)
{
    const char *wanted = getenv("DAMAGE_FLIPS");
    const int step = wanted && strcmp(wanted, "all") == 0 ? 1 : SHARE;
    for (int n = 0; n < count; n += step) {
        int64_t ms;
        const struct flip flip = draw_flip(files, kind, n, n / step % files->count);
        const enum end outcome = try_flip(&flip, history, &ms);
        if (step == 1)
            print_message("%s byte %" PRIu64 " bit %d: %s\n", flip.name, flip.byte, flip.bit,
                          outcome == SURVIVED ? "survived" : "refused");
        note(kind_of(flip.name), outcome, ms);
    }
}

static void one_flipped_bit_loses_nothing_unsaid(void **state)
{
    (void)state;
    struct files store = {0}, others = {0};
    fresh_copy();
    assert_int_equal(start(&copy, copy.run, LAST_RUN), 0); // what a start changes by itself
    SCOPED_MEM char *history = history_of(&copy);
    SCOPED_VALUE(checkpoint_list) list = {0};
    assert_ok(checkpoint_list(base.run, &list));
    list_files(base.run, "store", "", &store);
    list_files(base.run, "store", ".log", &others);
    for (size_t i = 0; i < list.count; i++) {
        SCOPED_MEM char *directory = mem_printf("checkpoints/v%" PRIu64, list.version[i]);
        list_files(base.run, directory, "", &others);
    }
    list_files(base.run, "", ".jsonl", &others);
    list_files(base.run, "store", ".log", &others);
    try_flips(&store, 1, STORE_FLIPS, history);
    try_flips(&others, 2, OTHER_FLIPS, history);
    free_names(&store);
    free_names(&others);
    for (const struct row *row = table; row->kind; row++)
        print_message("%-12s %3d flips, %3d survived, %3d refused, slowest start %" PRId64 " ms\n",
                      row->kind, row->flips, row->outcome[SURVIVED], row->outcome[REFUSED],
                      row->slowest_ms);
    print_message("%d of those refused were mended by --job salvage without any loss\n",
                  table_mended);
}

/* ---- what is another process's */

static void assert_said(int status, int wanted, const char *part)
{
    SCOPED_MEM char *log = file_text(copy.log);
    if (status != wanted || !strstr(log, part))
        fail_msg("status %d, wanted %d and '%s':\n%s", status, wanted, part, log);
}

/* A fork is on disk and has cut off checkpoints. Only who has the store may set them aside. */
static void nothing_is_renamed_before_the_store_is_open(void **state)
{
    (void)state;
    fresh_copy();
    SCOPED_MEM char *directory = file_join(copy.run, "store");
    SCOPED_MEM char *data = file_join(base.directory, "train.jsonl");
    SCOPED(jsonl) rows = NULL;
    SCOPED(store) store = NULL;
    assert_ok(jsonl_open(data, &rows));
    const struct store_options options = {.run = "test",
                                          .data = jsonl_digest(rows),
                                          .rows = jsonl_rows(rows),
                                          .seed = 1,
                                          .shuffle = true};
    const struct store_rules rules = {.eta = 1,
                                      .limit = 1,
                                      .groups = GROUPS,
                                      .max_groups = 1000,
                                      .max_uses = 1,
                                      .lease_ms = 60000};
    assert_ok(store_open(directory, &options, &rules, clock_ms(), &store));
    assert_ok(store_fork(store, 16, clock_ms()));
    assert_said(start(&copy, copy.run, LAST_RUN), EXIT_STATUS_BUSY, "another process has it open");
    assert_true(same_checkpoints() && same_file("metrics.jsonl") && same_file("evals.jsonl"));
}

/* ---- the ways out that the line names */

/* At a share of the newest write-ahead log: more than one bit. */
static void break_log(int percent)
{
    struct files logs = {0};
    SCOPED_VALUE(bytes) all = {0};
    list_files(base.run, "store", ".log", &logs);
    assert_true(logs.count > 0);
    fresh_copy();
    SCOPED_MEM char *path = file_join(copy.run, logs.at[logs.count - 1]);
    assert_ok(file_read(path, 1 << 28, &all));
    memset(all.data + all.len * (size_t)percent / 100, 0xa5, 16);
    assert_ok(file_write(path, all.data, all.len));
}

static void assert_goes_on(int rounds)
{
    struct audit audit;
    SCOPED_MEM char *store = file_join(copy.run, "store");
    up(&copy, rounds);
    assert_ok(store_audit(store, NULL, &audit));
    assert_int_equal(audit.errors, 0);
    assert_int_equal(audit.rounds_done, rounds);
    assert_int_equal(ring_read(&copy).rollbacks, 1);
}

/* Where it is named it works; where it would not, it is not named. */
static void what_a_broken_log_leaves_is_salvaged(void **state)
{
    (void)state;
    int salvaged = 0;
    for (int percent = 3; percent < 100; percent += 8) {
        break_log(percent);
        assert_said(job(&copy, "audit"), EXIT_STATUS_DAMAGED, "is damaged at byte");
        SCOPED_MEM char *log = file_text(copy.log);
        if (!strstr(log, "--job salvage")) {
            assert_true(job(&copy, "salvage") > 0);
            continue;
        }
        assert_said(job(&copy, "salvage"), 0, "lost: ");
        assert_said(job(&copy, "audit"), 0, "lineages=2");
        assert_said(job(&copy, "salvage"), EXIT_STATUS_MISMATCH, "nothing to salvage");
        if (!salvaged++)
            assert_goes_on(ROUNDS + 3);
    }
    assert_true(salvaged > 0);
}

static void a_backup_goes_on(void **state)
{
    (void)state;
    break_log(50);
    SCOPED_MEM char *backups = file_join(copy.run, "backups");
    SCOPED_MEM char *backup = file_join(backups, "one");
    SCOPED_MEM char *way = mem_printf("--run '%s'", backup);
    assert_ok(file_make_directories(backups));
    copy_tree(base.run, backup);
    assert_said(start(&copy, copy.run, LAST_RUN), EXIT_STATUS_DAMAGED, way);
    assert_said(start(&copy, backup, LAST_RUN), 0, "training ended");
}

static void another_run_begins_at_the_checkpoint(void **state)
{
    (void)state;
    break_log(50);
    assert_said(start(&copy, copy.run, LAST_RUN), EXIT_STATUS_DAMAGED, "model.path='");
    SCOPED_MEM char *log = file_text(copy.log);
    char *path = strstr(log, "model.path='") + strlen("model.path='");
    path[strcspn(path, "'")] = 0;
    SCOPED_MEM char *model = mem_printf("model.path=%s", path);
    SCOPED_MEM char *other = file_join(copy.directory, "other");
    run("rlhfctl", copy.log, 0,
        (const char *const[]){"up", copy.recipe, "--run", other, "--set", "run.rounds=2", "--set",
                              model, NULL});
}

/* Whatever else tells of more than the store has: a copy that is older than the files beside it. */
static void a_store_behind_its_checkpoints_is_refused(void **state)
{
    (void)state;
    struct ring older = ring_prepare(
        &(struct ring_options){.rounds = 2, .groups = GROUPS, .lag = 1, .prompts = 16});
    up(&older, 2);
    SCOPED_MEM char *from = file_join(older.run, "store");
    SCOPED_MEM char *kept = file_join(older.directory, "kept");
    copy_tree(from, kept);
    up(&older, 6);
    copy_tree(kept, from);
    copy_tree(older.run, copy.run);
    assert_said(start(&copy, copy.run, "run.rounds=6"), EXIT_STATUS_DAMAGED,
                "is ahead of the store");
    SCOPED_MEM char *checkpoints = file_join(copy.run, "checkpoints/v6");
    assert_ok(file_remove_tree(checkpoints));
    SCOPED_MEM char *earlier = file_join(copy.run, "checkpoints/v4");
    assert_ok(file_remove_tree(earlier));
    assert_said(start(&copy, copy.run, "run.rounds=6"), EXIT_STATUS_DAMAGED,
                "metrics.jsonl' has 6 rounds");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_renamed_before_the_store_is_open),
        cmocka_unit_test(what_a_broken_log_leaves_is_salvaged),
        cmocka_unit_test(a_backup_goes_on),
        cmocka_unit_test(another_run_begins_at_the_checkpoint),
        cmocka_unit_test(a_store_behind_its_checkpoints_is_refused),
        cmocka_unit_test(one_flipped_bit_loses_nothing_unsaid),
    };
    return cmocka_run_group_tests(tests, make_run, NULL);
}
