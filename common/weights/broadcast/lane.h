/* A lane does the slow and dangerous part of a session on threads of its own: NCCL calls, and
 * copies through device memory.
 *
 *     TRY(lane_new(&(struct lane_options){.nccl = nccl, .device = 0}, &lane));
 *     lane_init(lane, &(struct lane_init){.id = id, .ranks = 4, .rank = 1});
 *     while (lane_busy(lane))                             -- every ms
 *         while (lane_poll(lane, &event)) { ... }         -- LANE_UP, or LANE_FAILED
 *
 * One thread makes all calls, each without blocking, and polls. A second thread aborts:
 * ncclCommAbort ends a call that hangs. The two are in the library with one communicator only
 * where the first is stuck in it (svc/claim.h). Communicators are always aborted, healthy ones too,
 * and never destroyed: an abort waits for nobody.
 *
 * Versions go in buckets, on a stream of their own. Those of the host go through two staging
 * buffers each on device and host (pinned). Those of the device are sent and received in place.
 * Owner: one thread; events come only from lane_poll. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "gpu/nccl.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lane;
struct lane_options {
    const struct nccl *nccl; // borrowed
    int device;
    int64_t grace_ms; // the time a call has to return before the other thread aborts it; 0: 100
};

/* EXHAUSTED: no more threads. */
err_t lane_new(const struct lane_options *options, struct lane **ret);

enum lane_event_kind {
    LANE_PREPARED,
    LANE_MINTED, // id
    LANE_UP,
    LANE_PART,    // bytes: length of the part that has come so far; rank 0 reports none
    LANE_DONE,    // all bytes are sent, or received
    LANE_FAILED,  // why; mine: the fault is here. The owner calls lane_abort next
    LANE_ABORTED, // bytes: length of the part that came. The data is not used any more
};
enum { LANE_WHY = 200 };
struct lane_event {
    enum lane_event_kind kind;
    uint64_t bytes;
    bool mine;
    struct nccl_id id;
    char why[LANE_WHY];
};
bool lane_poll(struct lane *lane, struct lane_event *ret);
bool lane_busy(const struct lane *lane); // an event will come

/* Makes staging of this many bytes: LANE_PREPARED. */
void lane_prepare(struct lane *lane, size_t bucket_bytes);
void lane_mint(struct lane *lane); // LANE_MINTED: a unique id

struct lane_init {
    struct nccl_id id;
    int ranks, rank;
};
void lane_init(struct lane *lane, const struct lane_init *init); // prepared: LANE_UP

/* Once up: LANE_DONE. Rank 0 sends len bytes of `from`, the others receive them into `to`, or take
 * part and drop them where that is NULL. Memory of the device, where it is not NULL: rank 0 sends
 * what lies there; the others receive there, and `to` becomes a copy. Each rank chooses for itself.
 * No write to it is under way when the call is made. Borrowed until LANE_DONE or LANE_ABORTED. */
struct lane_move {
    const uint8_t *from;
    uint8_t *to;
    void *device;
    uint64_t len;
};
void lane_move(struct lane *lane, const struct lane_move *move);

/* In any state, once until LANE_ABORTED. All other orders are given up. */
void lane_abort(struct lane *lane);

/* Aborts and waits up to 5 s. False: a call never returned. Then its threads, their memory and the
 * data being moved stay until the process ends. The lane is gone in both cases. */
bool lane_free(struct lane *lane);
