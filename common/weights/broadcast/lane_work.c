#include "weights/broadcast/lane_work.h"
#include "base/mem.h"
#include "svc/claim.h"
#include "svc/mailbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 2, POLL_MS = 1 };
enum phase { REST, DRAIN, CONNECT, MOVE, SETTLE };

/* A bucket between host and wire. */
struct slot {
    void *device, *host, *event; // host is pinned
    void *at;                    // the broadcast's memory: `device`, or the move's own
    size_t len;
};

struct lane_work {
    const struct nccl *nccl;
    int device;
    struct mailbox *reports;
    struct claim *claim; // of comm
    bool is_device_set;
    size_t bucket;
    void *stream;
    struct slot slot[SLOTS];
    enum phase phase;
    void *comm;
    struct lane_init init;
    struct lane_move move;
    uint64_t next, done; // bytes enqueued, through
    int busy, oldest;    // slots
    bool enqueuing;      // ncclBroadcast of the newest slot is in progress
};

struct lane_work *lane_work_new(const struct nccl *nccl, int device, struct mailbox *reports,
                                struct claim *claim)
{
    struct lane_work *work = mem_new(sizeof *work);
    work->nccl = nccl;
    work->device = device;
    work->reports = reports;
    work->claim = claim;
    return work;
}

void lane_work_free(struct lane_work *work)
{
    free(work);
}

/* ---- reports */

static void report(struct lane_work *work, struct lane_report report)
{
    struct lane_report *owned = mem_copy(&report, sizeof report);
    if (!mailbox_post_wait(work->reports, owned))
        free(owned);
}

static void fail(struct lane_work *work, bool mine, const char *what, const char *why,
                 const char *more)
{
    struct lane_report failed = {.kind = LANE_FAILED, .event.mine = mine};
    snprintf(failed.event.why, sizeof failed.event.why, "%s: %s%s%s", what, why, *more ? ": " : "",
             more);
    work->phase = REST;
    report(work, failed);
}

/* True: rc is no error of CUDA. */
static bool cuda_ok(struct lane_work *work, const char *what, int rc)
{
    if (rc == CUDA_SUCCESS)
        return true;
    fail(work, true, what, work->nccl->call.cuda_text(rc), "");
    return false;
}

/* After another rank's death NCCL says system or remote error; all others are our own. The
 * communicator is not asked for more: it may just have been aborted. */
static void nccl_failed(struct lane_work *work, const char *what, int rc)
{
    const char *more = work->nccl->call.last_error(NULL);
    fail(work, rc != NCCL_SYSTEM_ERROR && rc != NCCL_REMOTE_ERROR, what,
         work->nccl->call.error_text(rc), more ? more : "");
}

/* The other thread aborts it, as a call took too long: nothing more is said. */
static void taken_away(struct lane_work *work)
{
    work->phase = REST;
}

/* The communicator's state: SUCCESS, IN_PROGRESS, or a failure that has been reported (-1). */
static int comm_state(struct lane_work *work, const char *what)
{
    int state = NCCL_SUCCESS;
    if (!claim_enter(work->claim)) {
        taken_away(work);
        return -1;
    }
    const int rc = work->nccl->call.async_error(work->comm, &state);
    claim_leave(work->claim);
    if (rc == NCCL_SUCCESS && (state == NCCL_SUCCESS || state == NCCL_IN_PROGRESS))
        return state;
    nccl_failed(work, what, rc == NCCL_SUCCESS ? state : rc);
    return -1;
}

/* ---- staging */

static bool use_device(struct lane_work *work)
{
    if (!work->is_device_set)
        work->is_device_set =
            cuda_ok(work, "cudaSetDevice", work->nccl->call.set_device(work->device));
    return work->is_device_set;
}

static void free_staging(struct lane_work *work)
{
    const struct nccl_calls *call = &work->nccl->call;
    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &work->slot[i];
        if (slot->event)
            (void)call->event_destroy(slot->event);
        if (slot->host)
            (void)call->free_host(slot->host);
        if (slot->device)
            (void)call->free(slot->device);
        *slot = (struct slot){0};
    }
    work->bucket = 0;
}

static bool make_staging(struct lane_work *work, size_t bucket)
{
    const struct nccl_calls *call = &work->nccl->call;
    if (!use_device(work))
        return false;
    if (!work->stream &&
        !cuda_ok(work, "a stream", call->stream_create(&work->stream, CUDA_STREAM_NON_BLOCKING)))
        return false;
    if (work->bucket == bucket)
        return true;
    free_staging(work);
    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &work->slot[i];
        if (!cuda_ok(work, "staging", call->malloc(&slot->device, bucket)) ||
            !cuda_ok(work, "staging", call->malloc_host(&slot->host, bucket)) ||
            !cuda_ok(work, "an event",
                     call->event_create(&slot->event, CUDA_EVENT_DISABLE_TIMING))) {
            free_staging(work);
            return false;
        }
    }
    work->bucket = bucket;
    return true;
}

/* ---- tasks */

void lane_work_prepare(void *state, void *arg)
{
    struct lane_work *work = state;
    const size_t bucket = *(size_t *)arg;
    free(arg);
    if (make_staging(work, bucket))
        report(work, (struct lane_report){.kind = LANE_PREPARED});
}

void lane_work_mint(void *state, void *arg)
{
    struct lane_work *work = state;
    struct lane_report minted = {.kind = LANE_MINTED};
    (void)arg;
    if (!use_device(work))
        return;
    const int rc = work->nccl->call.unique_id(&minted.event.id);
    if (rc == NCCL_SUCCESS)
        report(work, minted);
    else
        nccl_failed(work, "ncclGetUniqueId", rc);
}

void lane_work_init(void *state, void *arg)
{
    struct lane_work *work = state;
    work->init = *(struct lane_init *)arg;
    free(arg);
    if (use_device(work))
        work->phase = DRAIN;
}

void lane_work_move(void *state, void *arg)
{
    struct lane_work *work = state;
    work->move = *(struct lane_move *)arg;
    free(arg);
    work->next = work->done = 0;
    work->busy = work->oldest = 0;
    work->enqueuing = false;
    work->phase = MOVE;
}

void lane_work_let_go(void *state, void *arg)
{
    struct lane_work *work = state;
    struct lane_report report_of = {.kind = LANE_LET_GO, .comm = work->comm};
    (void)arg;
    report_of.event.bytes = work->done;
    work->comm = NULL;
    work->move = (struct lane_move){0};
    work->done = 0;
    work->phase = REST;
    report(work, report_of);
}

/* What a stream still uses is not freed: better lost than written to by a device. */
void lane_work_clean(void *state, void *arg)
{
    struct lane_work *work = state;
    (void)arg;
    if (!work->stream || work->nccl->call.stream_query(work->stream) != CUDA_SUCCESS)
        return;
    free_staging(work);
    (void)work->nccl->call.stream_destroy(work->stream);
    work->stream = NULL;
}

void lane_work_settle(void *state, void *arg)
{
    struct lane_work *work = state;
    (void)arg;
    work->phase = SETTLE;
}

void lane_work_abort(void *state, void *arg)
{
    struct lane_work *work = state;
    (void)work->nccl->call.set_device(work->device);
    (void)work->nccl->call.abort(arg);
    report(work, (struct lane_report){.kind = LANE_COMM_ABORTED});
}

/* ---- steps */

/* The last session's operations must have left the stream before its staging is used again. */
static int64_t drain(struct lane_work *work)
{
    const int rc = work->nccl->call.stream_query(work->stream);
    if (rc == CUDA_NOT_READY)
        return POLL_MS;
    if (!cuda_ok(work, "the stream of the last session", rc))
        return 0;
    struct nccl_config config = nccl_config_default();
    void *comm = NULL;
    claim_open(work->claim);
    const int started =
        work->nccl->call.init(&comm, work->init.ranks, work->init.id, work->init.rank, &config);
    work->comm = comm;
    if (comm)
        report(work, (struct lane_report){.kind = LANE_COMM, .comm = comm});
    if (started != NCCL_SUCCESS && started != NCCL_IN_PROGRESS)
        nccl_failed(work, "ncclCommInitRankConfig", started);
    else
        work->phase = CONNECT;
    return 0;
}

static int64_t connect_step(struct lane_work *work)
{
    const int state = comm_state(work, "ncclCommInitRankConfig");
    if (state == NCCL_IN_PROGRESS)
        return POLL_MS;
    if (state == NCCL_SUCCESS) {
        work->phase = REST;
        report(work, (struct lane_report){.kind = LANE_UP});
    }
    return 0;
}

/* Behind the broadcast: on the receiving side the copy to the host, and the mark that all of it is
 * through. */
static void finish_enqueuing(struct lane_work *work)
{
    const struct nccl_calls *call = &work->nccl->call;
    struct slot *slot = &work->slot[(work->oldest + work->busy) % SLOTS];
    work->enqueuing = false;
    if (work->init.rank != 0 && work->move.to &&
        !cuda_ok(work, "a copy from the device",
                 call->copy(slot->host, slot->at, slot->len, CUDA_TO_HOST, work->stream)))
        return;
    if (!cuda_ok(work, "an event", call->event_record(slot->event, work->stream)))
        return;
    work->next += slot->len;
    work->busy++;
}

static void enqueue(struct lane_work *work)
{
    const struct nccl_calls *call = &work->nccl->call;
    struct slot *slot = &work->slot[(work->oldest + work->busy) % SLOTS];
    const uint64_t left = work->move.len - work->next;
    slot->len = left < work->bucket ? (size_t)left : work->bucket;
    slot->at = work->move.device ? (char *)work->move.device + work->next : slot->device;
    if (work->init.rank == 0 && !work->move.device) {
        memcpy(slot->host, work->move.from + work->next, slot->len);
        if (!cuda_ok(work, "a copy to the device",
                     call->copy(slot->device, slot->host, slot->len, CUDA_TO_DEVICE, work->stream)))
            return;
    }
    if (!claim_enter(work->claim)) {
        taken_away(work);
        return;
    }
    const int rc =
        call->broadcast(slot->at, slot->at, slot->len, NCCL_UINT8, 0, work->comm, work->stream);
    claim_leave(work->claim);
    if (rc == NCCL_IN_PROGRESS)
        work->enqueuing = true;
    else if (rc == NCCL_SUCCESS)
        finish_enqueuing(work);
    else
        nccl_failed(work, "ncclBroadcast", rc);
}

/* The oldest bucket, if it is through. An event also passes when its broadcast was aborted: the
 * state is asked after it. */
static int64_t finish_bucket(struct lane_work *work)
{
    struct slot *slot = &work->slot[work->oldest];
    const int rc = work->nccl->call.event_query(slot->event);
    if (rc != CUDA_NOT_READY && !cuda_ok(work, "a bucket", rc))
        return 0;
    if (comm_state(work, "ncclBroadcast") < 0)
        return 0;
    if (rc == CUDA_NOT_READY)
        return POLL_MS;
    if (work->init.rank != 0 && work->move.to)
        memcpy(work->move.to + work->done, slot->host, slot->len);
    work->done += slot->len;
    work->oldest = (work->oldest + 1) % SLOTS;
    work->busy--;
    if (work->init.rank != 0)
        report(work, (struct lane_report){.kind = LANE_PART, .event.bytes = work->done});
    return 0;
}

static int64_t move_step(struct lane_work *work)
{
    if (work->enqueuing) {
        const int state = comm_state(work, "ncclBroadcast");
        if (state == NCCL_SUCCESS)
            finish_enqueuing(work);
        return state == NCCL_IN_PROGRESS ? POLL_MS : 0;
    }
    if (work->next < work->move.len && work->busy < SLOTS) {
        enqueue(work);
        return 0;
    }
    if (work->busy)
        return finish_bucket(work);
    work->phase = REST;
    report(work, (struct lane_report){.kind = LANE_DONE, .event.bytes = work->done});
    return 0;
}

/* An aborted broadcast leaves the stream soon, but not at once. */
static int64_t settle(struct lane_work *work)
{
    if (work->stream && work->nccl->call.stream_query(work->stream) == CUDA_NOT_READY)
        return POLL_MS;
    work->phase = REST;
    report(work, (struct lane_report){.kind = LANE_QUIET});
    return -1;
}

int64_t lane_work_step(void *state)
{
    struct lane_work *work = state;
    switch (work->phase) {
    case DRAIN:
        return drain(work);
    case CONNECT:
        return connect_step(work);
    case MOVE:
        return move_step(work);
    case SETTLE:
        return settle(work);
    default:
        return -1;
    }
}
