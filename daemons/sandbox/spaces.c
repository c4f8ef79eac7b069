#include "sandbox/spaces.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILES_IN_WORK = 16384 };

pid_t spaces_fork(const struct orders *orders)
{
    const unsigned long flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
                                CLONE_NEWUTS | (orders->network ? 0 : CLONE_NEWNET) | SIGCHLD;
    return (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
}

static err_t put(pid_t pid, const char *name, const char *text)
{
    SCOPED_MEM char *path = mem_printf("/proc/%d/%s", (int)pid, name);
    SCOPED_FD fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return err_errno(errno, "namespaces: cannot write %s", name);
    return OK;
}

/* Of all users the namespace has one: ours, or nobody where we are root. A user of the caller's own
 * may be mapped only where groups stay as they are. */
err_t spaces_map(const struct orders *orders, pid_t first)
{
    const unsigned user = orders->root ? NOBODY : geteuid();
    const unsigned group = orders->root ? NOBODY : getegid();
    SCOPED_MEM char *users = mem_printf("%u %u 1\n", user, user);
    SCOPED_MEM char *groups = mem_printf("%u %u 1\n", group, group);
    if (!orders->root)
        TRY(put(first, "setgroups", "deny"));
    TRY(put(first, "uid_map", users));
    return put(first, "gid_map", groups);
}

static err_t mount_own(const struct orders *orders, const char *at)
{
    SCOPED_MEM char *options = mem_printf("size=%llu,nr_inodes=%d,mode=0700",
                                          (unsigned long long)orders->disk_bytes, FILES_IN_WORK);
    if (mount("tmpfs", at, "tmpfs", MS_NOSUID | MS_NODEV, options))
        return err_errno(errno, "namespaces: cannot mount '%s'", at);
    return OK;
}

err_t spaces_enter(const struct orders *orders)
{
    if (orders->root && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
                         setresuid(NOBODY, NOBODY, NOBODY)))
        return err_errno(errno, "namespaces: cannot become uid %d", NOBODY);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return err_errno(errno, "namespaces: mounts");
    TRY(mount_own(orders, orders->work));
    if (access("/dev/shm", F_OK) == 0)
        TRY(mount_own(orders, "/dev/shm"));
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        return err_errno(errno, "namespaces: cannot mount '/proc'");
    return OK;
}
