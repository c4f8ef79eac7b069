#include "sandbox/trial.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Each returns whether it was denied. */
static bool no_new_rights(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static bool no_root(void)
{
    return getuid() != 0 && geteuid() != 0;
}

static bool no_file_outside(void)
{
    return open("/tmp/rlhfd-sandbox-trial", O_CREAT | O_WRONLY, 0600) < 0 &&
           open("../rlhfd-sandbox-trial", O_CREAT | O_WRONLY, 0600) < 0;
}

static bool no_link_outside(void)
{
    return symlink("/etc/hostname", "link") < 0 || open("link", O_RDONLY) < 0;
}

static bool no_tracing(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0;
}

static bool no_signal(void)
{
    return kill(getppid(), SIGCONT) < 0;
}

static bool no_limits_of_others(void)
{
    const struct rlimit to = {64, 64};
    return prlimit(getppid(), RLIMIT_NOFILE, &to, NULL) < 0;
}

static bool no_namespace(void)
{
    return unshare(CLONE_NEWUSER) < 0;
}

static bool no_namespace_by_clone(void)
{
    const long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return pid < 0;
}

static bool no_mount(void)
{
    return mount("tmpfs", "/tmp", "tmpfs", 0, NULL) < 0;
}

static bool no_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0 && socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static bool pairs_of_sockets(void)
{
    int ends[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0;
}

static bool a_file_inside(void)
{
    return open("file", O_CREAT | O_WRONLY, 0600) >= 0;
}

static const struct {
    const char *name;
    bool (*holds)(void);
} rows[] = {
    {"new privileges", no_new_rights},
    {"the user root", no_root},
    {"a file outside its directory", no_file_outside},
    {"a file by a symbolic link", no_link_outside},
    {"tracing", no_tracing},
    {"signals to others", no_signal},
    {"limits of others", no_limits_of_others},
    {"a namespace", no_namespace},
    {"a namespace by clone", no_namespace_by_clone},
    {"a mount", no_mount},
    {"sockets", no_socket},
    {"the lack of pairs of sockets", pairs_of_sockets},
    {"the lack of its directory", a_file_inside},
};

int trial_run(void)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!rows[i].holds()) {
            fprintf(stderr, "%s%s", failed++ ? ", " : "not denied: ", rows[i].name);
        }
    if (failed)
        fprintf(stderr, "\n");
    return failed != 0;
}
