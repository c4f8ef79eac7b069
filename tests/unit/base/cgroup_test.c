#include "base/cgroup.h"
#include "base/cpus.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/testing.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* One directory for all: testing_directory makes a new one each time. */
static const char *place(void)
{
    static const char *directory;
    if (!directory)
        directory = testing_directory();
    return directory;
}

static void put(const char *path, const char *text)
{
    SCOPED_MEM char *whole = mem_printf("%s/%s", place(), path);
    SCOPED_MEM char *directory = mem_string(whole);
    *strrchr(directory, '/') = 0;
    assert_ok(file_make_directories(directory));
    assert_ok(file_write(whole, text, strlen(text)));
}

static struct cgroup limits_of(const char *root, const char *self)
{
    struct cgroup limits;
    SCOPED_MEM char *whole = mem_printf("%s/%s", place(), root);
    cgroup_read_at(whole, self, &limits);
    return limits;
}

static void the_lowest_limit_of_version_2_counts(void **)
{
    put("two/pods/cpu.max", "400000 100000\n");
    put("two/pods/memory.max", "1073741824\n");
    put("two/pods/a/cpu.max", "150000 100000\n");
    put("two/pods/a/memory.max", "max\n");
    put("two/pods/b/cpu.max", "max 100000\n");
    put("two/pods/b/memory.max", "4294967296\n");
    struct cgroup a = limits_of("two", "0::/pods/a\n");
    assert_near(a.cpus, 1.5, 0);
    assert_int_equal(a.memory_bytes, 1 << 30);
    assert_non_null(strstr(a.memory_file, "two/pods/memory.max"));
    struct cgroup b = limits_of("two", "0::/pods/b\n");
    assert_near(b.cpus, 4, 0);
    assert_int_equal(b.memory_bytes, 1 << 30);
    struct cgroup other = limits_of("two", "0::/\n");
    assert_true(other.cpus == 0 && other.memory_bytes == 0);
    put("two/cpu.max", "50000 100000\n"); // a namespace's own, at the root of what is mounted
    assert_near(limits_of("two", "0::/of/the/host\n").cpus, 0.5, 0);
    assert_near(limits_of("two", "0::/../../x\n").cpus, 0.5, 0);
}

static void version_1_beside_it(void **)
{
    put("one/cpu,cpuacct/x/cpu.cfs_quota_us", "250000\n");
    put("one/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    put("one/memory/x/memory.limit_in_bytes", "268435456\n");
    put("one/memory/memory.limit_in_bytes", "9223372036854771712\n");
    struct cgroup x =
        limits_of("one", "12:pids:/x\n4:cpu,cpuacct:/x\n3:memory:/x\n1:name=systemd:/\n0::/\n");
    assert_near(x.cpus, 2.5, 0);
    assert_int_equal(x.memory_bytes, 256 << 20);
    struct cgroup none = limits_of("one", "3:memory:/\n");
    assert_int_equal(none.memory_bytes, 0); // about 2^63: no limit
    put("one/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
    assert_true(limits_of("one", "4:cpu,cpuacct:/x\n").cpus == 0);
}

/* Nonsense limits nothing, and nothing is read outside of what a line names. */
static void files_that_say_something_else(void **)
{
    static const char *const texts[] = {"",
                                        "\n",
                                        "x",
                                        "-5 100000",
                                        "5 0",
                                        "5 -1",
                                        "1e9 nothing",
                                        "0 100",
                                        "99999999999999999999 1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("bad/cpu.max", texts[i]);
        put("bad/memory.max", i == 7 ? "-1" : "lots");
        struct cgroup limits = limits_of("bad", "0::/\nnonsense\n::\n:\n0::\n9:cpu\n");
        assert_true(limits.cpus == 0 || strcmp(texts[i], "1e9 nothing") == 0);
        assert_int_equal(limits.memory_bytes, 0);
    }
}

static void threads_and_memory_follow(void **)
{
    SCOPED_MEM char *root = mem_printf("%s/root", place());
    cpu_set_t usable;
    assert_int_equal(sched_getaffinity(getpid(), sizeof usable, &usable), 0);
    const int cores = CPU_COUNT(&usable);
    put("root/cpu.max", "max 100000");
    setenv("RLHFD_CGROUP_ROOT", root, 1);
    assert_int_equal(cpus_threads(-1), 1);
    assert_int_equal(cpus_threads(3), 3);
    put("root/cpu.max", "150000 100000");
    assert_int_equal(cpus_threads(-1), cores < 2 ? cores : 2); // rounded up
    assert_int_equal(cpus_threads(5), 5);
    put("root/cpu.max", "102400000 100000");
    assert_int_equal(cpus_threads(-1), cores < 1024 ? cores : 1024);
    put("root/cpu.max", "1000 100000");
    assert_int_equal(cpus_threads(-1), 1);

    put("root/memory.max", "1048576");
    assert_ok(cgroup_fits(1 << 20, "weights"));
    err_t failed = cgroup_fits(3 << 20, "weights");
    assert_int_equal(err_code(failed), ERR_EXHAUSTED);
    assert_non_null(strstr(err_message(failed), "weights take 3 MiB"));
    assert_non_null(strstr(err_message(failed), "root/memory.max' allows the process 1 MiB"));
    err_free(failed);
    put("root/memory.max", "max");
    assert_ok(cgroup_fits(UINT64_MAX, "weights"));
    unsetenv("RLHFD_CGROUP_ROOT");
}

/* ---- the kernel's own */

static bool write_in(const char *directory, const char *file, const char *text)
{
    SCOPED_MEM char *path = mem_printf("%s/%s", directory, file);
    FILE *out = fopen(path, "w");
    if (!out)
        return false;
    const bool written = fputs(text, out) >= 0;
    return fclose(out) == 0 && written;
}

/* A group with these limits, of which the calling process becomes a member. False: not here, or not
 * allowed. */
static bool enter_group(char *const directories[2])
{
    const char *cpu = directories[0], *memory = directories[1];
    char self[16];
    snprintf(self, sizeof self, "%d", (int)getpid());
    if (strcmp(cpu, memory) == 0)
        return write_in(cpu, "cpu.max", "150000 100000") &&
               write_in(memory, "memory.max", "314572800") && write_in(cpu, "cgroup.procs", self);
    return write_in(cpu, "cpu.cfs_quota_us", "150000") &&
           write_in(memory, "memory.limit_in_bytes", "314572800") &&
           write_in(cpu, "cgroup.procs", self) && write_in(memory, "cgroup.procs", self);
}

enum { IN_GROUP = 40, NO_GROUP = 41, OTHER_LIMITS = 42 };

static int look_inside(char *const directories[2])
{
    struct cgroup limits;
    if (!enter_group(directories))
        return NO_GROUP;
    cgroup_read(&limits);
    return limits.cpus == 1.5 && limits.memory_bytes == 314572800 ? IN_GROUP : OTHER_LIMITS;
}

static void a_group_of_the_kernel(void **)
{
    const bool two = file_exists("/sys/fs/cgroup/cgroup.controllers");
    SCOPED_MEM char *cpu =
        mem_printf("/sys/fs/cgroup/%srlhfd-%d", two ? "" : "cpu/", (int)getpid());
    SCOPED_MEM char *memory =
        mem_printf("/sys/fs/cgroup/%srlhfd-%d", two ? "" : "memory/", (int)getpid());
    char *const directories[2] = {cpu, memory};
    if (mkdir(cpu, 0755) || (!two && mkdir(memory, 0755))) {
        rmdir(cpu);
        skip();
    }
    const pid_t pid = fork();
    if (pid == 0)
        _exit(look_inside(directories));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    rmdir(cpu);
    rmdir(memory);
    if (WEXITSTATUS(status) == NO_GROUP)
        skip();
    assert_int_equal(WEXITSTATUS(status), IN_GROUP);
}

TESTS(cmocka_unit_test(a_group_of_the_kernel),
      cmocka_unit_test(the_lowest_limit_of_version_2_counts), cmocka_unit_test(version_1_beside_it),
      cmocka_unit_test(files_that_say_something_else), cmocka_unit_test(threads_and_memory_follow))
