/* Copies of a store that goes on: each is the store as of its moment, whole, and goes on by
 * itself. */
#include "base/file.h"
#include "learner/replay/backup.h"
#include "unit/learner/store_kit.h"
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 12, GROUPS = 8 };

static void make_checkpoint(const char *run, uint64_t version)
{
    SCOPED_MEM char *directory = mem_printf("%s/checkpoints/v%d", run, (int)version);
    SCOPED_MEM char *critic = file_join(directory, "critic"); // a trainee's
    SCOPED_MEM char *config = file_join(critic, "config.json");
    SCOPED_MEM char *manifest = file_join(directory, "manifest.json");
    assert_ok(file_make_directories(critic));
    assert_ok(file_write(config, "{}", 2));
    assert_ok(file_write(manifest, "{}", 2));
}

static void one_round(struct store *store, uint64_t r)
{
    SCOPED_VALUE(grants) grants = kit_lease(store, "g", store_last_version(store), GROUPS);
    for (size_t i = 0; i < grants.count; i++)
        assert_int_equal(kit_deliver(store, &grants.grant[i], store_last_version(store)),
                         OUTCOME_STORED);
    SCOPED(round) round = kit_round(store, IDLE_NONE);
    kit_train(store, round);
    assert_int_equal(round->round, r);
}

static void a_copy_is_the_store_as_of_then(void **)
{
    SCOPED(fixture) f = fixture_new(1000, kit_rules(GROUPS, 1));
    const char *run = kit_directory();
    struct store_counts then[ROUNDS];
    for (uint64_t r = 0; r < ROUNDS; r++) {
        SCOPED_MEM char *name = mem_printf("at-%d", (int)r);
        one_round(f->store, r);
        if (r % 4 == 3) {
            make_checkpoint(run, r + 1);
            assert_ok(store_checkpointed(f->store, r + 1, r + 1));
        }
        SCOPED_MEM char *path = NULL;
        assert_ok(backup_make(run, f->store, name, &path));
        assert_non_null(strstr(path, name));
        then[r] = counts_of(f);
    }
    for (uint64_t r = 0; r < ROUNDS; r++) {
        SCOPED_MEM char *dir = mem_printf("%s/backups/at-%d/store", run, (int)r);
        SCOPED(store) copy = NULL;
        kit_audit(dir);
        assert_ok(store_open(dir, &f->options, &f->rules, 0, &copy));
        struct store_counts now;
        store_counts(copy, &now);
        assert_int_equal(now.next_round, r + 1);
        assert_int_equal(now.next_slot, then[r].next_slot);
        assert_memory_equal(now.gone, then[r].gone, sizeof now.gone);
        one_round(copy, r + 1); // a branch
    }
    SCOPED_MEM char *newest = mem_printf("%s/backups/at-9/checkpoints/v8/manifest.json", run);
    SCOPED_MEM char *before = mem_printf("%s/backups/at-9/checkpoints/latest/manifest.json", run);
    SCOPED_MEM char *none = mem_printf("%s/backups/at-2/checkpoints", run);
    SCOPED_MEM char *critic = mem_printf("%s/backups/at-9/checkpoints/v8/critic/config.json", run);
    assert_true(file_exists(newest) && file_exists(before) && !file_exists(none));
    assert_true(file_exists(critic));
    one_round(f->store, ROUNDS); // what was copied is not what goes on
}

static void names_are_checked_and_never_taken_twice(void **)
{
    SCOPED(fixture) f = fixture_new(100, kit_rules(2, 1));
    const char *run = kit_directory();
    SCOPED_MEM char *path = NULL;
    SCOPED_MEM char *second = NULL;
    static const char *const bad[] = {"", ".x", "a/b", "../x", "a b", "x\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_err(ERR_INVALID, "allowed are", backup_make(run, f->store, bad[i], &path));
    assert_ok(backup_make(run, f->store, "a.b_c-9", &path));
    assert_err(ERR_EXISTS, "already", backup_make(run, f->store, "a.b_c-9", &second));
    SCOPED_MEM char *torn = mem_printf("%s/backups/.second.tmp/store", run);
    assert_ok(file_make_directories(torn)); // of one that was killed
    assert_ok(backup_make(run, f->store, "second", &second));
    assert_false(file_exists(torn));
}

TESTS(cmocka_unit_test(a_copy_is_the_store_as_of_then),
      cmocka_unit_test(names_are_checked_and_never_taken_twice))
