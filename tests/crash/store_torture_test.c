/* Each disk call of a store fails in turn, RocksDB's own too: while it is opened, and while it
 * takes groups, a round and versions. After a failure it opens again with all that was
 * acknowledged, and nothing by half. */
#include "base/file.h"
#include "learner/replay/backup.h"
#include "testing/fault.h"
#include "unit/learner/store_kit.h"
#include <errno.h>

enum { ROWS = 64, GROUPS = 2, BATCH = 4 };

static const struct store_options options = {
    .run = "run", .rows = ROWS, .seed = 3, .shuffle = true};

static err_t open_store(const char *dir, struct store **ret)
{
    const struct store_rules rules = kit_rules(GROUPS, 8);
    return store_open(dir, &options, &rules, 0, ret);
}

static void copy_flat(const char *from, const char *to)
{
    SCOPED_VALUE(file_names) names = {0};
    assert_ok(file_remove_tree(to));
    assert_ok(file_make_directories(to));
    assert_ok(file_names(from, &names));
    for (size_t i = 0; i < names.count; i++) {
        SCOPED_MEM char *source = file_join(from, names.at[i]);
        SCOPED_MEM char *target = file_join(to, names.at[i]);
        assert_ok(file_copy(source, target));
    }
}

/* ---- writes of a store, and the acknowledged ones */

struct acknowledged {
    uint64_t granted, stored, rounds, versions;
};

/* One of everything that is written. Ends with the first error. */
static err_t work(struct store *store, struct acknowledged *ret)
{
    const struct store_holder holder = {"g", 1};
    SCOPED_VALUE(grants) grants = {0};
    SCOPED(round) round = NULL;
    enum idle idle;
    const uint64_t version = store_last_version(store);
    TRY(store_lease(store, &holder, version, BATCH, 0, &grants));
    ret->granted += grants.count;
    for (size_t i = 0; i < grants.count; i++) {
        SCOPED(group) group = kit_group(&grants.grant[i], version, version);
        const struct group *one = group;
        struct verdict verdict;
        TRY(store_append(store, &one, NULL, 1, 0, &verdict));
        assert_int_equal(verdict.outcome, OUTCOME_STORED);
        ret->stored++;
    }
    TRY(store_form_round(store, 0, &plan, &idle, &round));
    assert_non_null(round);
    ret->rounds++;
    for (uint64_t v = round->first_version + 1; v <= round->first_version + round->updates; v++) {
        struct trainee_digests trainees = kit_trainees(v);
        TRY(store_update_done(store, v, &trainees, v == round->first_version + round->updates));
        ret->versions++;
    }
    return OK;
}

/* The store has all that was acknowledged, and at most one call more: a batch whose sync failed may
 * be there. */
static void assert_has(const char *dir, const struct acknowledged *said)
{
    SCOPED(store) store = NULL;
    struct store_counts counts;
    assert_ok(open_store(dir, &store));
    store_counts(store, &counts);
    const uint64_t used = counts.next_round * GROUPS, versions = store_last_version(store);
    assert_true(counts.next_slot >= said->granted && counts.next_slot <= said->granted + BATCH);
    assert_true(counts.stored + used >= said->stored && counts.stored + used <= said->stored + 1);
    assert_true(counts.next_round >= said->rounds && counts.next_round <= said->rounds + 1);
    assert_true(versions >= said->versions && versions <= said->versions + 1);
    for (uint64_t v = 1; v <= versions; v++) {
        const struct digest wanted = kit_digest(v);
        struct trainee_digests recorded;
        assert_ok(store_digests_of(store, v, &recorded));
        assert_true(digest_equal(&recorded.at[0].weights, &wanted));
    }
    store_free(STEAL(store));
    kit_audit(dir);
}

static char *make_base(struct acknowledged *ret)
{
    char *dir = file_join(kit_directory(), "store");
    SCOPED(store) store = NULL;
    assert_ok(open_store(dir, &store));
    assert_ok(work(store, ret));
    assert_ok(work(store, ret));
    return dir;
}

/* ---- faults */

/* A call that fails is no damage: nothing is to be mended or given up. Without a failure all is
 * well. */
static void tell(struct fault_row *row, struct fault_walk *walk, const char *dir, err_t e)
{
    if (!fault_stop(walk)) {
        assert_ok(e);
        return;
    }
    if (err_code(e) == ERR_DATA_LOSS)
        fail_msg("after %s: %s", fault_place(), err_message(e));
    fault_note(row, walk->fault.call, err_failed(e) ? FAULT_OLD : FAULT_PASSED);
    if (err_failed(e))
        fault_error_assert(e, dir, strerror(walk->fault.error));
}

static void a_store_that_cannot_open_is_as_it_was(void **)
{
    struct acknowledged said = {0};
    struct fault_row row = {.place = "opening the store"};
    SCOPED_MEM char *base = make_base(&said);
    SCOPED_MEM char *dir = mem_printf("%s/copy", kit_directory());
    struct fault_walk walk = {.path = dir};
    while (fault_next(&walk)) {
        SCOPED(store) store = NULL;
        fault_set(NULL);
        copy_flat(base, dir);
        fault_set(&walk.fault);
        err_t failed = open_store(dir, &store);
        tell(&row, &walk, dir, failed);
        store_free(STEAL(store));
        assert_has(dir, &said);
    }
    print_message("store open: %d faults\n", (int)walk.points);
    assert_true(walk.points > 30);
    fault_row_assert(&row);
}

/* A store that is made, too: what is left of it is made whole by the next start. */
static void a_store_that_cannot_be_made_is_made_later(void **)
{
    SCOPED_MEM char *dir = mem_printf("%s/store", kit_directory());
    struct fault_walk walk = {.path = dir};
    while (fault_next(&walk)) {
        SCOPED(store) store = NULL;
        fault_set(NULL);
        assert_ok(file_remove_tree(dir));
        fault_set(&walk.fault);
        err_t failed = open_store(dir, &store);
        if (fault_stop(&walk) && err_failed(failed))
            fault_error_assert(failed, dir, strerror(walk.fault.error));
        else
            assert_ok(failed);
        store_free(STEAL(store));
        assert_has(dir, &(struct acknowledged){0});
    }
    assert_true(walk.points > 20);
}

static void what_was_acknowledged_stays(void **)
{
    struct acknowledged base_said = {0};
    struct fault_row row = {.place = "writing to the store"};
    SCOPED_MEM char *base = make_base(&base_said);
    SCOPED_MEM char *dir = mem_printf("%s/copy", kit_directory());
    struct fault_walk walk = {.path = dir};
    while (fault_next(&walk)) {
        SCOPED(store) store = NULL;
        struct acknowledged said = base_said;
        fault_set(NULL);
        copy_flat(base, dir);
        assert_ok(open_store(dir, &store));
        fault_set(&walk.fault);
        err_t failed = work(store, &said);
        tell(&row, &walk, dir, failed);
        store_free(STEAL(store));
        assert_has(dir, &said);
    }
    print_message("store writes: %d faults\n", (int)walk.points);
    assert_true(walk.points > 8);
    fault_row_assert(&row);
}

/* ---- a backup of a store that goes on */

static void make_checkpoint(const char *run)
{
    SCOPED_MEM char *directory = mem_printf("%s/checkpoints/v2", run);
    SCOPED_MEM char *manifest = file_join(directory, "manifest.json");
    assert_ok(file_make_directories(directory));
    assert_ok(file_write(manifest, "{}", 2));
}

static void assert_whole_copy(const char *path, const struct acknowledged *said)
{
    SCOPED_MEM char *store = file_join(path, "store");
    SCOPED_MEM char *manifest = file_join(path, "checkpoints/latest/manifest.json");
    assert_true(file_exists(manifest));
    assert_has(store, said);
}

/* The store that is copied takes no harm either. */
static void a_backup_is_whole_or_not_there(void **)
{
    struct acknowledged said = {0};
    struct fault_row row = {.place = "a backup"};
    SCOPED(store) store = NULL;
    SCOPED_MEM char *dir = make_base(&said);
    SCOPED_MEM char *run = mem_printf("%s/run", kit_directory());
    struct fault_walk walk = {.path = "backups"};
    make_checkpoint(run);
    assert_ok(open_store(dir, &store));
    for (int number = 0; fault_next(&walk); number++) {
        SCOPED_MEM char *name = mem_printf("n%d", number);
        SCOPED_MEM char *wanted = mem_printf("%s/backups/%s", run, name);
        SCOPED_MEM char *path = NULL;
        SCOPED_MEM char *again = NULL;
        err_t failed = backup_make(run, store, name, &path);
        const bool reached = fault_stop(&walk), old = !file_exists(wanted);
        if (reached)
            fault_note(&row, walk.fault.call,
                       !err_failed(failed) ? FAULT_PASSED
                       : old               ? FAULT_OLD
                                           : FAULT_NEW);
        if (err_failed(failed))
            fault_error_assert(failed, name, strerror(walk.fault.error));
        if (old) {
            assert_true(reached);
            assert_ok(backup_make(run, store, name, &again));
        }
        assert_whole_copy(wanted, &said);
        assert_ok(file_remove_tree(wanted));
    }
    assert_ok(work(store, &said));
    print_message("backup: %d faults\n", (int)walk.points);
    assert_true(walk.points > 30);
    fault_row_assert(&row);
}

TESTS(cmocka_unit_test(a_store_that_cannot_open_is_as_it_was),
      cmocka_unit_test(a_store_that_cannot_be_made_is_made_later),
      cmocka_unit_test(what_was_acknowledged_stays),
      cmocka_unit_test(a_backup_is_whole_or_not_there))
