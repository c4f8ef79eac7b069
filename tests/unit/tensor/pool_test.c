/* The pool: every chunk once, on few threads and many, job after job, awake and asleep. */
#include "base/clock.h"
#include "tensor/cpu/pool.h"
#include "testing/testing.h"
#include <stdatomic.h>

enum { CHUNKS_MAX = 500 };

struct job {
    atomic_int done[CHUNKS_MAX];
    int threads;
};

static void once(void *data, int chunk, int thread)
{
    struct job *job = data;
    assert_true(thread >= 0 && thread < job->threads);
    atomic_fetch_add(&job->done[chunk], 1);
}

static void every_chunk_is_done_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        struct pool *pool = pool_new(threads, NULL);
        assert_int_equal(pool_threads(pool), threads);
        for (int round = 0; round < 300; round++) {
            struct job job = {.threads = threads};
            const int chunks = round * 7 % CHUNKS_MAX;
            pool_run(pool, chunks, once, &job);
            for (int i = 0; i < CHUNKS_MAX; i++)
                assert_int_equal(atomic_load(&job.done[i]), i < chunks);
            if (round % 100 == 99)
                clock_sleep_ms(2); // let the workers fall asleep
        }
        pool_free(pool);
    }
    pool_free(NULL);
}

struct where {
    _Atomic int elsewhere;
    cpu_set_t cores;
};

static void look(void *data, int chunk, int thread)
{
    (void)chunk;
    struct where *where = data;
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    if (thread && !CPU_EQUAL(&set, &where->cores))
        atomic_fetch_add(&where->elsewhere, 1);
    clock_sleep_ms(1); // so that others get a chunk too
}

static void threads_are_bound_and_the_owner_is_not(void **state)
{
    (void)state;
    cpu_set_t mine, after;
    struct where where = {0};
    size_t core = 0;
    assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
    while (!CPU_ISSET(core, &mine))
        core++;
    CPU_SET(core, &where.cores);
    struct pool *pool = pool_new(3, &where.cores);
    pool_run(pool, 20, look, &where);
    pool_free(pool);
    assert_int_equal(atomic_load(&where.elsewhere), 0);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&mine, &after));
}

static void it_is_told_who_sleeps(void **state)
{
    (void)state;
    struct pool *pool = pool_new(3, NULL);
    while (!pool_asleep(pool))
        clock_sleep_ms(1); // with nothing to do they all go to sleep
    struct job job = {.threads = 3};
    pool_run(pool, 300, once, &job);
    while (!pool_asleep(pool))
        clock_sleep_ms(1);
    pool_free(pool);
}

TESTS(cmocka_unit_test(every_chunk_is_done_once),
      cmocka_unit_test(threads_are_bound_and_the_owner_is_not),
      cmocka_unit_test(it_is_told_who_sleeps))
