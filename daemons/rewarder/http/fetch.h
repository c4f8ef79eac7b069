/* The rewarder's way to servers: POST of a JSON text over HTTP/1.1, by libcurl, whose one home this
 * room is. A fetcher has one server, a thread, a pool of connections and a limit of requests at a
 * time; what is over the limit waits in the order it came.
 *
 *     TRY(fetcher_open(&options, &fetcher));
 *     fetcher_run(fetcher, begin, scorer, call);        -- any thread; begin(scorer, call) runs in the fetcher's
 *
 *     ask->of = (struct fetch){.body = text, .body_len = len, .due_s = due_s, .salt = salt,
 *                              .read = read_answer, .done = answered};
 *     fetch_start(fetcher, &ask->of);                   -- answered(&ask->of, OK) follows, or a named fault
 *
 * A request that fails in a way that may pass is sent again, after pauses that double and differ
 * by salt. So is one whose answer read refuses. No redirect is followed, no proxy of the
 * environment used, no cookie kept. Faults have the names of answer_fault.h. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"
#include <stdint.h>

struct fetcher;

struct fetcher_options {
    const char *name;         // of the thread: 15 characters; a literal
    const char *url;          // http:// or https://, with a host; no user, no fragment
    const char *ca_file;      // certificates that https trusts; "": the system's
    const char *key_file;     // of the bearer key, read again when it changes; "": none
    const char *cpus;         // As rewarder.cpus.
    int64_t concurrency;      // Requests at a time, and connections kept.
    int64_t timeout_ms;       // Limit of one try, to the last byte.
    int64_t tries;            // Tries of a request, with the first.
    int64_t pause_ms;         // Pause before the second try; 0: 100.
    size_t answer_bytes_most; // of a body
};

/* Copies the options. INVALID: the URL; a file that cannot be used. EXHAUSTED: no more threads. */
err_t fetcher_open(const struct fetcher_options *options, struct fetcher **ret);

/* fn(state, arg) in the fetcher's thread, in the order of calling. Any thread, until
 * fetcher_stop. */
void fetcher_run(struct fetcher *fetcher, void (*fn)(void *state, void *arg), void *state,
                 void *arg);

/* Ends what fetcher_run was given and joins the thread; requests under way are dropped without
 * their done. */
void fetcher_stop(struct fetcher *fetcher);
void fetcher_free(struct fetcher *fetcher); // stops it, too
DEFINE_SCOPED(fetcher)

/* One request, in memory of the caller's until done. */
struct fetch {
    const void *body; // borrowed until done
    size_t body_len;
    double due_s;  // clock_s(): no try goes on beyond it
    uint64_t salt; // of the pauses: no two requests have the same
    /* The body of an answer with a status of 2xx. An error that may pass brings another try, each
     * other one is the request's. */
    err_t (*read)(struct fetch *fetch, const void *data, size_t len);
    void (*done)(struct fetch *fetch, err_t failed); // once; takes failed; may free the fetch

    /* fetch.c's */
    struct fetch *next, **prev;
    struct fetch_slot *slot;
    double begins_s;
    int64_t tried;
};

/* In the fetcher's thread, these two. done comes later, or never after a cancel. */
void fetch_start(struct fetcher *fetcher, struct fetch *fetch);
void fetch_cancel(struct fetcher *fetcher, struct fetch *fetch);
