/* A control group for one program: how many processes, and how much memory for all of them
 * together, files in memory too. Version 2, and version 1 where that has the two controllers.
 *
 *     TRY(control_group_open(orders, &group));       -- UNIMPLEMENTED: no group can be made here
 *     TRY(control_group_join(&group, pid));
 *     control_group_usage(&group, &usage);
 *     control_group_close(&group);                   -- once all processes have ended
 */
#pragma once
#include "base/err.h"
#include "sandbox/orders.h"

struct usage {
    int64_t processes;
    uint64_t memory_bytes;
};

struct control_group {
    bool second;              // version 2: both directories are one
    char *processes, *memory; // directories; NULL: none
};

err_t control_group_open(const struct orders *orders, struct control_group *ret);
err_t control_group_join(const struct control_group *group, pid_t pid);
void control_group_usage(const struct control_group *group, struct usage *ret);
bool control_group_out_of_memory(
    const struct control_group *group); // the kernel has ended a process for it
void control_group_close(struct control_group *group);
