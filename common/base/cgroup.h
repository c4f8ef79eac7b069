/* The limits that a control group sets this process: a container's CPUs and memory. Version 2
 * (cpu.max, memory.max), and version 1's files where that has the controllers. The lowest limit
 * counts, of the process's group and of the groups around it that can be read.
 *
 *     struct cgroup limits;
 *     cgroup_read(&limits);                                  -- below /sys/fs/cgroup, or $RLHFD_CGROUP_ROOT
 *     TRY(cgroup_fits(planned_bytes, "weights and optimizer"));
 *
 * A file that cannot be read, or says what is no limit, limits nothing. Any thread. */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct cgroup {
    double cpus;            // of time; 0: no limit
    uint64_t memory_bytes;  // 0: no limit
    char memory_file[4096]; // whose limit it is
};

void cgroup_read(struct cgroup *ret);

/* The same below another root, for a process whose /proc/self/cgroup has this text. */
void cgroup_read_at(const char *root, const char *self, struct cgroup *ret);

/* EXHAUSTED: the limit on memory is lower. The line names both. */
err_t cgroup_fits(uint64_t planned_bytes, const char *what);
