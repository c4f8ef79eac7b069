/* Processes and memory of all that descend from one process, read from /proc.
 *
 *     census_take(getpid(), &usage);             -- without that process itself
 *     census_kill(getpid());                     -- SIGKILL to each of them
 */
#pragma once
#include "sandbox/control_group.h"

void census_take(pid_t root, struct usage *ret);
void census_kill(pid_t root);

/* Bytes and files below a directory; false: it cannot be counted, or has too many. */
bool census_files(const char *directory, uint64_t *ret_bytes);

/* Removes it with all it holds, whatever rights were taken away in there; what stays, stays. Once
 * no process is left that could change it. */
void census_remove(const char *directory);
