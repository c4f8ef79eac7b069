#include "learner/storage.h"
#include "base/clock.h"
#include "base/mem.h"
#include "svc/mailbox.h"
#include "svc/worker.h"
#include <stdlib.h>

enum { CAPACITY = 4096, WATCHERS = 4, TICK_MS = 500 };

struct watcher {
    err_t (*fn)(void *arg, struct store *store);
    void *arg;
};

struct storage {
    struct loop *loop;
    struct store *store;
    struct worker *worker;
    struct watcher watcher[WATCHERS];
    int watchers;
    bool changed, dead;
    int64_t ticked_ms;
    void (*failed)(void *arg, err_t why);
    void *arg;
};

struct job {
    err_t (*fn)(void *arg, struct store *store);
    void *arg;
    struct mailbox *reply; // NULL: nobody waits
    err_t result;
};

struct failure {
    struct storage *storage;
    err_t why;
};

static void tell_failure(void *arg)
{
    struct failure *failure = arg;
    failure->storage->failed(failure->storage->arg, failure->why);
    mem_free(failure);
}

/* The first failed write: nothing is done with the store from here on. */
static void fail(struct storage *storage, err_t why)
{
    if (!err_failed(why))
        return;
    if (storage->dead) {
        err_free(why);
        return;
    }
    storage->dead = true;
    struct failure *failure = mem_new(sizeof *failure);
    *failure = (struct failure){.storage = storage, .why = why};
    loop_post(storage->loop, tell_failure, failure);
}

static void run_job(void *state, void *arg)
{
    struct storage *storage = state;
    struct job *job = arg;
    storage->changed = true;
    if (!job->reply) {
        fail(storage, job->fn(job->arg, storage->store));
        mem_free(job);
        return;
    }
    job->result = job->fn(job->arg, storage->store);
    mailbox_post(job->reply, job);
}

/* Between jobs: whoever waits for a change looks again. */
static int64_t settle(void *state)
{
    struct storage *storage = state;
    int64_t now = clock_ms();
    if ((storage->changed || now - storage->ticked_ms >= TICK_MS) && !storage->dead) {
        storage->changed = false;
        storage->ticked_ms = now;
        for (int i = 0; i < storage->watchers && !storage->dead; i++)
            fail(storage, storage->watcher[i].fn(storage->watcher[i].arg, storage->store));
    }
    return TICK_MS;
}

err_t storage_start(const struct storage_options *options, struct storage **ret)
{
    SCOPED(storage) storage = mem_new(sizeof *storage);
    storage->loop = options->loop;
    storage->failed = options->failed;
    storage->arg = options->arg;
    TRY(store_open(options->directory, &options->store, &options->rules, clock_ms(),
                   &storage->store));
    struct worker_options worker = {
        .name = "storage", .capacity = CAPACITY, .state = storage, .idle = settle};
    TRY(worker_start(&worker, &storage->worker));
    *ret = STEAL(storage);
    return OK;
}

struct watch {
    struct storage *storage;
    struct watcher watcher;
};

static void add_watcher(void *state, void *arg)
{
    struct storage *storage = state;
    struct watcher *watcher = arg;
    if (storage->watchers == WATCHERS)
        abort();
    storage->watcher[storage->watchers++] = *watcher;
    mem_free(watcher);
}

void storage_on_change(struct storage *storage, err_t (*fn)(void *arg, struct store *store),
                       void *arg)
{
    struct watcher watcher = {.fn = fn, .arg = arg};
    if (!worker_post(storage->worker, add_watcher, mem_copy(&watcher, sizeof watcher)))
        abort();
}

void storage_post(struct storage *storage, err_t (*fn)(void *arg, struct store *store), void *arg)
{
    struct job job = {.fn = fn, .arg = arg};
    if (!worker_post(storage->worker, run_job, mem_copy(&job, sizeof job)))
        abort();
}

err_t storage_call(struct storage *storage, err_t (*fn)(void *arg, struct store *store), void *arg)
{
    SCOPED(mailbox) reply = mailbox_new(1);
    struct job job = {.fn = fn, .arg = arg, .reply = reply};
    if (!worker_post_wait(storage->worker, run_job, &job))
        return err_new(ERR_UNAVAILABLE, "storage has ended");
    void *done;
    mailbox_take(reply, -1, &done);
    return job.result;
}

void storage_free(struct storage *storage)
{
    if (!storage)
        return;
    worker_free(storage->worker);
    store_free(storage->store);
    mem_free(storage);
}
