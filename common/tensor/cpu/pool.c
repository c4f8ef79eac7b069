#include "tensor/cpu/pool.h"
#include "base/heartbeat.h"
#include "base/mem.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 1000, CACHE_LINE = 64 };

#if defined(__x86_64__)
#define RELAX() __builtin_ia32_pause()
#else
#define RELAX() atomic_signal_fence(memory_order_seq_cst)
#endif

/* A job is published by its ticket: job number (32 bits) | chunks (16) | next unclaimed chunk (16).
 * work and job are written before it and read only by who has claimed a chunk of it, and it ends
 * only after that chunk. */
struct pool {
    _Alignas(CACHE_LINE) _Atomic uint64_t ticket;
    _Alignas(
        CACHE_LINE) _Atomic uint32_t number; // of the newest job; workers wait for it to change
    _Atomic uint32_t sleepers;
    _Alignas(CACHE_LINE) _Atomic uint32_t left; // chunks not done; the owner waits for 0
    _Atomic uint32_t owner_sleeps;
    pool_work *work;
    void *job;
    _Atomic bool stop;
    int threads;
    struct worker {
        struct pool *pool;
        int thread;
        pthread_t handle;
    } * workers;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void chunk_done(struct pool *pool)
{
    if (atomic_fetch_sub(&pool->left, 1) == 1 && atomic_load(&pool->owner_sleeps))
        futex_wake(&pool->left);
}

/* Claims and does chunks of job `number` until none is left. */
static void work_on(struct pool *pool, uint32_t number, int thread)
{
    uint64_t ticket = atomic_load(&pool->ticket);
    for (;;) {
        const uint32_t chunks = ticket >> 16 & 0xffff, next = ticket & 0xffff;
        if (ticket >> 32 != number || next >= chunks)
            return;
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1))
            continue;
        pool->work(pool->job, (int)next, thread);
        chunk_done(pool);
        ticket = atomic_load(&pool->ticket);
    }
}

static uint32_t next_job(struct pool *pool, uint32_t seen)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&pool->number, memory_order_acquire) != seen)
            return atomic_load(&pool->number);
        RELAX();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    uint32_t number;
    while ((number = atomic_load(&pool->number)) == seen)
        futex_wait(&pool->number, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
    return number;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    for (uint32_t seen = 0; !atomic_load(&pool->stop);) {
        seen = next_job(pool, seen);
        work_on(pool, seen, worker->thread);
    }
    return NULL;
}

struct pool *pool_new(int threads, const cpu_set_t *cpus)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (cpus)
        pthread_attr_setaffinity_np(&attributes, sizeof *cpus, cpus);
    struct pool *pool = mem_aligned(sizeof *pool);
    pool->threads = threads;
    pool->workers = mem_array((size_t)threads, sizeof *pool->workers);
    for (int i = 1; i < threads; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){.pool = pool, .thread = i};
        if (pthread_create(&worker->handle, &attributes, worker_main, worker)) {
            fprintf(stderr, "cannot start thread %d of %d\n", i + 1, threads);
            abort();
        }
    }
    pthread_attr_destroy(&attributes);
    return pool;
}

int pool_threads(const struct pool *pool)
{
    return pool->threads;
}

bool pool_asleep(const struct pool *pool)
{
    return atomic_load_explicit(&pool->sleepers, memory_order_relaxed) >=
           (uint32_t)pool->threads - 1;
}

static void announce(struct pool *pool, uint32_t number)
{
    atomic_store(&pool->number, number);
    if (atomic_load(&pool->sleepers))
        futex_wake(&pool->number);
}

static void wait_done(struct pool *pool)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (!atomic_load(&pool->left))
            return;
        RELAX();
    }
    atomic_store(&pool->owner_sleeps, 1);
    for (uint32_t left; (left = atomic_load(&pool->left));)
        futex_wait(&pool->left, left);
    atomic_store(&pool->owner_sleeps, 0);
}

void pool_run(struct pool *pool, int chunks, pool_work *work, void *job)
{
    heartbeat_step();
    if (pool->threads == 1 || chunks <= 1) {
        for (int i = 0; i < chunks; i++)
            work(job, i, 0);
        return;
    }
    const uint32_t number = atomic_load(&pool->number) + 1;
    pool->work = work;
    pool->job = job;
    atomic_store(&pool->left, (uint32_t)chunks);
    atomic_store(&pool->ticket, (uint64_t)number << 32 | (uint64_t)chunks << 16);
    announce(pool, number);
    work_on(pool, number, 0);
    wait_done(pool);
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    announce(pool, atomic_load(&pool->number) + 1);
    for (int i = 1; i < pool->threads; i++)
        pthread_join(pool->workers[i].handle, NULL);
    mem_free(pool->workers);
    mem_free(pool);
}
