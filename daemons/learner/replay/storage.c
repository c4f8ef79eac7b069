#include "learner/replay/storage.h"
#include "base/clock.h"
#include "base/mem.h"
#include "svc/mailbox.h"
#include "svc/worker.h"

enum { CAPACITY = 4096, TICK_MS = 500 };

struct watcher {
    err_t (*fn)(void *arg, struct store *store);
    void (*failed)(void *arg, err_t why); // NULL: it waits for nothing that a failure ends
    void *arg;
};

struct storage {
    struct loop *loop;
    struct store *store;
    struct worker *worker;
    struct watcher *watcher; // (watchers)
    size_t watchers;
    bool changed;
    err_t dead; // the first failure; OK: none
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

/* Outlives the storage, which may be freed before the loop runs it. */
struct failure {
    void (*failed)(void *arg, err_t why);
    void *arg;
    err_t why;
};

static void tell_failure(void *arg)
{
    struct failure *failure = arg;
    failure->failed(failure->arg, failure->why);
    mem_free(failure);
}

static err_t copy_of(err_t why)
{
    return err_new(err_code(why), "%s", err_message(why));
}

/* The first failure: from here on every use of the store is answered with it. */
static void fail(struct storage *storage, err_t why)
{
    if (!err_failed(why))
        return;
    if (err_failed(storage->dead)) {
        err_free(why);
        return;
    }
    storage->dead = why;
    store_fail(storage->store, why);
    struct failure failure = {storage->failed, storage->arg, copy_of(why)};
    loop_post(storage->loop, tell_failure, mem_copy(&failure, sizeof failure));
}

/* Whoever waits for a change that will not come any more gets the error instead. */
static void tell_watchers(struct storage *storage)
{
    for (size_t i = 0; i < storage->watchers; i++) {
        const struct watcher *watcher = &storage->watcher[i];
        if (watcher->failed)
            watcher->failed(watcher->arg, copy_of(storage->dead));
    }
}

/* Whoever waits for a change looks again. */
static void look(struct storage *storage)
{
    storage->changed = false;
    storage->ticked_ms = clock_ms();
    for (size_t i = 0; i < storage->watchers && !err_failed(storage->dead); i++)
        fail(storage, storage->watcher[i].fn(storage->watcher[i].arg, storage->store));
    if (err_failed(storage->dead))
        tell_watchers(storage);
}

static void run_job(void *state, void *arg)
{
    struct storage *storage = state;
    struct job *job = arg;
    storage->changed = true;
    if (job->reply) {
        job->result =
            err_failed(storage->dead) ? copy_of(storage->dead) : job->fn(job->arg, storage->store);
        mailbox_post(job->reply, job);
    } else {
        fail(storage, job->fn(job->arg, storage->store));
        mem_free(job);
    }
    if (clock_ms() - storage->ticked_ms >= TICK_MS)
        look(storage); // jobs that come without a pause keep nobody waiting
}

/* Between jobs. */
static int64_t settle(void *state)
{
    struct storage *storage = state;
    if (storage->changed || clock_ms() - storage->ticked_ms >= TICK_MS)
        look(storage);
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
    struct worker_options worker = {.name = "storage",
                                    .capacity = CAPACITY,
                                    .state = storage,
                                    .idle = settle,
                                    .heartbeats = true};
    TRY(worker_start(&worker, &storage->worker));
    *ret = STEAL(storage);
    return OK;
}

static void add_watcher(void *state, void *arg)
{
    struct storage *storage = state;
    struct watcher *watcher = arg;
    storage->watcher = mem_grow(storage->watcher, storage->watchers + 1, sizeof *storage->watcher);
    storage->watcher[storage->watchers++] = *watcher;
    mem_free(watcher);
}

void storage_on_change(struct storage *storage, err_t (*fn)(void *arg, struct store *store),
                       void (*failed)(void *arg, err_t why), void *arg)
{
    struct watcher watcher = {.fn = fn, .failed = failed, .arg = arg};
    (void)worker_push(storage->worker, add_watcher, mem_copy(&watcher, sizeof watcher));
}

void storage_post(struct storage *storage, err_t (*fn)(void *arg, struct store *store), void *arg)
{
    struct job job = {.fn = fn, .arg = arg};
    (void)worker_push(storage->worker, run_job, mem_copy(&job, sizeof job));
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
    err_free(storage->dead);
    mem_free(storage->watcher);
    mem_free(storage);
}
