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
        struct pool *pool = pool_new(threads);
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

TESTS(cmocka_unit_test(every_chunk_is_done_once))
