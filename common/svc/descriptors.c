#include "svc/descriptors.h"
#include <sys/resource.h>

/* BASE: libraries, logs, threads' wake-ups, outgoing streams, children's pipes. MOST: more serves
 * no ring that we know. */
enum { BASE = 96, LEAST = 160, MOST = 16384, SOFT_MAX = 1 << 20 };

void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= limit.rlim_max)
        return;
    rlim_t wanted = limit.rlim_max < SOFT_MAX ? limit.rlim_max : SOFT_MAX;
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &limit); // refused: the plan goes by what is there
}

err_t descriptors_plan(int files, bool tls, int *ret_connections)
{
    struct rlimit limit = {SOFT_MAX, SOFT_MAX};
    const int each = tls ? 3 : 1;
    getrlimit(RLIMIT_NOFILE, &limit);
    long all = limit.rlim_cur < SOFT_MAX ? (long)limit.rlim_cur : SOFT_MAX;
    long connections = (all - BASE - files) / each;
    if (connections < LEAST)
        return err_new(ERR_EXHAUSTED,
                       "open files (ulimit -n) are limited to %ld; at least %d are needed: %d for "
                       "files and peers, %d for connections",
                       all, BASE + files + each * LEAST, BASE + files, each * LEAST);
    *ret_connections = connections < MOST ? (int)connections : MOST;
    return OK;
}
