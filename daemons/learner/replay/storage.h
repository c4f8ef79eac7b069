/* The storage thread owns the store, and other threads hand it jobs. Leasing and the drawing of
 * rounds wait for changes of the store. The thread calls them after every batch of jobs and on a
 * timer.
 *
 *     TRY(storage_start(&options, &storage));
 *     storage_on_change(storage, look, give_up, draw);             -- before the first job
 *     storage_post(storage, append, batch);                        -- append(storage, batch) runs there
 *     TRY(storage_call(storage, note_update, &update));            -- from the compute thread: waits for its err_t
 *
 * A failure of a posted job, or of a call on change, is final for the store. The loop is told, so
 * that the process ends. Every waiting and every later call gets that error. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "learner/store/store.h"
#include "svc/loop.h"

struct storage;

struct storage_options {
    struct loop *loop;
    const char *directory;
    struct store_options store; // borrowed texts must live as long as the storage
    struct store_rules rules;
    void (*failed)(void *arg, err_t why); // on the loop's thread, once; takes why
    void *arg;
};

/* Opens the store and starts the thread. Errors as store_open. */
err_t storage_start(const struct storage_options *options, struct storage **ret);

/* To be set before the first job. fn(arg, store) runs after jobs and every half second, on the
 * storage thread. After a failure failed(arg, why) runs instead, each time: it ends all waiting,
 * and takes why. NULL: nothing waits. */
void storage_on_change(struct storage *storage, err_t (*fn)(void *arg, struct store *store),
                       void (*failed)(void *arg, err_t why), void *arg);

/* Runs fn(arg, store) on the storage thread, in order of posting. An error is final; after one,
 * calls of the store fail. No job is refused, so each sender bounds how many of its own may wait.
 * Any thread. */
void storage_post(struct storage *storage, err_t (*fn)(void *arg, struct store *store), void *arg);

/* The same, waiting for it; the error is the caller's and not final. After a failure fn is not run.
 * Not from the loop or the storage thread. */
err_t storage_call(struct storage *storage, err_t (*fn)(void *arg, struct store *store), void *arg);

/* Finishes the jobs, closes the store. */
void storage_free(struct storage *storage);
DEFINE_SCOPED(storage)
