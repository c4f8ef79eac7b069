/* A device that fails while daemons work: one line, an exit status, and what was under way goes on
 * elsewhere. The generator is on the emulator, whose failure the environment plans. */
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/exit_status.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 240000, ROUNDS = 6 };

static const char settings[] = "generator.backend=cuda rewarder.backend=cpu learner.backend=cpu "
                               "learner.lease_grace_ms=1000";

static struct ring small_ring(void)
{
    if (!getenv("RLHFD_BACKEND"))
        setenv("RLHFD_BACKEND", TEST_BIN "/librlhfd_cuda_emu.so", 1);
    return ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = 8, .lag = 0});
}

/* Its one error, as the last daemon of this name left it. The caller's. */
static char *error_of(const struct ring *ring, const char *daemon)
{
    SCOPED_MEM char *path = mem_printf("%s/%s.log", ring->run, daemon);
    SCOPED_MEM char *text = file_text(path);
    const char *line = strstr(text, " error ");
    const char *end = line ? strchr(line, '\n') : NULL;
    if (!end || strstr(end, " error "))
        fail_msg("%s.log has not one error:\n%s", daemon, text);
    return mem_printf("%.*s", (int)(end - line), line);
}

struct failure {
    const char *plan;    // CUDA_EMU_FAIL
    int status;          // the exit status
    const char *says[2]; // of the one line
    int rounds;          // of a learner: trained before, at least
};

/* The generator leaves in the middle of a round. Another process takes its place, and decodes what
 * was leased to it: at lag 0 no later round could be trained otherwise. */
static void a_generator_leaves(const struct failure *failure)
{
    struct ring ring = small_ring();
    setenv("CUDA_EMU_FAIL", failure->plan, 1);
    struct daemons d = daemons_start(&ring, settings);
    unsetenv("CUDA_EMU_FAIL");
    const int status = process_wait(&d.process[GENERATOR], WAIT_MS);
    SCOPED_MEM char *line = error_of(&ring, "generator");
    print_message("%s: %s\n", failure->plan, line);
    assert_non_null(strstr(line, failure->says[0]));
    assert_non_null(strstr(line, failure->says[1]));
    assert_int_equal(status, failure->status);
    daemons_assert_running(&d, LEARNER);
    daemons_assert_running(&d, REWARDER);
    daemons_start_one(&d, GENERATOR, "");
    assert_int_equal(daemons_wait_learner(&d, WAIT_MS), 0);
    assert_int_equal(ring_read(&ring).rounds, ROUNDS);
    ring_audit(&ring);
}

static void a_device_that_is_lost(void **state)
{
    (void)state;
    a_generator_leaves(&(struct failure){
        "lost@2500", EXIT_STATUS_FAILED, {"code=INTERNAL", "(cudaErrorLaunchFailure)"}});
}

static void memory_that_has_an_error(void **state)
{
    (void)state;
    a_generator_leaves(&(struct failure){
        "ecc@2000",
        EXIT_STATUS_FAILED,
        {"(cudaErrorECCUncorrectable): the device itself failed", "nvidia-smi -q -d ECC"}});
}

static void memory_that_ends(void **state)
{
    (void)state;
    a_generator_leaves(
        &(struct failure){"oom@220", EXIT_STATUS_RESOURCES, {"code=EXHAUSTED", "no memory for "}});
}

/* ---- learners */

static const char learning[] =
    "generator.backend=cpu rewarder.backend=cpu learner.backend=cuda learner.lease_grace_ms=1000";

/* The learner ends in an update, by one line, and the others wait. Started again on a device that is
 * whole it trains the recorded rounds once more, and compares each version with its record. */
static void a_learner_leaves(const struct failure *failure)
{
    struct ring ring = small_ring();
    setenv("CUDA_EMU_FAIL", failure->plan, 1);
    struct daemons d = daemons_start(&ring, learning);
    unsetenv("CUDA_EMU_FAIL");
    const int status = process_wait(&d.process[LEARNER], WAIT_MS);
    SCOPED_MEM char *line = error_of(&ring, "learner");
    const int rounds = ring_read(&ring).rounds;
    print_message("%s, after %d rounds: %s\n", failure->plan, rounds, line);
    assert_non_null(strstr(line, failure->says[0]));
    assert_non_null(strstr(line, failure->says[1]));
    assert_int_equal(status, failure->status);
    assert_true(rounds >= failure->rounds && rounds < ROUNDS);
    daemons_assert_running(&d, GENERATOR);
    daemons_assert_running(&d, REWARDER);
    daemons_start_one(&d, LEARNER, "");
    assert_int_equal(daemons_wait_learner(&d, WAIT_MS), 0);
    assert_int_equal(ring_read(&ring).rounds, ROUNDS);
    ring_audit(&ring);
}

static void a_learner_whose_device_is_lost(void **state)
{
    (void)state;
    a_learner_leaves(&(struct failure){"lost@1300",
                                       EXIT_STATUS_FAILED,
                                       {"code=INTERNAL", "(cudaErrorLaunchFailure)"},
                                       .rounds = 1});
}

static void a_learner_whose_memory_has_an_error(void **state)
{
    (void)state;
    a_learner_leaves(&(struct failure){"ecc@900",
                                       EXIT_STATUS_FAILED,
                                       {"(cudaErrorECCUncorrectable)", "nvidia-smi -q -d ECC"},
                                       .rounds = 1});
}

/* The first update is the one that needs most. */
static void a_learner_whose_memory_ends(void **state)
{
    (void)state;
    a_learner_leaves(
        &(struct failure){"oom@150", EXIT_STATUS_RESOURCES, {"code=EXHAUSTED", "no memory for "}});
}

TESTS(cmocka_unit_test(a_device_that_is_lost), cmocka_unit_test(memory_that_has_an_error),
      cmocka_unit_test(memory_that_ends), cmocka_unit_test(a_learner_whose_device_is_lost),
      cmocka_unit_test(a_learner_whose_memory_has_an_error),
      cmocka_unit_test(a_learner_whose_memory_ends))
