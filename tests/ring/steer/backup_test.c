/* A backup of a ring that goes on, by `rlhfctl backup`: a learner that starts from it ends with the
 * digests of the run that nothing happened to. */
#include "base/file.h"
#include "base/mem.h"
#include "learner/store/audit/audit.h"
#include "learner/store/history.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <string.h>

enum { ROUNDS = 100, GROUPS = 8, END_MS = 120000, REFUSED = 4, CONFLICT = 5 };
#define SETTINGS "checkpoint.every=4"

/* The exit status; *ret is what it said. */
static int backup(const struct daemons *daemons, const char *name, char **ret)
{
    return process_run(ret, END_MS, "rlhfctl", "backup", "--address", daemons->admin[LEARNER], name,
                       NULL);
}

static void said(const struct daemons *daemons, const char *name, int status, const char *part)
{
    SCOPED_MEM char *output = NULL;
    const int ended = backup(daemons, name, &output);
    if (ended != status || !strstr(output, part))
        fail_msg("backup '%s' ended with %d: %s", name ? name : "", ended, output);
}

static uint64_t rounds_of(const char *run)
{
    struct audit audit;
    SCOPED_MEM char *store = file_join(run, "store");
    assert_ok(store_audit(store, stderr, &audit));
    assert_int_equal(audit.errors, 0);
    return audit.rounds_done;
}

/* Every version, as both stores have it. */
static void assert_same_versions(const char *a, const char *b)
{
    SCOPED(store) one = NULL;
    SCOPED(store) two = NULL;
    SCOPED_MEM char *path_one = file_join(a, "store");
    SCOPED_MEM char *path_two = file_join(b, "store");
    assert_ok(store_read(path_one, &one));
    assert_ok(store_read(path_two, &two));
    assert_int_equal(store_last_version(one), store_last_version(two));
    for (uint64_t version = 1; version <= store_last_version(one); version++) {
        struct trainee_digests x, y;
        assert_ok(store_digests_of(one, version, &x));
        assert_ok(store_digests_of(two, version, &y));
        assert_memory_equal(&x, &y, sizeof x);
    }
}

static void a_backup_goes_on_to_the_same_digests(void **state)
{
    (void)state;
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = GROUPS, .lag = 0});
    struct daemons d = daemons_start(&ring, SETTINGS);
    ring_wait_rounds(&ring, 2, END_MS);
    said(&d, "early", 0, "backups/early: version "); // before the first checkpoint, perhaps
    ring_wait_rounds(&ring, 10, END_MS);
    said(&d, "later", 0, "backups/later: version ");
    process_kill(&d.process[GENERATOR], SIGSTOP); // the run does not end before all is asked
    said(&d, "later", CONFLICT, "there is a backup");
    said(&d, "../later", REFUSED, "allowed are 1 to 64 of A-Z a-z 0-9 . _ -");
    said(&d, NULL, 0, "Z: version "); // the time is its name
    process_kill(&d.process[GENERATOR], SIGCONT);
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    assert_int_equal(rounds_of(ring.run), ROUNDS);
    static const char *const names[] = {"early", "later"};
    static const uint64_t least[] = {2, 10};
    for (int i = 0; i < 2; i++) {
        struct ring copy = ring;
        SCOPED_MEM char *path = mem_printf("%s/backups/%s", ring.run, names[i]);
        copy.run = path;
        assert_in_range(rounds_of(path), least[i], ROUNDS - 1);
        d = daemons_start(&copy, SETTINGS);
        assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
        assert_same_versions(ring.run, path);
        assert_int_equal(rounds_of(path), ROUNDS);
    }
}

TESTS(cmocka_unit_test(a_backup_goes_on_to_the_same_digests))
