/* `backend: cuda` of a recipe, where it cannot be had: one line and an exit status before anything
 * is begun. The module is the one that RLHFD_BACKEND names, and its device the emulator's. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/exit_status.h"
#include "svc/svc.h"
#include "testing/daemons.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 240000, ROUNDS = 6 };

static struct ring small_ring(void)
{
    if (!getenv("RLHFD_BACKEND"))
        setenv("RLHFD_BACKEND", TEST_BIN "/librlhfd_cuda_emu.so", 1);
    return ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
}

/* One error, with both parts in its line. */
static void assert_says(const char *output, int status, int wanted, const char *part,
                        const char *other)
{
    const char *line = strstr(output, " error ");
    const bool one = line && !strstr(line + 7, " error ");
    if (status != wanted || !one || !strstr(line, part) || !strstr(line, other))
        print_error("status %d, wanted %d, '%s', '%s':\n%s\n", status, wanted, part, other, output);
    assert_true(one && strstr(line, part) && strstr(line, other));
    assert_int_equal(status, wanted);
}

static void generator_ends(const struct ring *ring, const char *set, int status, const char *part)
{
    char *output;
    const int ended = process_run(&output, WAIT_MS, "rlhfd-generator", ring->recipe, "--set",
                                  "generator.backend=cuda", "--set", "generator.listen=127.0.0.1:0",
                                  "--set", "net.join_timeout_s=1", "--set", set, NULL);
    assert_says(output, ended, status, "generator.backend: backend '", part);
    free(output);
}

/* By a module that has a forward alone. */
static void a_learner_is_refused_by_the_op_that_is_missing(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    SCOPED_MEM char *module = mem_string(getenv("RLHFD_BACKEND"));
    static const char says[] = " has no scatter_add: it cannot train";
    char *output;
    setenv("RLHFD_BACKEND", MODULE_FORWARD, 1);
    int status =
        process_run(&output, WAIT_MS, "rlhfd-learner", ring.recipe, "--run", ring.run, "--set",
                    "learner.backend=cuda", "--set", "learner.listen=127.0.0.1:0", NULL);
    assert_says(output, status, EXIT_STATUS_USAGE, "learner.backend: backend '", says);
    free(output);
    const char *const commands[] = {"check", "up"};
    for (size_t i = 0; i < 2; i++) {
        SCOPED_MEM char *run = mem_printf("%s-%s", ring.run, commands[i]);
        status = process_run(&output, WAIT_MS, "rlhfctl", commands[i], ring.recipe, "--run", run,
                             "--set", "learner.backend=cuda", NULL);
        if (status < 1 || !strstr(output, "learner.backend: backend '") || !strstr(output, says))
            fail_msg("%s: status %d:\n%s", commands[i], status, output);
        assert_false(file_exists(run));
        free(output);
    }
    setenv("RLHFD_BACKEND", module, 1);
}

/* The refusal of a learner on a device of so many bytes. The caller's. */
static char *refused_learner(const struct ring *ring, double bytes)
{
    SCOPED_MEM char *memory = mem_printf("%.0f", bytes);
    char *output;
    setenv("CUDA_EMU_MEMORY", memory, 1);
    const int status =
        process_run(&output, WAIT_MS, "rlhfd-learner", ring->recipe, "--run", ring->run, "--set",
                    "learner.backend=cuda", "--set", "learner.listen=127.0.0.1:0", NULL);
    assert_says(output, status, EXIT_STATUS_RESOURCES, "training needs ",
                " GB of the device's memory, and ");
    char *ret = mem_string(output);
    free(output);
    return ret;
}

static void wait_listening(const char *log, struct process *process)
{
    for (int64_t until = clock_ms() + WAIT_MS;; clock_sleep_ms(5)) {
        SCOPED_MEM char *text = file_text(log);
        if (strstr(text, " info learner \"listening\""))
            break;
        if (clock_ms() > until || process_wait(process, 0) >= 0)
            fail_msg("the learner does not listen:\n%s", text);
    }
    process_kill(process, SIGTERM);
    process_wait(process, WAIT_MS);
}

/* The line names a setting that does. */
static void a_learner_without_room(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    SCOPED_MEM char *first = refused_learner(&ring, 6e6);
    const double needs = 1e9 * strtod(strstr(first, "training needs ") + 15, NULL);
    assert_true(needs > 6e6 && needs < 1e8);
    SCOPED_MEM char *second =
        refused_learner(&ring, needs + (4 << 20) - 60e3); // rings of the module
    assert_non_null(strstr(second, ": learner.optimizer.states: host needs 0.0"));
    struct process learner = process_start(
        ring.log, "rlhfd-learner", ring.recipe, "--run", ring.run, "--set", "learner.backend=cuda",
        "--set", "learner.listen=127.0.0.1:0", "--set", "learner.optimizer.states=host", NULL);
    unsetenv("CUDA_EMU_MEMORY");
    wait_listening(ring.log, &learner);
}

static void a_generator_without_a_device(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    SCOPED_MEM char *module = mem_string(getenv("RLHFD_BACKEND"));
    setenv("RLHFD_BACKEND", "absent", 1);
    generator_ends(&ring, "run.seed=1", EXIT_STATUS_USAGE, "'absent': there is no module ");
    setenv("RLHFD_BACKEND", module, 1);
    generator_ends(&ring, "generator.device=7", EXIT_STATUS_USAGE, "device=7: this machine has 1");
    setenv("CUDA_EMU_FAIL", "none", 1);
    generator_ends(&ring, "run.seed=1", EXIT_STATUS_USAGE, "there is no device: ");
    setenv("CUDA_EMU_FAIL", "driver", 1);
    generator_ends(&ring, "run.seed=1", EXIT_STATUS_USAGE,
                   "the driver is too old: it is of CUDA 11.4, and 12.8 is needed");
    unsetenv("CUDA_EMU_FAIL");
    setenv("CUDA_EMU_SM", "70", 1);
    generator_ends(&ring, "run.seed=1", EXIT_STATUS_USAGE, "of compute capability 7.0: ");
    unsetenv("CUDA_EMU_SM");
    setenv("CUDA_EMU_MEMORY", "1000000", 1);
    generator_ends(&ring, "run.seed=1", EXIT_STATUS_RESOURCES,
                   "no memory for 4194304 bytes on device 0: 1000000 of its 1000000 are free");
    unsetenv("CUDA_EMU_MEMORY");
}

/* Told before the model is read, with a setting that suffices. */
static void a_generator_without_room(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    static const char fits[] = "generator.kv_bytes: ";
    char *output;
    setenv("CUDA_EMU_MEMORY", "16000000", 1);
    const int status =
        process_run(&output, WAIT_MS, "rlhfd-generator", ring.recipe, "--set",
                    "generator.backend=cuda", "--set", "generator.listen=127.0.0.1:0", NULL);
    assert_says(output, status, EXIT_STATUS_RESOURCES, " GB of the device's memory, and ", fits);
    const double bytes = strtod(strstr(output, fits) + sizeof fits - 1, NULL);
    free(output);
    SCOPED_MEM char *set = mem_printf("generator.kv_bytes=%.0f", bytes);
    const int then = process_run(&output, WAIT_MS, "rlhfd-generator", ring.recipe, "--set",
                                 "generator.backend=cuda", "--set", "net.join_timeout_s=1", "--set",
                                 "generator.listen=127.0.0.1:0", "--set", set, NULL);
    unsetenv("CUDA_EMU_MEMORY");
    if (then != EXIT_STATUS_UNREACHABLE)
        fail_msg("%s: status %d:\n%s", set, then, output);
    free(output);
}

/* The second generator gets the second number. */
static void generators_share_a_list_of_devices(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    char *output;
    const int status =
        process_run(&output, WAIT_MS, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
                    "generator.backend=cuda", "--set", "learner.backend=cpu", "--set",
                    "generator.count=2", "--set", "generator.device=0,7", NULL);
    if (status < 1 || !strstr(output, "generator-2 ") ||
        !strstr(output, "device=7: this machine has 1, from 0 on"))
        fail_msg("status %d:\n%s", status, output);
    free(output);
}

/* A device that fails while the model is loaded, or in a step: an end by the daemon's own path. */
static void a_generator_whose_device_is_lost(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    char *output;
    setenv("CUDA_EMU_FAIL", "lost@100", 1);
    const int status =
        process_run(&output, WAIT_MS, "rlhfd-generator", ring.recipe, "--set",
                    "generator.backend=cuda", "--set", "generator.listen=127.0.0.1:0", NULL);
    unsetenv("CUDA_EMU_FAIL");
    assert_says(output, status, EXIT_STATUS_FAILED, "code=INTERNAL",
                "unspecified launch failure (cudaErrorLaunchFailure)");
    free(output);
}

/* Programs and the module under its own name, in a directory of their own. */
static char *installed(const struct ring *ring)
{
    SCOPED_MEM char *bin = mem_printf("%s/bin", ring->directory);
    char *generator = mem_printf("%s/rlhfd-generator", bin);
    SCOPED_MEM char *module = mem_printf("%s/librlhfd_cuda.so", bin);
    char *output;
    assert_ok(file_make_directories(bin));
    assert_int_equal(
        process_run(&output, WAIT_MS, "/bin/cp", TEST_BIN "/rlhfd-generator", generator, NULL), 0);
    free(output);
    assert_int_equal(symlink(getenv("RLHFD_BACKEND"), module), 0);
    return generator;
}

/* With auto the lack of a device is told, and the daemon goes on without. */
static void auto_takes_the_cpu_where_it_must(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    SCOPED_MEM char *module = mem_string(getenv("RLHFD_BACKEND"));
    SCOPED_MEM char *generator = installed(&ring);
    static const struct {
        const char *fail, *numerics;
    } rows[] = {{"none", "numerics=\"backend=cpu kernels=2\" why=\"backend 'cuda': there is no"},
                {"", "numerics=\"backend=cuda build="}};
    unsetenv("RLHFD_BACKEND");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *output;
        setenv("CUDA_EMU_FAIL", rows[i].fail, 1);
        const int status =
            process_run(&output, WAIT_MS, generator, ring.recipe, "--set",
                        "generator.listen=127.0.0.1:0", "--set", "net.join_timeout_s=1", NULL);
        if (status != EXIT_STATUS_UNREACHABLE || !strstr(output, rows[i].numerics))
            fail_msg("status %d, wanted '%s':\n%s", status, rows[i].numerics, output);
        free(output);
    }
    unsetenv("CUDA_EMU_FAIL");
    setenv("RLHFD_BACKEND", module, 1);
}

/* A generator on the device and a learner on the CPU: what is decoded is trained, though no token's
 * log-probability has the learner's bits, and their distance is told. */
static void a_ring_with_a_generator_on_the_device(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    char *output;
    const int status =
        process_run(&output, WAIT_MS, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
                    "generator.backend=cuda", "--set", "learner.backend=cpu", NULL);
    SCOPED_MEM char *path = mem_printf("%s/metrics.jsonl", ring.run);
    SCOPED_MEM char *metrics = file_text(path);
    if (status || !strstr(metrics, "kl_mismatch"))
        fail_msg("status %d:\n%s\n%s", status, output, metrics);
    const struct ring_result result = ring_read(&ring);
    assert_int_equal(result.rounds, 2);
    assert_true(result.logp_compared == 0);
    ring_audit(&ring);
    free(output);
}

/* ---- a device that fails while daemons work: one line, an exit status, and others go on with what
 * was under way. The build that looks at every access adds nothing to that, and takes minutes. */

static const char settings[] = "generator.backend=cuda rewarder.backend=cpu learner.backend=cpu "
                               "learner.lease_grace_ms=1000";

/* At lag 0 no round is trained before the one before is complete. */
static struct ring long_ring(void)
{
    small_ring();
    if (strstr(getenv("RLHFD_BACKEND"), "_checked") && !getenv("RLHFD_EMU"))
        skip();
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
    struct ring ring = long_ring();
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
        "lost@900", EXIT_STATUS_FAILED, {"code=INTERNAL", "(cudaErrorLaunchFailure)"}});
}

static void memory_that_has_an_error(void **state)
{
    (void)state;
    a_generator_leaves(&(struct failure){
        "ecc@700",
        EXIT_STATUS_FAILED,
        {"(cudaErrorECCUncorrectable): the device itself failed", "nvidia-smi -q -d ECC"}});
}

static void memory_that_ends(void **state)
{
    (void)state;
    a_generator_leaves(
        &(struct failure){"oom@14", EXIT_STATUS_RESOURCES, {"code=EXHAUSTED", "no memory for "}});
}

/* ---- learners */

static const char learning[] =
    "generator.backend=cpu rewarder.backend=cpu learner.backend=cuda learner.lease_grace_ms=1000";

/* The learner ends in an update, by one line, and the others wait. Started again on a device that
 * works it trains the recorded rounds once more, and compares each version with its record. */
static void a_learner_leaves(const struct failure *failure)
{
    struct ring ring = long_ring();
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
        &(struct failure){"oom@15", EXIT_STATUS_RESOURCES, {"code=EXHAUSTED", "no memory for "}});
}

TESTS(cmocka_unit_test(a_ring_with_a_generator_on_the_device),
      cmocka_unit_test(a_learner_is_refused_by_the_op_that_is_missing),
      cmocka_unit_test(a_learner_without_room), cmocka_unit_test(a_generator_without_a_device),
      cmocka_unit_test(a_generator_without_room),
      cmocka_unit_test(generators_share_a_list_of_devices),
      cmocka_unit_test(a_generator_whose_device_is_lost),
      cmocka_unit_test(auto_takes_the_cpu_where_it_must), cmocka_unit_test(a_device_that_is_lost),
      cmocka_unit_test(memory_that_has_an_error), cmocka_unit_test(memory_that_ends),
      cmocka_unit_test(a_learner_whose_device_is_lost),
      cmocka_unit_test(a_learner_whose_memory_has_an_error),
      cmocka_unit_test(a_learner_whose_memory_ends))
