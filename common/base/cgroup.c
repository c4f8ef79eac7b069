#include "base/cgroup.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 64 << 10 };
static const uint64_t NO_LIMIT = 1ull << 60; // version 1 says so by about 2^63

/* Up to two numbers; "max" is none. False: there is no such file, or it says something else. */
static bool read_numbers(const char *directory, const char *file, int64_t ret[2])
{
    SCOPED_MEM char *path = file_join(directory, file);
    SCOPED_VALUE(bytes) text = {0};
    err_t failed = file_read(path, TEXT_MAX, &text);
    if (err_failed(failed) || !text.len) {
        err_free(failed);
        return false;
    }
    const char *at = (const char *)text.data;
    for (int i = 0; i < 2; i++) {
        char *end;
        errno = 0;
        ret[i] = strtoll(at, &end, 10);
        if (end == at || errno)
            return i > 0;
        at = end;
    }
    return true;
}

static void lower_cpus(struct cgroup *limits, int64_t quota_us, int64_t period_us)
{
    if (quota_us <= 0 || period_us <= 0)
        return;
    const double cpus = (double)quota_us / (double)period_us;
    if (limits->cpus == 0 || cpus < limits->cpus)
        limits->cpus = cpus;
}

static void lower_memory(struct cgroup *limits, const char *directory, const char *file)
{
    int64_t bytes[2];
    if (!read_numbers(directory, file, bytes) || bytes[0] <= 0 || (uint64_t)bytes[0] >= NO_LIMIT ||
        (limits->memory_bytes && (uint64_t)bytes[0] >= limits->memory_bytes))
        return;
    limits->memory_bytes = (uint64_t)bytes[0];
    snprintf(limits->memory_file, sizeof limits->memory_file, "%s/%s", directory, file);
}

static void look_2(struct cgroup *limits, const char *directory)
{
    int64_t cpu[2];
    if (read_numbers(directory, "cpu.max", cpu))
        lower_cpus(limits, cpu[0], cpu[1]);
    lower_memory(limits, directory, "memory.max");
}

static void look_1(struct cgroup *limits, const char *directory)
{
    int64_t quota[2], period[2];
    if (read_numbers(directory, "cpu.cfs_quota_us", quota) &&
        read_numbers(directory, "cpu.cfs_period_us", period))
        lower_cpus(limits, quota[0], period[0]);
    lower_memory(limits, directory, "memory.limit_in_bytes");
}

/* The group at path below root, and those around it. In a namespace, or with another's files
 * mounted, the path may not be there: then root is the process's own. */
static void look_up(struct cgroup *limits, const char *root, const char *path,
                    void (*look)(struct cgroup *limits, const char *directory))
{
    if (strstr(path, ".."))
        path = "";
    SCOPED_MEM char *directory = mem_printf("%s%s", root, strcmp(path, "/") == 0 ? "" : path);
    for (;;) {
        look(limits, directory);
        char *end = strrchr(directory, '/');
        if (!end || strlen(directory) <= strlen(root))
            return;
        *end = 0;
    }
}

static bool names(const char *list, const char *controller)
{
    const char *at = strstr(list, controller);
    const size_t len = strlen(controller);
    return at && (at == list || at[-1] == ',') && (!at[len] || at[len] == ',');
}

/* A line "ID:CONTROLLERS:PATH"; without controllers it is version 2's. */
static void look_line(struct cgroup *limits, const char *root, char *line)
{
    char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
    if (!path)
        return;
    *path++ = 0;
    list++;
    if (!*list)
        look_up(limits, root, path, look_2);
    if (!names(list, "cpu") && !names(list, "memory"))
        return;
    SCOPED_MEM char *hierarchy = file_join(root, list);
    look_up(limits, hierarchy, path, look_1);
}

void cgroup_read_at(const char *root, const char *self, struct cgroup *ret)
{
    struct cgroup limits = {0};
    SCOPED_MEM char *lines = mem_string(self);
    char *next = lines;
    while (next && *next) {
        char *line = next;
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        look_line(&limits, root, line);
    }
    *ret = limits;
}

void cgroup_read(struct cgroup *ret)
{
    const char *root = getenv("RLHFD_CGROUP_ROOT");
    SCOPED_VALUE(bytes) self = {0};
    err_free(file_read("/proc/self/cgroup", TEXT_MAX, &self)); // then none is known
    cgroup_read_at(root && *root ? root : "/sys/fs/cgroup", self.data ? (char *)self.data : "",
                   ret);
}

err_t cgroup_fits(uint64_t planned_bytes, const char *what)
{
    struct cgroup limits;
    cgroup_read(&limits);
    if (!limits.memory_bytes || planned_bytes <= limits.memory_bytes)
        return OK;
    return err_new(ERR_EXHAUSTED,
                   "%s take %" PRIu64 " MiB of memory, and '%s' allows the process %" PRIu64
                   " MiB: raise the limit, or make them smaller",
                   what, planned_bytes >> 20, limits.memory_file, limits.memory_bytes >> 20);
}
