/* A run that a build with stores of format 3 left when it was killed goes on in this one, with the
 * same weights.
 *
 * tests/golden/format3.tar has its RUN directory, and tests/golden/format3.sh says what is in it
 * and made it: 13 rounds recorded, 12 trained, a checkpoint of version 8, the groups of one round
 * more. So the learner by itself makes versions 9 to 14, each of which is known (testing/golden.h).
 * Then the whole ring goes on. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "testing/golden.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include "testing/weights.h"
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000, KNOWN = 14 };

static struct ring unpacked(void)
{
    const char *directory = testing_directory();
    char *output;
    const int status = process_run(&output, RUN_MS, "/bin/tar", "-xf", TEST_GOLDEN "/format3.tar",
                                   "-C", directory, NULL);
    if (status)
        print_error("%s", output);
    free(output);
    assert_int_equal(status, 0);
    return (struct ring){.directory = directory,
                         .recipe = testing_path(directory, "recipe.yaml"),
                         .run = testing_path(directory, "run"),
                         .log = testing_path(directory, "log")};
}

static void succeed(const struct ring *ring, struct process process)
{
    const int status = process_wait(&process, RUN_MS);
    if (status)
        file_print_end("output", ring->log);
    assert_int_equal(status, 0);
}

/* What was recorded is trained again, then what was stored is trained. */
static void train_what_is_there(const struct ring *ring)
{
    succeed(ring,
            process_start(ring->log, "rlhfd-learner", ring->recipe, "--run", ring->run, "--set",
                          "run.rounds=14", "--set", "learner.listen=127.0.0.1:0", NULL));
    SCOPED_MEM char *log = file_text(ring->log);
    assert_non_null(strstr(log, "\"recorded rounds are trained again\" from=8 to=12"));
    assert_non_null(strstr(log, "key=learner.optimizer.lr value=0.002 recipe=0.001"));
}

static void it_goes_on(void **)
{
    const struct ring ring = unpacked();
    train_what_is_there(&ring);
    SCOPED_JSON json_t *versions = golden_versions(ring.recipe, ring.run, "policy", KNOWN);
    golden_check("format3", "versions", versions);
    SCOPED_MEM char *latest = file_join(ring.run, "checkpoints/latest");
    SCOPED_JSON json_t *last = weights_of_directory(latest);
    assert_string_equal(json_string_value(last),
                        json_string_value(json_array_get(versions, KNOWN - 1)));
    succeed(&ring, process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
                                 "run.rounds=30", NULL));
    assert_int_equal(ring_read(&ring).rounds, 30);
    ring_audit(&ring);
    SCOPED_JSON json_t *after = golden_versions(ring.recipe, ring.run, "policy", KNOWN);
    assert_true(json_equal(after, versions)); // history stays as it was
}

/* With the whole ring at once, as an operator would. The stored groups are the oldest ones, so they
 * are the next round. What comes after it depends on which weights the generator has when it
 * decodes. */
static void the_ring_goes_on(void **)
{
    const struct ring ring = unpacked();
    succeed(&ring, process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
                                 "run.rounds=30", NULL));
    assert_int_equal(ring_read(&ring).rounds, 30);
    ring_audit(&ring);
    SCOPED_JSON json_t *versions = golden_versions(ring.recipe, ring.run, "policy", KNOWN);
    golden_check("format3", "versions", versions);
}

TESTS(cmocka_unit_test(it_goes_on), cmocka_unit_test(the_ring_goes_on))
