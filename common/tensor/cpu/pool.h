/* A pool of threads that share one job at a time.
 *
 *     struct pool *pool = pool_new(threads);
 *     pool_run(pool, chunks, work, &job);         -- work(&job, chunk, thread) for each, then back
 *
 * Chunks are claimed one by one, so a thread that the machine has put aside holds up only the chunk
 * it is in. Workers spin a few microseconds for the next job, then sleep: many pools may share few
 * cores.
 * Owner: the thread that runs jobs; it works too, as thread 0. */
#pragma once
#include <sched.h>
#include <stdbool.h>

struct pool;
typedef void pool_work(void *job, int chunk, int thread);

/* threads >= 1, the caller included. cpus: cores that the others are bound to; NULL: any. Aborts if
 * the system has no more threads. */
struct pool *pool_new(int threads, const cpu_set_t *cpus);
int pool_threads(const struct pool *pool);
/* Whether all others sleep now: a job must be worth waking them. */
bool pool_asleep(const struct pool *pool);
/* 0 <= chunks < 65536 */
void pool_run(struct pool *pool, int chunks, pool_work *work, void *job);
void pool_free(struct pool *pool);
