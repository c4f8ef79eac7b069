#include "sandbox/control_group.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLACK = 8, TEXT = 4096 };

static bool read_text(const char *directory, const char *name, char ret[TEXT])
{
    SCOPED_MEM char *path = mem_printf("%s/%s", directory, name);
    SCOPED_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t len = fd < 0 ? -1 : read(fd, ret, TEXT - 1);
    ret[len > 0 ? len : 0] = 0;
    return len > 0;
}

static bool write_number(const char *directory, const char *name, uint64_t value)
{
    char text[32];
    SCOPED_MEM char *path = mem_printf("%s/%s", directory, name);
    SCOPED_FD fd = open(path, O_WRONLY | O_CLOEXEC);
    const int len = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return fd >= 0 && write(fd, text, (size_t)len) == len;
}

/* The path of our own group for a controller of version 1, or of version 2 ("") . */
static char *own_group(const char *controller)
{
    char text[TEXT];
    if (!read_text("/proc/self", "cgroup", text))
        return NULL;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path = 0;
        if (strcmp(names + 1, controller) == 0)
            return mem_string(path + 1);
    }
    return NULL;
}

static char *make_in(const char *parent)
{
    SCOPED_MEM char *path = mem_printf("%s/rlhfd-sandbox-%d", parent, (int)getpid());
    return mkdir(path, 0755) && errno != EEXIST ? NULL : STEAL(path);
}

/* In our group's directory, or in the mount's where a container sees its own alone. */
static char *make_first(const char *controller)
{
    SCOPED_MEM char *own = own_group(controller);
    SCOPED_MEM char *mount = mem_printf("/sys/fs/cgroup/%s", controller);
    SCOPED_MEM char *inside = own ? mem_printf("%s%s", mount, own) : NULL;
    if (!own)
        return NULL;
    return make_in(access(inside, F_OK) == 0 ? inside : mount);
}

static bool has_file(const char *directory, const char *name)
{
    SCOPED_MEM char *path = mem_printf("%s/%s", directory, name);
    return access(path, W_OK) == 0;
}

/* A group with processes of its own gives no controllers on: ours has us, so its parent comes
 * next. */
static char *make_second(void)
{
    SCOPED_MEM char *own = own_group("");
    SCOPED_MEM char *at = own ? mem_printf("/sys/fs/cgroup%s", own) : NULL;
    for (int up = 0; at && up < 2; up++) {
        char *made = make_in(at);
        if (made && has_file(made, "memory.max") && has_file(made, "pids.max"))
            return made;
        if (made)
            rmdir(made);
        mem_free(made);
        char *slash = strrchr(at, '/');
        if (!slash || slash - at < (long)strlen("/sys/fs/cgroup"))
            break;
        *slash = 0;
    }
    return NULL;
}

static bool set_limits(const struct control_group *b, const struct orders *orders)
{
    const uint64_t bytes = orders->memory_bytes + orders->disk_bytes; // files are in memory
    if (b->second)
        write_number(b->memory, "memory.swap.max", 0); // where there is none, so much the better
    return write_number(b->processes, "pids.max", (uint64_t)orders->processes + SLACK) &&
           write_number(b->memory, b->second ? "memory.max" : "memory.limit_in_bytes", bytes);
}

err_t control_group_open(const struct orders *orders, struct control_group *ret)
{
    struct control_group b = {.second = true, .processes = make_second()};
    if (b.processes) {
        b.memory = mem_string(b.processes);
    } else {
        b.second = false;
        b.processes = make_first("pids");
        b.memory = b.processes ? make_first("memory") : NULL;
    }
    if (b.memory && set_limits(&b, orders)) {
        *ret = b;
        return OK;
    }
    control_group_close(&b);
    return err_new(ERR_UNIMPLEMENTED, "control groups: none with pids and memory can be made");
}

err_t control_group_join(const struct control_group *b, pid_t pid)
{
    if (!write_number(b->processes, "cgroup.procs", (uint64_t)pid) ||
        (!b->second && !write_number(b->memory, "cgroup.procs", (uint64_t)pid)))
        return err_errno(errno, "control groups: cannot join '%s'", b->processes);
    return OK;
}

static uint64_t number_of(const char *directory, const char *name)
{
    char text[TEXT];
    return read_text(directory, name, text) ? strtoull(text, NULL, 10) : 0;
}

void control_group_usage(const struct control_group *b, struct usage *ret)
{
    ret->processes = (int64_t)number_of(b->processes, "pids.current");
    ret->memory_bytes =
        number_of(b->memory, b->second ? "memory.current" : "memory.usage_in_bytes");
}

bool control_group_out_of_memory(const struct control_group *b)
{
    char text[TEXT];
    if (!b->memory ||
        !read_text(b->memory, b->second ? "memory.events" : "memory.oom_control", text))
        return false;
    const char *killed = strstr(text, "oom_kill ");
    return killed && strtol(killed + strlen("oom_kill "), NULL, 10) > 0;
}

void control_group_close(struct control_group *b)
{
    for (int tries = 0; b->processes && rmdir(b->processes) && errno == EBUSY && tries < 50;
         tries++)
        usleep(10000); // the last process is leaving
    if (b->memory && !b->second)
        rmdir(b->memory);
    mem_free(STEAL(b->processes));
    mem_free(STEAL(b->memory));
}
