#include "svc/worker.h"
#include "base/cpus.h"
#include "base/heartbeat.h"
#include "base/mem.h"
#include "svc/mailbox.h"
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

struct task {
    void (*fn)(void *state, void *arg);
    void *arg;
};

struct worker {
    pthread_t thread;
    struct mailbox *mailbox;
    char name[16];
    const char *heartbeat; // NULL: none
    void *state;
    int64_t (*idle)(void *state);
};

static _Thread_local const struct worker *current;

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    current = worker;
    pthread_setname_np(pthread_self(), worker->name);
    int64_t wait_ms = worker->idle ? 0 : -1;
    if (worker->heartbeat)
        heartbeat_begin(worker->heartbeat);
    for (;;) {
        void *message;
        heartbeat_step();
        if (mailbox_take(worker->mailbox, wait_ms, &message)) {
            struct task *task = message;
            task->fn(worker->state, task->arg);
            free(task);
            wait_ms = worker->idle ? 0 : -1; // the rest of the queue comes before idle
        } else if (mailbox_closed(worker->mailbox)) {
            if (!mailbox_count(worker->mailbox)) // one may have come between the two calls above
                break;
        } else {
            wait_ms = worker->idle(worker->state);
        }
    }
    heartbeat_end();
    return NULL;
}

/* Signals stay with the loop's thread: the new one starts with all of them blocked. */
static int start_blocked(struct worker *worker, const cpu_set_t *cpus)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (CPU_COUNT(cpus))
        pthread_attr_setaffinity_np(&attributes, sizeof *cpus, cpus);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&worker->thread, &attributes, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed;
}

err_t worker_start(const struct worker_options *options, struct worker **ret)
{
    cpu_set_t cpus;
    TRY(err_wrap(cpus_usable(options->cpus ? options->cpus : "", &cpus), "cpus"));
    struct worker *worker = mem_new(sizeof *worker);
    snprintf(worker->name, sizeof worker->name, "%s", options->name);
    worker->state = options->state;
    worker->idle = options->idle;
    worker->heartbeat = options->heartbeats ? options->name : NULL;
    worker->mailbox = mailbox_new(options->capacity);
    mailbox_on_room(worker->mailbox, options->on_room, options->on_room_arg);
    int failed = start_blocked(worker, &cpus);
    if (failed) {
        mailbox_free(worker->mailbox);
        free(worker);
        return err_new(ERR_EXHAUSTED, "cannot start the thread '%s': error %d", options->name,
                       failed);
    }
    *ret = worker;
    return OK;
}

static bool post(struct worker *worker, void (*fn)(void *state, void *arg), void *arg,
                 bool (*put)(struct mailbox *mailbox, void *message))
{
    struct task *task = mem_new(sizeof *task);
    task->fn = fn;
    task->arg = arg;
    bool posted = put(worker->mailbox, task);
    if (!posted)
        free(task);
    return posted;
}

bool worker_post(struct worker *worker, void (*fn)(void *state, void *arg), void *arg)
{
    return post(worker, fn, arg, mailbox_post);
}

bool worker_push(struct worker *worker, void (*fn)(void *state, void *arg), void *arg)
{
    return post(worker, fn, arg, mailbox_push);
}

bool worker_post_wait(struct worker *worker, void (*fn)(void *state, void *arg), void *arg)
{
    assert(!worker_is_current(worker)); // it would wait for itself
    return post(worker, fn, arg, mailbox_post_wait);
}

bool worker_is_current(const struct worker *worker)
{
    return current == worker;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    assert(!worker_is_current(worker));
    mailbox_close(worker->mailbox);
    pthread_join(worker->thread, NULL);
    mailbox_free(worker->mailbox);
    free(worker);
}
