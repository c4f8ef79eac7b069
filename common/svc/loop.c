#include "svc/loop.h"
#include "base/heartbeat.h"
#include "base/mem.h"
#include "svc/loop_uv.h"
#include "svc/svc.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

struct post {
    struct post *next;
    void (*fn)(void *arg);
    void *arg;
};

struct loop {
    uv_loop_t uv;
    uv_async_t *wake;
    uv_check_t *turn;
    _Atomic(struct post *) posted; // newest first
    struct post *ready;            // taken from posted, oldest first
    atomic_bool stopping;
    uv_signal_t *signals[2];
    void (*on_signal)(void *arg, int signal);
    void *on_signal_arg;
};

struct loop_timer {
    uv_timer_t *handle;
    void (*fn)(void *arg);
    void *arg;
};

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void loop_uv_close(uv_handle_t *handle)
{
    if (handle)
        uv_close(handle, free_handle);
}

/* Moves what is posted behind what is ready. */
static void take_posted(struct loop *loop)
{
    struct post *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct post *oldest = NULL;
    while (newest) {
        struct post *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    struct post **end = &loop->ready;
    while (*end)
        end = &(*end)->next;
    *end = oldest;
}

static void run_first(struct loop *loop)
{
    struct post *post = loop->ready;
    heartbeat_step();
    loop->ready = post->next;
    void (*fn)(void *arg) = post->fn;
    void *arg = post->arg;
    free(post);
    fn(arg);
}

/* What callbacks post meanwhile waits for the next turn, so that timers and sockets are not
 * starved. */
static void on_wake(uv_async_t *wake)
{
    struct loop *loop = wake->data;
    take_posted(loop);
    while (loop->ready && !atomic_load(&loop->stopping))
        run_first(loop);
    if (atomic_load(&loop->stopping))
        uv_stop(&loop->uv);
}

static void on_turn(uv_check_t *)
{
    heartbeat_step();
}

err_t loop_new(struct loop **ret)
{
    struct loop *loop = mem_new(sizeof *loop);
    int failed = uv_loop_init(&loop->uv);
    if (failed) {
        free(loop);
        return err_errno(-failed, "cannot make an event loop");
    }
    loop->wake = mem_new(sizeof *loop->wake);
    failed = uv_async_init(&loop->uv, loop->wake, on_wake);
    if (failed) {
        free(loop->wake);
        uv_loop_close(&loop->uv);
        free(loop);
        return err_errno(-failed, "cannot make an event loop");
    }
    loop->wake->data = loop;
    loop->turn = mem_new(sizeof *loop->turn);
    uv_check_init(&loop->uv, loop->turn);
    uv_check_start(loop->turn, on_turn);
    uv_unref((uv_handle_t *)loop->turn); // it keeps no loop running
    *ret = loop;
    return OK;
}

err_t loop_run(struct loop *loop)
{
    /* An earlier run may have left posts, and a stop may have come before this one. */
    uv_async_send(loop->wake);
    heartbeat_begin("loop");
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    heartbeat_end();
    atomic_store(&loop->stopping, false);
    return OK;
}

void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct post *post = mem_new(sizeof *post);
    post->fn = fn;
    post->arg = arg;
    struct post *newest = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do
        post->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&loop->posted, &newest, post,
                                                  memory_order_release, memory_order_relaxed));
    if (!newest)
        uv_async_send(loop->wake); // the first one wakes; the loop takes all it finds
}

void loop_run_posted(struct loop *loop)
{
    for (take_posted(loop); loop->ready; take_posted(loop))
        run_first(loop);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    uv_async_send(loop->wake);
}

static void close_signals(struct loop *loop)
{
    for (int i = 0; i < 2; i++) {
        loop_uv_close((uv_handle_t *)loop->signals[i]);
        loop->signals[i] = NULL;
    }
}

static void on_first_signal(uv_signal_t *handle, int signal)
{
    struct loop *loop = handle->data;
    if (!loop->signals[0])
        return; // the other of the two came in the same turn
    close_signals(loop);
    svc_end_by_signals(); // the next one
    loop->on_signal(loop->on_signal_arg, signal);
}

void loop_on_signal(struct loop *loop, void (*fn)(void *arg, int signal), void *arg)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    loop->on_signal = fn;
    loop->on_signal_arg = arg;
    for (int i = 0; i < 2; i++) {
        loop->signals[i] = mem_new(sizeof *loop->signals[i]);
        if (uv_signal_init(&loop->uv, loop->signals[i]) ||
            uv_signal_start(loop->signals[i], on_first_signal, numbers[i]))
            abort(); // no descriptors left while starting
        loop->signals[i]->data = loop;
    }
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct loop_timer *timer = mem_new(sizeof *timer);
    timer->handle = mem_new(sizeof *timer->handle);
    uv_timer_init(&loop->uv, timer->handle);
    timer->handle->data = timer;
    timer->fn = fn;
    timer->arg = arg;
    return timer;
}

static void on_timer(uv_timer_t *handle)
{
    struct loop_timer *timer = handle->data;
    timer->fn(timer->arg);
}

void loop_timer_start(struct loop_timer *timer, int64_t after_ms, int64_t repeat_ms)
{
    uv_update_time(timer->handle->loop); // the loop's clock stands still while a callback runs
    uv_timer_start(timer->handle, on_timer, after_ms > 0 ? (uint64_t)after_ms : 0,
                   repeat_ms > 0 ? (uint64_t)repeat_ms : 0);
}

void loop_timer_stop(struct loop_timer *timer)
{
    uv_timer_stop(timer->handle);
}

bool loop_timer_running(const struct loop_timer *timer)
{
    return uv_is_active((const uv_handle_t *)timer->handle);
}

void loop_timer_free(struct loop_timer *timer)
{
    if (!timer)
        return;
    loop_uv_close((uv_handle_t *)timer->handle);
    free(timer);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    close_signals(loop);
    loop_uv_close((uv_handle_t *)loop->wake);
    loop_uv_close((uv_handle_t *)loop->turn);
    uv_run(&loop->uv,
           UV_RUN_DEFAULT); // lets the closed handles go; nothing else is active any more
    if (uv_loop_close(&loop->uv))
        abort(); // a timer or child outlived its loop
    take_posted(loop);
    while (loop->ready) {
        struct post *next = loop->ready->next;
        free(loop->ready);
        loop->ready = next;
    }
    free(loop);
}
