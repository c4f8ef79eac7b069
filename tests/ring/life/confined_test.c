/* Daemons in a container's limits: threads follow the CPU quota, memory that does not fit is told,
 * only the addresses that a daemon uses count, the log is JSON. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/exit_status.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { WAIT_MS = 60000 };
static const char *const programs[] = {"rlhfd-learner", "rlhfd-rewarder", "rlhfd-generator"};
static const char *const sections[] = {"learner", "rewarder", "generator"};

/* A root of control groups with these files. */
static void confine(const struct ring *ring, const char *cpu, const char *memory)
{
    SCOPED_MEM char *root = file_join(ring->directory, "cgroup");
    SCOPED_MEM char *cpu_file = file_join(root, "cpu.max");
    SCOPED_MEM char *memory_file = file_join(root, "memory.max");
    assert_ok(file_make_directories(root));
    assert_ok(file_write(cpu_file, cpu, strlen(cpu)));
    assert_ok(file_write(memory_file, memory, strlen(memory)));
    setenv("RLHFD_CGROUP_ROOT", root, 1);
}

/* Threads of a process with this name. */
static int threads_named(pid_t pid, const char *name)
{
    SCOPED_MEM char *path = mem_printf("/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    int count = 0;
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        SCOPED_MEM char *comm = mem_printf("%s/%s/comm", path, entry->d_name);
        SCOPED_MEM char *text = file_text(comm);
        count += strncmp(text, name, strlen(name)) == 0;
    }
    closedir(tasks);
    return count;
}

static int scoring_threads(const struct ring *ring, const char *settings)
{
    struct daemons d = daemons_start(ring, settings);
    const int count = threads_named(d.process[REWARDER].pid, "score");
    ring_wait_rounds(ring, 1, WAIT_MS);
    for (int kind = GENERATOR; kind >= LEARNER; kind--)
        daemons_kill(&d, (enum daemon_kind)kind);
    return count;
}

/* On a machine of one core, or where this process may use but one, no quota gives two. */
static void threads_follow_the_quota(void **)
{
    cpu_set_t usable;
    assert_int_equal(sched_getaffinity(0, sizeof usable, &usable), 0);
    const int most = CPU_COUNT(&usable) < 2 ? 1 : 2;
    const struct ring_options options = {
        .rounds = 100000,
        .groups = 8,
        .lag = 1,
        .scorers = "[{kind: regex, pattern: 'a', name: r}, {kind: exact, column: completion}]"};
    struct ring two = ring_prepare(&options);
    confine(&two, "101000 100000", "max");
    assert_int_equal(scoring_threads(&two, ""), most);
    struct ring three = ring_prepare(&options);
    assert_int_equal(scoring_threads(&three, "rewarder.threads=3"), 3);
    struct ring one = ring_prepare(&options);
    confine(&one, "max 100000", "max");
    assert_int_equal(scoring_threads(&one, ""), 1);
    unsetenv("RLHFD_CGROUP_ROOT");
}

static void memory_that_does_not_fit_is_told(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 4, .lag = 0});
    confine(&ring, "max 100000", "4096");
    static const int confined[] = {LEARNER, GENERATOR};
    for (int i = 0; i < 2; i++) {
        SCOPED_MEM char *listen = mem_printf("%s.listen=127.0.0.1:0", sections[confined[i]]);
        char *output;
        const int status = process_run(&output, WAIT_MS, programs[confined[i]], ring.recipe,
                                       "--run", ring.run, "--set", listen, NULL);
        if (status != EXIT_STATUS_RESOURCES || !strstr(output, " MiB of memory, and '") ||
            !strstr(output, "cgroup/memory.max' allows the process 0 MiB"))
            fail_msg("%s: status %d: %s", programs[confined[i]], status, output);
        free(output);
    }
    unsetenv("RLHFD_CGROUP_ROOT");
}

/* ---- addresses */

/* Addresses that are of no use to a daemon are any; its own, and its peers', must be right. */
static void a_daemon_demands_its_own_addresses(void **)
{
    static const struct {
        enum daemon_kind kind;
        const char *set;
        bool matters;
    } cases[] = {
        {LEARNER, "learner.listen=0.0.0.0:7003", true},
        {LEARNER, "generator.listen=0.0.0.0:7001", false},
        {LEARNER, "rewarder.listen=10.1.2.3:65530", false},
        {LEARNER, "generator.learner=learner:0", false},
        {REWARDER, "rewarder.metrics=0.0.0.0:7202", true},
        {REWARDER, "rewarder.learner=learner:0", true},
        {REWARDER, "learner.listen=0.0.0.0:7003", false},
        {REWARDER, "generator.rewarder=x:0", false},
        {GENERATOR, "generator.listen=127.0.0.1:65500", true},
        {GENERATOR, "generator.rewarder=x:0", true},
        {GENERATOR, "generator.learner=x:0", true},
        {GENERATOR, "learner.listen=10.0.0.1:7003", false},
        {GENERATOR, "rewarder.learner=x:0", false},
    };
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 4, .lag = 0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* Without a model the start ends once the recipe is read; a rewarder needs none. */
        const bool rewarder = cases[i].kind == REWARDER;
        char *output;
        const int status =
            process_run(&output, WAIT_MS, programs[cases[i].kind], ring.recipe, "--set",
                        cases[i].set, "--set", "model.path=", "--run", ring.run,
                        rewarder ? "--job" : "--set", rewarder ? "check" : "run.seed=1", NULL);
        const bool passes = rewarder && !cases[i].matters;
        const char *says = cases[i].matters ? "--set: " : "model.path is not set";
        if (status != (passes ? 0 : EXIT_STATUS_USAGE) || (!passes && !strstr(output, says)))
            fail_msg("%s %s: status %d: %s", programs[cases[i].kind], cases[i].set, status, output);
        free(output);
    }
}

/* ---- logs */

static void assert_lines_are_json(const char *path, const char *event)
{
    SCOPED_MEM char *text = file_text(path);
    bool found = false;
    int lines = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        *end = 0;
        SCOPED_JSON json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(object) || !json_object_get(object, "event"))
            fail_msg("%s: '%s'", path, line);
        found |= strcmp(json_string_value(json_object_get(object, "event")), event) == 0;
    }
    if (!found || lines < 2)
        fail_msg("%s has %d lines and no '%s'", path, lines, event);
}

static void every_line_is_json(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 100000, .groups = 8, .lag = 1});
    struct daemons d = daemons_start(&ring, "log.format=json");
    ring_wait_rounds(&ring, 2, WAIT_MS);
    static const char *const events[] = {"training ended", "peer reached", "serving"};
    for (int kind = GENERATOR; kind >= LEARNER; kind--) {
        process_kill(&d.process[kind], SIGTERM);
        assert_int_equal(process_wait(&d.process[kind], WAIT_MS), 0);
        SCOPED_MEM char *path = mem_printf("%s/%s.log", ring.run, sections[kind]);
        assert_lines_are_json(path, events[kind]);
    }
}

/* The variable counts from the first line on, and says where. */
static void the_variable_says_form_and_place(void **)
{
    SCOPED_MEM char *out = mem_printf("%s/out", testing_directory());
    SCOPED_MEM char *command = mem_printf(
        "RLHFD_LOG=error,json,stdout %s/rlhfd-learner nothing.yaml > %s 2>/dev/null; test $? = %d",
        TEST_BIN, out, EXIT_STATUS_USAGE);
    assert_int_equal(process_run(NULL, WAIT_MS, "/bin/sh", "-c", command, NULL), 0);
    SCOPED_MEM char *text = file_text(out);
    SCOPED_JSON json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(object, "code")), "INVALID");
}

TESTS(cmocka_unit_test(threads_follow_the_quota),
      cmocka_unit_test(memory_that_does_not_fit_is_told),
      cmocka_unit_test(a_daemon_demands_its_own_addresses), cmocka_unit_test(every_line_is_json),
      cmocka_unit_test(the_variable_says_form_and_place))
