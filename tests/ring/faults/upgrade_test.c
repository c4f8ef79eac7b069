/* A build with other bits: a module of a backend that names itself another one's. On a run that was
 * killed before its drain it is told both ways out, and either works. As a generator beside a
 * learner of this build it is taken or refused, by run.mixed_numerics. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/svc.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 60000, WORDS = 16 };

/* Daemons that start from here on are of that build; NULL: of this one. */
static void start_as(const char *module)
{
    static char *ours;
    if (module) {
        ours = mem_string(getenv("RLHFD_BACKEND"));
        setenv("RLHFD_BACKEND", module, 1);
        return;
    }
    unsetenv("RLHFD_BACKEND");
    if (ours)
        setenv("RLHFD_BACKEND", ours, 1);
    mem_free(STEAL(ours));
}

static struct ring prepare(void)
{
    return ring_prepare(&(struct ring_options){
        .rounds = 1000000, .groups = 8, .lag = 1, .learner = "objective: rloo, lease_ms: 10000"});
}

/* A run that the build before has trained and left: with rounds after its newest checkpoint, the
 * one that was asked for. */
static struct ring left_by_the_build_before(void)
{
    struct ring ring = prepare();
    start_as(MODULE_BEFORE);
    struct daemons daemons = daemons_start(&ring, "checkpoint.every=1000000");
    ring_wait_rounds(&ring, 3, WAIT_MS);
    assert_int_equal(process_run(NULL, WAIT_MS, "rlhfctl", "checkpoint", "--address",
                                 daemons.admin[LEARNER], NULL),
                     0);
    ring_wait_rounds(&ring, ring_read(&ring).rounds + 2, WAIT_MS);
    daemons_kill(&daemons, LEARNER);
    daemons_kill(&daemons, GENERATOR);
    daemons_kill(&daemons, REWARDER);
    start_as(NULL);
    return ring;
}

/* Daemons go on with it, of this build unless start_as says another, and are drained. */
static void goes_on(const struct ring *ring)
{
    const int rounds = ring_read(ring).rounds;
    struct daemons daemons = daemons_start(ring, "");
    ring_wait_rounds(ring, rounds + 3, WAIT_MS);
    process_kill(&daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&daemons, WAIT_MS), 0);
    ring_audit(ring);
}

/* What a learner of this build says of the run, without a change to it. Owned by the caller. */
static char *refusal(const struct ring *ring)
{
    static const char *const parts[] = {
        "code=PRECONDITION",    "was recorded by 'backend=cpu kernels=1 kv=bf16 layout=",
        "this build (version ", "start the build (and model.kv) that recorded it",
        "drain it (SIGTERM)",   "give up all rounds after version "};
    char *output;
    int status = process_run(&output, WAIT_MS, "rlhfd-learner", ring->recipe, "--run", ring->run,
                             "--set", "learner.listen=127.0.0.1:0", NULL);
    if (!status)
        fail_msg("it was taken:\n%s", output);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(output, parts[i]))
            fail_msg("'%s' is not in:\n%s", parts[i], output);
    return output;
}

static void the_build_before_drains_it(void **)
{
    struct ring ring = left_by_the_build_before();
    mem_free(refusal(&ring));
    start_as(MODULE_BEFORE);
    goes_on(&ring);
    start_as(NULL);
    goes_on(&ring);
    SCOPED_MEM char *path = mem_printf("%s/learner.log", ring.run);
    SCOPED_MEM char *text = file_text(path);
    assert_non_null(strstr(text, "another build goes on"));
}

/* The command is run word for word. */
static void what_came_after_the_checkpoint_is_given_up(void **)
{
    struct ring ring = left_by_the_build_before();
    SCOPED_MEM char *said = refusal(&ring);
    char *command = strstr(said, "rlhfd-learner /"), *rest = NULL;
    assert_non_null(command);
    command[strcspn(command, "\"\n")] = 0;
    const char *words[WORDS] = {NULL};
    size_t count = 0;
    for (char *word = strtok_r(command, " ", &rest); word && count < WORDS - 1;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    SCOPED_MEM char *log = file_join(ring.directory, "fork.log");
    struct process fork = process_start_words(log, words[0], words + 1);
    const int status = process_wait(&fork, WAIT_MS);
    if (status)
        file_print_end("fork", log);
    assert_int_equal(status, 0);
    goes_on(&ring);
}

/* ---- side by side */

/* Waits for a part of the learner's log. */
static void wait_log(const struct ring *ring, const char *part)
{
    SCOPED_MEM char *path = mem_printf("%s/learner.log", ring->run);
    for (int64_t until = clock_ms() + WAIT_MS;; clock_sleep_ms(20)) {
        SCOPED_MEM char *text = file_text(path);
        if (strstr(text, part))
            return;
        if (clock_ms() > until)
            fail_msg("the learner never says '%s'", part);
    }
}

static void a_generator_of_another_build(void **)
{
    struct ring ring = prepare();
    struct daemons daemons = daemons_start(&ring, "run.mixed_numerics=tolerate");
    start_as(MODULE_BEFORE);
    struct extra other = daemons_extra(&daemons, "other", "");
    start_as(NULL);
    wait_log(&ring, "generator has other numerics");
    ring_wait_rounds(&ring, ring_read(&ring).rounds + 3, WAIT_MS);
    assert_int_equal(process_wait(&other.process, 0), -1); // it stays
    daemons_kill(&daemons, LEARNER);
    daemons_start_one(&daemons, LEARNER, "run.mixed_numerics=refuse");
    const int status = process_wait(&other.process, WAIT_MS);
    SCOPED_MEM char *log = mem_printf("%s/other.log", ring.run);
    SCOPED_MEM char *said = file_text(log);
    const char *line = strstr(said, " error ");
    if (status != EXIT_STATUS_REFUSED || !line ||
        !strstr(line, "computes log-probabilities by 'backend=cpu kernels=1") ||
        !strstr(line, "run.mixed_numerics: tolerate takes such workers"))
        fail_msg("status %d:\n%s", status, said);
    ring_wait_rounds(&ring, ring_read(&ring).rounds + 3, WAIT_MS); // by the learner's own build
    process_kill(&daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&daemons, WAIT_MS), 0);
    ring_audit(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_build_before_drains_it),
        cmocka_unit_test(what_came_after_the_checkpoint_is_given_up),
        cmocka_unit_test(a_generator_of_another_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
