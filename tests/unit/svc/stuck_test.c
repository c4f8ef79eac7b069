/* A loop and a worker that do not come back from a call are found, by the page that a kubelet asks
 * too; those that wait for messages are not. */
#include "base/clock.h"
#include "base/heartbeat.h"
#include "base/mem.h"
#include "svc/http_get.h"
#include "svc/http_ports.h"
#include "svc/loop.h"
#include "svc/mailbox.h"
#include "svc/worker.h"
#include "testing/fault.h"
#include "testing/testing.h"
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

enum { BOUND_MS = 60000, WAIT_MS = 20000 };

static sem_t inside, released;

static void hang(void *arg)
{
    (void)arg;
    sem_post(&inside);
    sem_wait(&released);
}

static void task(void *state, void *arg)
{
    (void)state;
    hang(arg);
}

static void begin(void)
{
    fault_begin();
    sem_init(&inside, 0, 0);
    sem_init(&released, 0, 0);
}

static void assert_stuck(const char *name)
{
    struct heartbeat late;
    sem_wait(&inside);
    assert_false(heartbeat_late(BOUND_MS, &late));
    fault_clock(2 * BOUND_MS, 0);
    assert_true(heartbeat_late(BOUND_MS, &late));
    assert_string_equal(late.name, name);
    assert_true(late.silent_ms >= 2 * BOUND_MS);
}

static void assert_comes_back(void)
{
    struct heartbeat late;
    sem_post(&released);
    for (int64_t left = WAIT_MS; heartbeat_late(BOUND_MS, &late); left -= 5) {
        assert_true(left > 0);
        clock_sleep_ms(5);
    }
}

/* ---- a worker */

static void take(void *state, void *arg)
{
    (void)state;
    void *message;
    sem_post(&inside);
    mailbox_take(arg, -1, &message);
}

static void a_task_that_hangs(void **)
{
    struct heartbeat late;
    begin();
    SCOPED(mailbox) mailbox = mailbox_new(1); // the worker ends first
    SCOPED(worker) worker = NULL;
    assert_ok(worker_start(
        &(struct worker_options){.name = "compute", .capacity = 4, .heartbeats = true}, &worker));
    assert_true(worker_post(worker, task, NULL));
    assert_stuck("compute");
    assert_comes_back();

    assert_true(worker_post(worker, take, mailbox)); // a wait for another thread
    sem_wait(&inside);
    clock_sleep_ms(20);
    fault_clock(2 * BOUND_MS, 0);
    for (int64_t left = WAIT_MS; heartbeat_late(BOUND_MS, &late); left -= 5) {
        assert_true(left > 0); // the thread was on its way into the wait
        clock_sleep_ms(5);
    }
    int message;
    assert_true(mailbox_post(mailbox, &message));
    fault_end();
}

static void a_worker_without_heartbeats_may_take_for_ever(void **)
{
    struct heartbeat late;
    begin();
    SCOPED(worker) worker = NULL;
    assert_ok(worker_start(&(struct worker_options){.name = "nccl", .capacity = 4}, &worker));
    assert_true(worker_post(worker, task, NULL));
    sem_wait(&inside);
    fault_clock(2 * BOUND_MS, 0);
    assert_false(heartbeat_late(BOUND_MS, &late));
    sem_post(&released);
    worker_free(STEAL(worker));
    fault_end();
}

/* ---- the loop, and the pages */

static void nothing(void *arg)
{
    (void)arg;
}

static void *run(void *arg)
{
    struct loop *loop = arg;
    SCOPED(loop_timer) timer = loop_timer_new(loop, nothing, NULL);
    loop_timer_start(timer, 0, 5); // as daemons have one
    err_free(loop_run(loop));
    return NULL;
}

static void assert_page(const char *address, unsigned status, const char *body)
{
    SCOPED_VALUE(http_got) got = {0};
    assert_ok(http_get(
        &(struct http_get_options){.address = address, .path = "/livez", .timeout_ms = WAIT_MS},
        &got));
    assert_int_equal(got.status, status);
    if (!strstr((const char *)got.body.data, body))
        fail_msg("%s: %s", address, got.body.data);
}

static void a_callback_that_hangs(void **)
{
    pthread_t thread;
    begin();
    SCOPED(loop) loop = NULL;
    SCOPED(http_ports) ports = NULL;
    assert_ok(loop_new(&loop));
    assert_ok(http_ports_open(&(struct http_ports_options){.probes = "127.0.0.1:0",
                                                           .metrics = "127.0.0.1:0",
                                                           .stuck_ms = BOUND_MS},
                              &ports));
    assert_int_equal(pthread_create(&thread, NULL, run, loop), 0);
    assert_page(http_ports_probes(ports), 200, "ok\n");
    loop_post(loop, hang, NULL);
    assert_stuck("loop");
    assert_page(http_ports_probes(ports), 503, "not ready\n");
    assert_page(http_ports_metrics(ports), 503, "the thread 'loop' has made no step for 1");
    assert_comes_back();
    assert_page(http_ports_probes(ports), 200, "ok\n");
    assert_page(http_ports_metrics(ports), 200, "ok\n");
    loop_stop(loop);
    pthread_join(thread, NULL);
    fault_end();
}

TESTS(cmocka_unit_test(a_task_that_hangs),
      cmocka_unit_test(a_worker_without_heartbeats_may_take_for_ever),
      cmocka_unit_test(a_callback_that_hangs))
