/* Programs that mean harm, at each level that this machine gives: as the user that runs the tests,
 * and as a pod under restricted security has it. Every one is really run, within small limits. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "rewarder/sandbox/sandbox.h"
#include "svc/cell.h"
#include "testing/testing.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its programs are found by this word in their command lines. */
static char mark[64];
static const char *directory;

static struct sandbox_result run_for(enum sandbox_level level, const char *script,
                                     struct sandbox_orders orders, double seconds)
{
    const char *const argv[] = {"python3", "-c", script, mark, NULL};
    const struct sandbox_input input = {
        .text = "hello", .len = 5, .deadline_s = clock_s() + seconds};
    struct sandbox_result result = {0};
    orders.level = level;
    orders.argv = argv;
    assert_ok(sandbox_run(&orders, &input, &result));
    return result;
}

static void assert_result(struct sandbox_result result, enum sandbox_fate fate, const char *part)
{
    if (result.fate != fate || !strstr(result.why, part))
        fail_msg("fate %d, why \"%s\"; not %d, \"%s\"", result.fate, result.why, fate, part);
    sandbox_result_done(&result);
}

/* Processes with the mark, but for this one. */
static int count_marked(void)
{
    int count = 0;
    SCOPED_VALUE(file_names) names = {0};
    assert_ok(file_names("/proc", &names));
    for (size_t i = 0; i < names.count; i++) {
        char text[4096] = "";
        SCOPED_MEM char *path = mem_printf("/proc/%s/cmdline", names.at[i]);
        SCOPED_FD fd = strtol(names.at[i], NULL, 10) > 0 ? open(path, O_RDONLY) : -1;
        const ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text);
        count += len > 0 && memmem(text, (size_t)len, mark, strlen(mark)) != NULL;
    }
    return count;
}

/* Nothing of the programs is left: neither processes nor files. */
static void assert_nothing_left(void)
{
    SCOPED_VALUE(file_names) names = {0};
    assert_int_equal(count_marked(), 0);
    assert_ok(file_names(directory, &names));
    assert_int_equal(names.count, 0);
}

/* ---- one level at a time */

static enum sandbox_level at;

static void a_program_reads_and_writes(void **)
{
    struct sandbox_result result =
        run_for(at, "import sys; print(sys.stdin.read().upper()); open('f', 'w').write('x')",
                (struct sandbox_orders){0}, 20);
    assert_string_equal((char *)result.out.data, "HELLO\n");
    assert_result(result, SANDBOX_EXITED, "status 0");
    assert_result(run_for(at, "import os; os.kill(os.getpid(), 9)", (struct sandbox_orders){0}, 20),
                  SANDBOX_SIGNALLED, "signal 9");
    assert_result(run_for(at, "raise SystemExit('the reason')", (struct sandbox_orders){0}, 20),
                  SANDBOX_EXITED, "status 1; its last words: the reason");
    const char *const argv[] = {"no-such-program", NULL};
    const struct sandbox_orders orders = {.level = at, .argv = argv};
    const struct sandbox_input input = {.deadline_s = clock_s() + 20};
    SCOPED_VALUE(sandbox_result) none = {0};
    assert_err(ERR_UNAVAILABLE, "cannot start 'no-such-program'",
               sandbox_run(&orders, &input, &none));
    assert_nothing_left();
}

static void a_fork_bomb(void **)
{
    const char *script = "import os, time\nwhile True:\n  try: os.fork()\n"
                         "  except OSError: time.sleep(0.01)\n";
    assert_result(run_for(at, script, (struct sandbox_orders){.processes = 16}, 20),
                  SANDBOX_LIMITED, "processes: ");
    const char *threads = "import threading, time\nfor i in range(1000):\n"
                          "  threading.Thread(target=time.sleep, args=(9,)).start()\n";
    struct sandbox_result result =
        run_for(at, threads, (struct sandbox_orders){.processes = 16}, 20);
    assert_true(result.fate == SANDBOX_LIMITED || strstr(result.why, "can't start new thread"));
    sandbox_result_done(&result);
    assert_nothing_left();
}

static void memory(void **)
{
    const struct sandbox_orders orders = {.memory_bytes = 100000000};
    assert_result(run_for(at, "bytearray(10 ** 9)", orders, 20), SANDBOX_EXITED, "MemoryError");
    const char *shared = "import mmap\nm = mmap.mmap(-1, 10 ** 9)\n"
                         "for i in range(0, 10 ** 9, 4096): m[i] = 1\n";
    assert_result(run_for(at, shared, orders, 20), SANDBOX_LIMITED, "memory: ");
    const char *children = "import os, time\nfor i in range(8):\n  if os.fork() == 0:\n"
                           "    x = bytearray(b'x') * 50000000; time.sleep(60)\ntime.sleep(60)\n";
    assert_result(run_for(at, children, orders, 20), SANDBOX_LIMITED, "memory: ");
    assert_nothing_left();
}

static void disk(void **)
{
    const struct sandbox_orders orders = {.disk_bytes = 10000000};
    const char *one = "open('f', 'wb').write(bytes(50000000))";
    struct sandbox_result result = run_for(at, one, orders, 20);
    assert_true(strstr(result.why, "File too large") || strstr(result.why, "No space left"));
    sandbox_result_done(&result);
    const char *many = "import time\nfor i in range(300):\n"
                       "  open(f'f{i}', 'wb').write(bytes(8000000)); time.sleep(0.02)\n";
    result = run_for(at, many, orders, 20);
    assert_true(strstr(result.why, "disk: ") || strstr(result.why, "No space left"));
    sandbox_result_done(&result);
    const char *hidden = "import os\nos.makedirs('a/b/c')\nopen('a/b/c/f', 'w').write('x')\n"
                         "for d in ('a/b/c', 'a/b', 'a'): os.chmod(d, 0)\n";
    assert_result(run_for(at, hidden, orders, 20), SANDBOX_EXITED, "status 0");
    const char *deep = "import os\nfor i in range(600): os.mkdir('d' * 100); os.chdir('d' * 100)\n";
    result = run_for(at, deep, orders, 20);
    sandbox_result_done(&result);
    assert_nothing_left();
}

static void nothing_outside(void **)
{
    static const char *const scripts[] = {
        "import socket; socket.socket()",
        "import socket; socket.socket(socket.AF_UNIX)",
        "open('/tmp/rlhfd-drill', 'w')",
        "open('/etc/shadow')",
        "import os; os.symlink('/etc/shadow', 'l'); open('l')",
        "import os; os.kill(os.getppid(), 9)",
        "import os; open(f'/proc/{os.getppid()}/mem', 'rb')",
        "import os; open(f'/proc/{os.getppid()}/environ', 'rb').read()",
        "import os; os.setpriority(os.PRIO_USER, 0, 5)",
        "import os; os.sched_setaffinity(os.getppid(), {0})",
        "import ctypes, os; l = ctypes.CDLL(None, use_errno=True)\n"
        "if l.ptrace(16, os.getppid(), 0, 0): raise PermissionError(l)",
        "import ctypes, os; l = ctypes.CDLL(None, use_errno=True)\n"
        "if l.unshare(0x10000000): raise PermissionError(l)",
        "import ctypes, os; l = ctypes.CDLL(None, use_errno=True)\n"
        "if l.mount(b't', b'.', b'tmpfs', 0, 0): raise PermissionError(l)",
    };
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        assert_result(run_for(at, scripts[i], (struct sandbox_orders){0}, 20), SANDBOX_EXITED,
                      "PermissionError");
    const char *keys = "import os; assert not [k for k in os.environ if 'SECRET' in k]; "
                       "assert not [f for f in os.listdir('/proc/self/fd') if int(f) > 3]";
    setenv("SECRET_KEY", "x", 1);
    assert_result(run_for(at, keys, (struct sandbox_orders){0}, 20), SANDBOX_EXITED, "status 0");
    const char *fine = "import asyncio, subprocess\nasyncio.run(asyncio.sleep(0))\n"
                       "subprocess.run(['true'], check=True)\n";
    assert_result(run_for(at, fine, (struct sandbox_orders){0}, 20), SANDBOX_EXITED, "status 0");
    assert_nothing_left();
}

static void much_output(void **)
{
    const char *script = "for i in range(10 ** 6): print('a line of output', i)";
    assert_result(run_for(at, script, (struct sandbox_orders){0}, 20), SANDBOX_LIMITED,
                  "wrote more than 1048576 bytes");
    const char *errors =
        "import sys\nsys.stderr.write('\\n'.join(f'noise {i}' for i in range(10 ** 6)))";
    assert_result(run_for(at, errors, (struct sandbox_orders){0}, 60), SANDBOX_EXITED,
                  "noise 999999");
    assert_nothing_left();
}

static void who_ignores_sigterm(void **)
{
    const char *script = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                         "if os.fork() == 0: time.sleep(1000)\ntime.sleep(1000)";
    const double began_s = clock_s();
    assert_result(run_for(at, script, (struct sandbox_orders){0}, 0.5), SANDBOX_LATE, "in time");
    assert_true(clock_s() - began_s < 5);
    const char *orphan =
        "import os, time\nif os.fork() == 0:\n  if os.fork() == 0: time.sleep(1000)\n";
    assert_result(run_for(at, orphan, (struct sandbox_orders){0}, 20), SANDBOX_EXITED, "status 0");
    const char *quiet =
        "import os, time\nif os.fork() == 0:\n  os.closerange(0, 3)\n  time.sleep(1000)\n";
    assert_result(run_for(at, quiet, (struct sandbox_orders){0}, 20), SANDBOX_EXITED, "status 0");
    assert_result(run_for(at, "while True: pass", (struct sandbox_orders){.cpu_s = 1}, 20),
                  SANDBOX_SIGNALLED, "");
    assert_nothing_left();
}

static void lines(void **)
{
    const char *script = "import sys, time\nfor line in sys.stdin:\n"
                         "  if line == 'two\\n': print('a\\nb', flush=True)\n"
                         "  elif line == 'end\\n': sys.exit('enough')\n"
                         "  elif line == 'long\\n': print('x' * 100000, flush=True)\n"
                         "  elif line == 'wait\\n': time.sleep(100)\n"
                         "  else: print(line.strip()[::-1], flush=True)\n";
    const char *const argv[] = {"python3", "-c", script, mark, NULL};
    const struct sandbox_orders orders = {.level = at, .argv = argv};
    static const struct {
        const char *text, *part;
        enum err_code code;
    } rows[] = {{"two", "more than the one line", ERR_UNAVAILABLE},
                {"end", "status 1; its last words: enough", ERR_UNAVAILABLE},
                {"long", "more than 1000 bytes", ERR_RANGE},
                {"wait", "no answer in time", ERR_DEADLINE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SCOPED_VALUE(bytes) got = {0};
        SCOPED(sandbox) sandbox = NULL;
        assert_ok(sandbox_start(&orders, &sandbox));
        struct sandbox_line line = {"abc", 3, 1000, clock_s() + 20, NULL};
        for (int k = 0; k < 3; k++) {
            assert_ok(sandbox_ask(sandbox, &line, &got));
            assert_string_equal((char *)got.data, "cba");
        }
        line.text = rows[i].text;
        line.len = strlen(rows[i].text);
        line.deadline_s = clock_s() + (rows[i].code == ERR_DEADLINE ? 0.3 : 20);
        assert_err(rows[i].code, rows[i].part, sandbox_ask(sandbox, &line, &got));
        assert_err(ERR_UNAVAILABLE, "ended", sandbox_ask(sandbox, &line, &got));
    }
    assert_nothing_left();
}

static void one_that_leaves(void **)
{
    const char *const argv[] = {"cat", mark, "-", NULL};
    const char *const reads[] = {"python3", "-c", "import sys; sys.stdin.read()", mark, NULL};
    const struct sandbox_orders gone = {.level = at, .argv = argv},
                                good = {.level = at, .argv = reads};
    SCOPED_VALUE(bytes) got = {0};
    SCOPED(sandbox) sandbox = NULL;
    SCOPED(sandbox) other = NULL;
    struct cell stop = {0};
    assert_ok(sandbox_start(&good, &sandbox));
    const double began_s = clock_s();
    sandbox_leave(sandbox, 20000);
    assert_true(clock_s() - began_s < 10);
    assert_ok(sandbox_start(&gone, &other));
    cell_set(&stop, 1);
    const struct sandbox_line line = {"x", 1, 10, clock_s() + 20, &stop};
    assert_err(ERR_CANCELLED, "stopped", sandbox_ask(other, &line, &got));
    assert_nothing_left();
}

/* ---- levels */

static int run_level(enum sandbox_level level, const char *name)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_reads_and_writes),
        cmocka_unit_test(a_fork_bomb),
        cmocka_unit_test(memory),
        cmocka_unit_test(disk),
        cmocka_unit_test(nothing_outside),
        cmocka_unit_test(much_output),
        cmocka_unit_test(who_ignores_sigterm),
        cmocka_unit_test(lines),
        cmocka_unit_test(one_that_leaves),
    };
    at = level;
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

static int run_levels(enum sandbox_level expected, const char *who)
{
    enum sandbox_level highest;
    SCOPED_MEM char *why = NULL;
    int failed = 0;
    err_t probed = sandbox_probe(&highest, &why);
    if (err_failed(probed)) {
        printf("%s: %s\n", who, err_message(probed));
        err_free(probed);
        return 1;
    }
    printf("%s: %s %s\n", who, sandbox_level_name(highest), why);
    for (int level = (int)highest; level > SANDBOX_NONE; level--) {
        SCOPED_MEM char *name =
            mem_printf("%s, %s", who, sandbox_level_name((enum sandbox_level)level));
        failed += run_level((enum sandbox_level)level, name);
    }
    return failed + (expected == SANDBOX_RESTRICTED && highest != expected);
}

/* What a pod under restricted security has: a user of its own, no capability, and a profile that
 * denies mounts and namespaces. */
static void become_a_pod(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 8, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setns, 7, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 6, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_umount2, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x7e020000, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    const struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (geteuid() == 0) {
        for (int i = 0; i <= 63; i++)
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
        if (setgroups(0, NULL) || setresgid(10001, 10001, 10001) || setresuid(10001, 10001, 10001))
            exit(1);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        exit(1);
}

static int run_as_pod(void)
{
    int status = 1;
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        become_a_pod();
        exit(run_levels(SANDBOX_RESTRICTED, "a pod"));
    }
    waitpid(pid, &status, 0);
    return status != 0;
}

/* Where any user may run it. */
static void bring_program(void)
{
    const char *bin = testing_directory();
    char *to = testing_path(bin, "rlhfd-sandbox");
    assert_ok(file_copy(TEST_BIN "/rlhfd-sandbox", to));
    chmod(bin, 0755);
    chmod(to, 0755);
    setenv("RLHFD_BIN", bin, 1);
}

int main(void)
{
    if (!TESTING_SANDBOX) {
        puts("skipped: no sandbox holds a sanitizer's shadow memory");
        return 77;
    }
    bring_program();
    directory = testing_directory();
    chmod(directory, 0777);
    setenv("TMPDIR", directory, 1);
    snprintf(mark, sizeof mark, "rlhfd-drill-%d", (int)getpid());
    return run_levels(SANDBOX_STRONG, geteuid() == 0 ? "root" : "this user") + run_as_pod();
}
