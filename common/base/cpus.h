/* Lists of processor cores, as recipes write them: "0-3,8".
 *
 *     cpu_set_t set;
 *     TRY(cpus_usable("0-3,8", &set));
 *     pthread_attr_setaffinity_np(&attr, sizeof set, &set);
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include <sched.h>
#include <stdint.h>

/* INVALID: not numbers and ranges (low-high) between commas, or a core from CPU_SETSIZE on. Empty
 * text: an empty set. */
err_t cpus_parse(const char *text, cpu_set_t *ret);

/* Likewise; INVALID too: a core that this process may not use, or that does not exist. */
err_t cpus_usable(const char *text, cpu_set_t *ret);

/* Threads to compute with: `wanted`, if that is at least 1. Else the control group's limit of CPUs,
 * rounded up, but no more than this process has cores. Without such a limit: 1. */
int cpus_threads(int64_t wanted);

/* Binds the calling thread to these cores; empty text: does nothing. INVALID: as cpus_usable. */
err_t cpus_bind(const char *text);
