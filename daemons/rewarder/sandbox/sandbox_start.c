#include "rewarder/sandbox/sandbox_start.h"
#include "base/env.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 256 };

const char *sandbox_level_name(enum sandbox_level level)
{
    static const char *const names[] = {"none", "restricted", "strong"};
    return names[level];
}

/* rlhfd-sandbox is beside this program, or in the directory of $RLHFD_BIN: tests are elsewhere. */
static char *program_path(void)
{
    const char *directory = getenv("RLHFD_BIN");
    if (directory && *directory)
        return mem_printf("%s/rlhfd-sandbox", directory);
    char self[4096];
    const ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = 0;
    char *slash = strrchr(self, '/');
    return mem_printf("%.*s/rlhfd-sandbox", slash ? (int)(slash - self) : 0, self);
}

/* A new directory, which rlhfd-sandbox removes. */
static err_t make_work(char **ret)
{
    const char *parent = getenv("TMPDIR");
    uint64_t name;
    if (env()->random(&name, sizeof name) != sizeof name)
        return err_errno(errno, "no randomness");
    SCOPED_MEM char *path =
        mem_printf("%s/rlhfd-sandbox-%016llx", parent && *parent == '/' ? parent : "/tmp",
                   (unsigned long long)name);
    if (env()->make_directory(path, 0700))
        return err_errno(errno, "cannot make '%s'", path);
    *ret = STEAL(path);
    return OK;
}

/* ---- the command line */

struct words {
    char *at[ARGUMENTS_MAX + 1];
    size_t count;
};

static void words_done(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        mem_free(words->at[i]);
}

/* Words beyond the limit are seen at the end. Takes text. */
static void add(struct words *words, char *text)
{
    if (words->count < ARGUMENTS_MAX)
        words->at[words->count++] = text;
    else
        mem_free(text);
}

static void add_number(struct words *words, const char *name, uint64_t value)
{
    if (!value)
        return;
    add(words, mem_string(name));
    add(words, mem_printf("%llu", (unsigned long long)value));
}

static err_t write_words(const struct sandbox_orders *orders, const char *program, const char *work,
                         struct words *ret)
{
    add(ret, mem_string(program));
    add(ret, mem_string("--level"));
    add(ret, mem_string(sandbox_level_name(orders->level)));
    add(ret, mem_string("--report"));
    add(ret, mem_string("3"));
    add(ret, mem_string("--work"));
    add(ret, mem_string(work));
    for (size_t i = 0; i < orders->read_count; i++) {
        add(ret, mem_string("--read"));
        add(ret, mem_string(orders->read[i]));
    }
    add_number(ret, "--parent", (uint64_t)getpid());
    add_number(ret, "--memory", orders->memory_bytes);
    add_number(ret, "--disk", orders->disk_bytes);
    add_number(ret, "--processes", (uint64_t)orders->processes);
    add_number(ret, "--cpu", (uint64_t)orders->cpu_s);
    if (orders->network)
        add(ret, mem_string("--network"));
    add(ret, mem_string("--"));
    for (size_t i = 0; orders->argv[i]; i++)
        add(ret, mem_string(orders->argv[i]));
    return ret->count < ARGUMENTS_MAX
               ? OK
               : err_new(ERR_INVALID, "a command of %d words or more", ARGUMENTS_MAX);
}

/* ---- the process */

enum { PIPES = 4 };

/* posix_spawn neither copies our memory nor runs handlers of a fork, which gRPC's threads would
 * not stand. */
static int spawn(const struct words *words, int theirs[PIPES], bool inherits, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all;
    static char *const nothing[] = {NULL};
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP); // Ctrl-C is ours alone
    posix_spawnattr_setsigmask(&attributes, &all); // the watch takes them once it can clean up
    posix_spawnattr_setsigdefault(&attributes, &all);
    for (int i = 0; i < PIPES; i++)
        posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
    const int failed = posix_spawn(ret, words->at[0], &actions, &attributes, (char **)words->at,
                                   inherits ? environ : nothing);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static void close_all(int fd[PIPES])
{
    for (int i = 0; i < PIPES; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

/* Their ends are above those numbers that they get: no copy falls on another. */
static int make_pipes(int ours[PIPES], int theirs[PIPES])
{
    for (int i = 0; i < PIPES; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC))
            return errno;
        const int reads = i == 0; // standard input is what they read
        ours[i] = ends[reads];
        theirs[i] = fcntl(ends[!reads], F_DUPFD_CLOEXEC, 16);
        close(ends[!reads]);
        if (theirs[i] < 0 || fcntl(ours[i], F_SETFL, O_NONBLOCK))
            return errno;
    }
    return 0;
}

static err_t start_process(const struct words *words, bool inherits, struct sandbox *sandbox)
{
    int ours[PIPES] = {-1, -1, -1, -1}, theirs[PIPES] = {-1, -1, -1, -1};
    int failed = make_pipes(ours, theirs);
    if (!failed)
        failed = spawn(words, theirs, inherits, &sandbox->pid);
    close_all(theirs);
    if (failed) {
        close_all(ours);
        return err_errno(failed, "cannot start '%s'", words->at[0]);
    }
    sandbox->in = ours[0];
    sandbox->out = ours[1];
    sandbox->err = ours[2];
    sandbox->report = ours[3];
    return OK;
}

err_t sandbox_start(const struct sandbox_orders *orders, struct sandbox **ret)
{
    SCOPED_MEM char *program = program_path(), *work = NULL;
    SCOPED_VALUE(words) words = {0};
    struct sandbox *sandbox = mem_new(sizeof *sandbox);
    *sandbox = (struct sandbox){.in = -1, .out = -1, .err = -1, .report = -1};
    err_t failed = make_work(&work);
    if (!err_failed(failed))
        failed = write_words(orders, program, work, &words);
    if (!err_failed(failed))
        failed = start_process(&words, orders->level == SANDBOX_NONE, sandbox);
    if (err_failed(failed)) {
        if (work)
            env()->remove(work);
        mem_free(sandbox);
        return failed;
    }
    *ret = sandbox;
    return OK;
}
