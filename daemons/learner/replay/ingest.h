/* Replay.Append: takes scored groups from rewarders, and answers each with a durable disposition.
 *
 *     ingest = ingest_new(&options);
 *     services[n++] = ingest_service(ingest);
 *
 * Groups that arrive while a write is under way make the next one: many appends, one fsync. With
 * too many waiting the streams are not read, and pressure walks back round the ring. Groups of an
 * evaluation never reach the store. Owner: the loop's thread. */
#pragma once
#include "learner/replay/hold_peers.h"
#include "learner/replay/misfit.h"
#include "learner/replay/storage.h"
#include "rpc/server.h"

struct ingest;
struct ingest_options {
    struct storage *storage;
    struct loop *loop;
    const struct hello *hello; // the learner's own; every rewarder's must agree. Borrowed
    struct misfit_rules rules; // groups that do not fit are rejected

    /* Takes a group of an evaluation: its outcome, and for people why it is not taken. An error is
     * the store's end. evaluating_take, on the storage thread. */
    err_t (*evaluated)(void *evaluating, const struct group *group, enum outcome *ret,
                       char why[MISFIT_WHY]);
    void *evaluating;

    /* breaker_rejected: hears who gave a group up, and why; reason: as its slot may leave. NULL:
     * nobody. Storage thread. */
    void (*rejected)(void *breaker, enum reason reason, const char *who, const char *why);
    void *breaker;

    /* Where other threads see how many rewarders wait for a stage that does not answer. NULL: no
     * one looks. */
    struct cell *held;
};

struct ingest *ingest_new(const struct ingest_options *options);
struct rpc_service ingest_service(struct ingest *ingest);

/* Rewarders, for the run's holds. */
void ingest_facts(const struct ingest *ingest, struct hold_peers *ret);

/* The streams that are open: a rewarder has one. Fills at most `most`; how many there are. */
struct ingest_stream {
    char peer[64];
    /* The id of its reference model's numerics, as its hello said. "": it has none. */
    char forward[NAME_MAX_BYTES + 1];
    double since_s, tokens; // clock_s() at its begin; of completions received over it
    uint64_t groups;
    bool scores_again;       // as its hello said
    char held[WAITING_TEXT]; // by a stage that does not answer; "": by none
};
size_t ingest_streams(const struct ingest *ingest, struct ingest_stream *ret, size_t most);

/* Sends a message to one of the rewarders that score groups once more, in turn; takes a reference.
 * False: there is none, or it has enough to do. After ingest_stop: true, it is not needed. */
bool ingest_offer(struct ingest *ingest, struct rpc_message *message);
double ingest_departures(const struct ingest *ingest); // of rewarders, so far. Any thread

/* Hands nothing more to the storage thread, which ends next. Rewarders send what waits again. */
void ingest_stop(struct ingest *ingest);

/* After the server and the storage thread's last job. */
void ingest_free(struct ingest *ingest);
DEFINE_SCOPED(ingest)
