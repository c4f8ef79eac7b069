#include "base/cpus.h"
#include "base/cgroup.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool parse_core(const char **at, long *ret)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return false;
    errno = 0;
    *ret = strtol(*at, &end, 10);
    *at = end;
    return !errno && *ret < CPU_SETSIZE;
}

err_t cpus_parse(const char *text, cpu_set_t *ret)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const char *at = text; *at;) {
        long low, high;
        bool good = parse_core(&at, &low);
        high = low;
        if (good && *at == '-') {
            at++;
            good = parse_core(&at, &high) && low <= high;
        }
        good = good && (!*at || (*at == ',' && at[1]));
        if (!good)
            return err_new(ERR_INVALID,
                           "'%s' is no list of cores; allowed: numbers and ranges from 0 to %d "
                           "between commas, as 0-3,8",
                           text, CPU_SETSIZE - 1);
        at += *at == ',';
        for (long core = low; core <= high; core++)
            CPU_SET((size_t)core, &set);
    }
    *ret = set;
    return OK;
}

/* The set as text. */
static void describe(const cpu_set_t *set, char *text, size_t size)
{
    size_t at = 0;
    text[0] = 0;
    for (size_t low = 0, high; low < CPU_SETSIZE && at < size; low = high + 1) {
        high = low;
        if (!CPU_ISSET(low, set))
            continue;
        while (high + 1 < CPU_SETSIZE && CPU_ISSET(high + 1, set))
            high++;
        const int written = snprintf(text + at, size - at, high > low ? "%s%zu-%zu" : "%s%zu",
                                     at ? "," : "", low, high);
        at += written > 0 ? (size_t)written : 0;
    }
}

/* What the process may use: its first thread's, which nothing here binds but by cpus_bind. */
err_t cpus_usable(const char *text, cpu_set_t *ret)
{
    cpu_set_t set, usable;
    TRY(cpus_parse(text, &set));
    if (sched_getaffinity(getpid(), sizeof usable, &usable))
        return err_new(ERR_INTERNAL, "cores of this process: %s", strerror(errno));
    for (size_t core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &set) && !CPU_ISSET(core, &usable)) {
            char allowed[256];
            describe(&usable, allowed, sizeof allowed);
            return err_new(ERR_INVALID, "'%s': there is no core %zu for this process; allowed: %s",
                           text, core, allowed);
        }
    *ret = set;
    return OK;
}

int cpus_threads(int64_t wanted)
{
    cpu_set_t usable;
    struct cgroup limits;
    if (wanted >= 1)
        return wanted < INT32_MAX ? (int)wanted : INT32_MAX;
    cgroup_read(&limits);
    int cores = sched_getaffinity(getpid(), sizeof usable, &usable) ? 1 : CPU_COUNT(&usable);
    return limits.cpus <= 0 ? 1 : limits.cpus < cores ? (int)ceil(limits.cpus) : cores;
}

err_t cpus_bind(const char *text)
{
    cpu_set_t set;
    TRY(cpus_usable(text, &set));
    if (!CPU_COUNT(&set))
        return OK;
    const int failed = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    return failed ? err_new(ERR_INVALID, "'%s': %s", text, strerror(failed)) : OK;
}
