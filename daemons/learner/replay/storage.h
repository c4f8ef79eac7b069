/* The storage thread: it alone owns the store. Other threads hand it jobs; whoever waits for the
 * store's state to change (leases to grant, a round to form) is asked again after every batch of
 * jobs and on a timer.
 *
 *     TRY(storage_start(&options, &storage));
 *     storage_on_change(storage, look, give_up, draw);             -- before the first job
 *     storage_post(storage, append, batch);                        -- append(storage, batch) runs there
 *     TRY(storage_call(storage, note_update, &update));            -- from the compute thread: waits for its err_t
 *
 * A failure of a posted job or of a look is final for the store: the loop is told, so that the
 * process ends, and who waits or comes later gets that error. */
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

/* fn(arg, store) after jobs and every half second, on the storage thread. Before the first job.
 * After a failure failed(arg, why) is called instead, again and again: it ends what waits, and
 * takes why. NULL: nothing waits. */
void storage_on_change(struct storage *storage, err_t (*fn)(void *arg, struct store *store),
                       void (*failed)(void *arg, err_t why), void *arg);

/* Runs fn(arg, store) on the storage thread, in order of posting. An error is final; after one,
 * calls of the store fail. Any thread. It refuses nothing: each sender bounds how many jobs of its
 * own may wait. */
void storage_post(struct storage *storage, err_t (*fn)(void *arg, struct store *store), void *arg);

/* The same, waiting for it; the error is the caller's and not final. After a failure fn is not run.
 * Not from the loop or the storage thread. */
err_t storage_call(struct storage *storage, err_t (*fn)(void *arg, struct store *store), void *arg);

/* Finishes the jobs, closes the store. */
void storage_free(struct storage *storage);
DEFINE_SCOPED(storage)
