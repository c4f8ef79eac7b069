#include "base/clock.h"
#include "base/heartbeat.h"
#include "testing/fault.h"
#include "testing/testing.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A thread that does what it is told, a call at a time. */
struct puppet {
    pthread_t thread;
    sem_t go, done;
    void (*call)(void);
    const char *name;
};

static void *dance(void *arg)
{
    struct puppet *puppet = arg;
    heartbeat_begin(puppet->name);
    sem_post(&puppet->done);
    for (;;) {
        sem_wait(&puppet->go);
        if (!puppet->call)
            break;
        puppet->call();
        sem_post(&puppet->done);
    }
    heartbeat_end();
    return NULL;
}

static struct puppet *puppet_new(const char *name)
{
    struct puppet *puppet = calloc(1, sizeof *puppet);
    puppet->name = name;
    sem_init(&puppet->go, 0, 0);
    sem_init(&puppet->done, 0, 0);
    assert_int_equal(pthread_create(&puppet->thread, NULL, dance, puppet), 0);
    sem_wait(&puppet->done);
    return puppet;
}

static void tell(struct puppet *puppet, void (*call)(void))
{
    puppet->call = call;
    sem_post(&puppet->go);
    if (call)
        sem_wait(&puppet->done);
}

static void puppet_free(struct puppet *puppet)
{
    tell(puppet, NULL);
    pthread_join(puppet->thread, NULL);
    sem_destroy(&puppet->go);
    sem_destroy(&puppet->done);
    free(puppet);
}

static void pass(int64_t ms)
{
    fault_clock(ms, 0);
}

static void assert_late(const char *name, int64_t at_least_ms)
{
    struct heartbeat late;
    assert_true(heartbeat_late(1000, &late));
    assert_string_equal(late.name, name);
    assert_true(late.silent_ms >= at_least_ms && late.silent_ms < at_least_ms + 60000);
}

static void a_thread_without_steps_is_found(void **)
{
    struct heartbeat late;
    fault_begin();
    struct puppet *storage = puppet_new("storage"), *compute = puppet_new("compute");
    assert_false(heartbeat_late(60000, &late));
    pass(100000);
    tell(compute, heartbeat_step);
    assert_true(heartbeat_late(60000, &late));
    assert_string_equal(late.name, "storage");
    pass(100000);
    assert_late("storage", 200000); // both are late: who has been longest
    tell(storage, heartbeat_step);
    assert_late("compute", 100000);
    tell(compute, heartbeat_step);
    assert_false(heartbeat_late(60000, &late));

    tell(storage, heartbeat_rest); // a wait for others
    tell(compute, heartbeat_rest);
    pass(1000000);
    assert_false(heartbeat_late(60000, &late));
    tell(storage, heartbeat_step);
    pass(100000);
    assert_late("storage", 100000);
    puppet_free(storage); // a thread that has ended is not missed
    assert_false(heartbeat_late(60000, &late));
    puppet_free(compute);
    fault_end();
}

/* No place is used up, and steps of a thread that has none do nothing. */
static void places_are_used_again(void **)
{
    struct heartbeat late;
    fault_begin();
    for (int i = 0; i < 3 * HEARTBEATS_MAX; i++)
        puppet_free(puppet_new("again"));
    struct puppet *many[HEARTBEATS_MAX + 4];
    for (int i = 0; i < HEARTBEATS_MAX + 4; i++)
        many[i] = puppet_new("many");
    heartbeat_step();
    heartbeat_rest();
    heartbeat_end();
    pass(100000);
    assert_late("many", 100000);
    for (int i = 0; i < HEARTBEATS_MAX + 4; i++)
        puppet_free(many[i]);
    assert_false(heartbeat_late(0, &late));
    fault_end();
}

TESTS(cmocka_unit_test(a_thread_without_steps_is_found), cmocka_unit_test(places_are_used_again))
