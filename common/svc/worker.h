/* A thread with a mailbox. The thread owns a state, and runs the posted functions on it one after
 * another.
 *
 *     static void append(void *state, void *arg) { struct storage *storage = state; ... }
 *
 *     struct worker_options options = {.name = "storage", .capacity = 64, .state = storage};
 *     TRY(worker_start(&options, &storage->worker));
 *     if (!worker_post(storage->worker, append, request))   -- full: request is still ours; stop reading the stream
 *         ...
 *
 * Any thread may post; state belongs to the worker's thread from worker_start to worker_free.
 * Signals go to the loop. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;

struct worker_options {
    const char *name; // of the thread, as top and gdb show it: 15 characters; a literal
    size_t capacity;  // of the mailbox, > 0
    /* Cores that the thread is bound to (base/cpus.h); NULL or empty: none; borrowed by
     * worker_start */
    const char *cpus;
    void *state; // borrowed until worker_free; handed to every fn
    /* Called when the mailbox is empty, with all messages done: the thread's own work (a decode
     * step). Returns the ms to wait for a message before the next call of idle. 0: there is more to
     * do; negative: idle is called only after the next message. */
    int64_t (*idle)(void *state);
    bool heartbeats;            // its tasks go on or the process is stuck (base/heartbeat.h)
    void (*on_room)(void *arg); // as mailbox_on_room; called in the worker's thread
    void *on_room_arg;
};

/* EXHAUSTED: no more threads; INVALID: cpus. */
err_t worker_start(const struct worker_options *options, struct worker **ret);

/* fn(state, arg) in the worker's thread, in order of posting. False if full, or being freed: arg
 * stays the caller's. */
bool worker_post(struct worker *worker, void (*fn)(void *state, void *arg), void *arg);

/* The same beyond the capacity, as mailbox_push: for tasks that must run and whose number their
 * sender bounds. False only if being freed. */
bool worker_push(struct worker *worker, void (*fn)(void *state, void *arg), void *arg);

/* The same, but waits for room: for teardown and tests, never in the loop's thread. False only if
 * being freed. */
bool worker_post_wait(struct worker *worker, void (*fn)(void *state, void *arg), void *arg);

bool worker_is_current(const struct worker *worker); // is this the worker's thread? For asserts

/* Finishes the queued messages (idle is not called again), then ends the thread. Not from the
 * worker's own thread. */
void worker_free(struct worker *worker);
DEFINE_SCOPED(worker)
