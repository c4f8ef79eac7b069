/* Mailboxes and workers: order, refusal, room, idle, and that nothing queued is lost. */
#include "base/clock.h"
#include "base/mem.h"
#include "svc/mailbox.h"
#include "svc/worker.h"
#include "testing/testing.h"
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static void count_room(void *arg)
{
    ++*(int *)arg;
}

static void a_full_mailbox_refuses_and_says_when_there_is_room(void **state)
{
    (void)state;
    SCOPED(mailbox) mailbox = mailbox_new(4);
    int items[5], room = 0;
    void *taken = NULL;
    mailbox_on_room(mailbox, count_room, &room);
    assert_false(mailbox_take(mailbox, 0, &taken));
    for (int i = 0; i < 4; i++)
        assert_true(mailbox_post(mailbox, &items[i]));
    assert_false(mailbox_post(mailbox, &items[4]));
    assert_false(mailbox_post(mailbox, &items[4]));
    assert_true(mailbox_take(mailbox, 0, &taken) && taken == &items[0]);
    assert_int_equal(room, 0); // three of four are still in use
    assert_true(mailbox_take(mailbox, -1, &taken) && taken == &items[1]);
    assert_int_equal(room, 1);
    assert_true(mailbox_take(mailbox, 1000, &taken) && taken == &items[2]);
    assert_int_equal(room, 1); // once for any number of refusals
    mailbox_close(mailbox);
    mailbox_close(mailbox);
    assert_false(mailbox_post(mailbox, &items[4]));
    assert_false(mailbox_post_wait(mailbox, &items[4]));
    assert_int_equal(mailbox_count(mailbox), 1);
    assert_true(mailbox_take(mailbox, -1, &taken) && taken == &items[3]);
    assert_false(mailbox_take(mailbox, -1, &taken));
    assert_true(mailbox_closed(mailbox));
    assert_int_equal(room, 1);
}

/* What must arrive does, in order, whatever wraps round; what may be refused still is. */
static void a_push_goes_beyond_the_capacity(void **state)
{
    (void)state;
    enum { PUSHED = 1000 };
    SCOPED(mailbox) mailbox = mailbox_new(4);
    int items[PUSHED];
    void *taken = NULL;
    for (int i = 0; i < 3; i++)
        assert_true(mailbox_post(mailbox, &items[i]));
    for (int i = 0; i < 2; i++) // the oldest is not at the beginning any more
        assert_true(mailbox_take(mailbox, 0, &taken) && taken == &items[i]);
    for (int i = 3; i < PUSHED; i++)
        assert_true(mailbox_push(mailbox, &items[i]));
    assert_false(mailbox_post(mailbox, &items[0]));
    assert_int_equal(mailbox_count(mailbox), PUSHED - 2);
    for (int i = 2; i < PUSHED; i++)
        assert_true(mailbox_take(mailbox, 0, &taken) && taken == &items[i]);
    assert_true(mailbox_post(mailbox, &items[0]));
    mailbox_close(mailbox);
    assert_false(mailbox_push(mailbox, &items[1]));
    assert_true(mailbox_take(mailbox, 0, &taken) && taken == &items[0]);
}

static void taking_waits_as_long_as_told(void **state)
{
    (void)state;
    SCOPED(mailbox) mailbox = mailbox_new(1);
    void *taken = NULL;
    int64_t begin = clock_ms();
    assert_false(mailbox_take(mailbox, 30, &taken));
    assert_in_range(clock_ms() - begin, 29, 60000);
    assert_null(taken);
}

enum { THREADS = 4, EACH = 20000 };

/* What a worker owns in these tests: it counts, unlocked, because only its thread may touch it. */
struct tally {
    struct worker *worker;
    long sum, messages;
    atomic_long idles, last_idle; // read from outside
    int64_t idle_wait_ms;
};

static void add(void *state, void *arg)
{
    struct tally *tally = state;
    assert(worker_is_current(tally->worker));
    tally->sum += *(long *)arg;
    tally->messages++;
    free(arg);
}

static long *boxed(long value)
{
    return mem_copy(&value, sizeof value);
}

static void *post_many(void *arg)
{
    struct worker *worker = arg;
    for (long i = 1; i <= EACH; i++) {
        long *box = boxed(i);
        if (!worker_post(worker, add, box) && !worker_post_wait(worker, add, box))
            abort();
    }
    return NULL;
}

static void what_was_queued_is_done_before_the_end(void **state)
{
    (void)state;
    struct tally tally = {0};
    struct worker_options options = {
        .name = "a name longer than fifteen", .capacity = 8, .state = &tally};
    struct worker *worker = NULL;
    assert_ok(worker_start(&options, &worker));
    tally.worker = worker; // before the first post, which orders it
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, worker), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_false(worker_is_current(worker));
    worker_free(worker);
    assert_int_equal(tally.messages, (long)THREADS * EACH);
    assert_int_equal(tally.sum, (long)THREADS * EACH * (EACH + 1) / 2);
}

static int64_t idle(void *state)
{
    struct tally *tally = state;
    tally->idles++;
    atomic_store(&tally->last_idle, tally->messages);
    return tally->idle_wait_ms;
}

static void wait_for_idle_after(struct tally *tally, long messages)
{
    for (int i = 0; i < 60000 && atomic_load(&tally->last_idle) != messages; i++)
        clock_sleep_ms(1);
    assert_int_equal(atomic_load(&tally->last_idle), messages);
}

static void idle_runs_when_nothing_is_queued(void **state)
{
    (void)state;
    static const int64_t waits[] = {0, 1,
                                    -1}; // always more to do; after a while; only after a message
    for (size_t i = 0; i < 3; i++) {
        struct tally tally = {.last_idle = -1, .idle_wait_ms = waits[i]};
        struct worker_options options = {
            .name = "idle", .capacity = 100, .state = &tally, .idle = idle};
        struct worker *worker = NULL;
        assert_ok(worker_start(&options, &worker));
        wait_for_idle_after(&tally, 0);
        tally.worker = worker;
        for (int j = 0; j < 100; j++)
            assert_true(worker_post_wait(worker, add, boxed(1)));
        wait_for_idle_after(&tally, 100);
        for (int ms = 0; ms < 60000 && waits[i] >= 0 && atomic_load(&tally.idles) <= 3; ms++)
            clock_sleep_ms(1);
        clock_sleep_ms(20);
        worker_free(worker);
        assert_int_equal(tally.messages, 100);
        if (waits[i] < 0)
            assert_in_range(tally.idles, 2, 101);
        else
            assert_true(tally.idles > 3);
    }
}

static void look_at_signals(void *state, void *arg)
{
    (void)arg;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    *(bool *)state = sigismember(&blocked, SIGTERM) && strcmp(name, "storage") == 0;
}

static void a_worker_has_a_name_and_leaves_signals_alone(void **state)
{
    (void)state;
    bool as_wanted = false;
    struct worker_options options = {.name = "storage", .capacity = 1, .state = &as_wanted};
    struct worker *worker = NULL;
    assert_ok(worker_start(&options, &worker));
    assert_true(worker_post(worker, look_at_signals, NULL));
    worker_free(worker);
    assert_true(as_wanted);
}

static void look_at_cores(void *state, void *arg)
{
    (void)arg;
    pthread_getaffinity_np(pthread_self(), sizeof(cpu_set_t), state);
}

static void a_worker_is_bound_to_its_cores(void **state)
{
    (void)state;
    cpu_set_t mine, its;
    assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
    size_t core = 0;
    while (!CPU_ISSET(core, &mine))
        core++;
    char text[16];
    snprintf(text, sizeof text, "%zu", core);
    struct worker_options options = {.name = "bound", .capacity = 1, .state = &its, .cpus = text};
    struct worker *worker = NULL;
    assert_ok(worker_start(&options, &worker));
    assert_true(worker_post(worker, look_at_cores, NULL));
    worker_free(worker);
    assert_int_equal(CPU_COUNT(&its), 1);
    assert_true(CPU_ISSET(core, &its));
    options.cpus = "1,";
    assert_err(ERR_INVALID, "cpus: '1,' is no list of cores", worker_start(&options, &worker));
}

TESTS(cmocka_unit_test(a_full_mailbox_refuses_and_says_when_there_is_room),
      cmocka_unit_test(a_push_goes_beyond_the_capacity),
      cmocka_unit_test(taking_waits_as_long_as_told),
      cmocka_unit_test(what_was_queued_is_done_before_the_end),
      cmocka_unit_test(idle_runs_when_nothing_is_queued),
      cmocka_unit_test(a_worker_has_a_name_and_leaves_signals_alone),
      cmocka_unit_test(a_worker_is_bound_to_its_cores))
