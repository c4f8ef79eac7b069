#include "weights/broadcast/lane.h"
#include "base/clock.h"
#include "base/mem.h"
#include "svc/claim.h"
#include "svc/mailbox.h"
#include "svc/worker.h"
#include "weights/broadcast/lane_work.h"
#include <stdlib.h>

enum { TASKS = 16, REPORTS = 64, GRACE_MS = 100, FREE_MS = 5000 };

struct lane {
    struct lane_options options;
    struct mailbox *reports;
    struct lane_work *work;
    struct worker *worker, *aborter;
    void *comm;          // for the aborting thread: from its beginning to its abort
    struct claim *claim; // of it; stays with the threads if they do
    bool busy;
    /* From lane_abort to LANE_ABORTED. */
    bool ending, has_let_go, is_aborting, is_aborted;
    bool on_device;               // the last move: the stream may still use its memory
    bool is_settling, is_settled; // from the abort on; only then
    int64_t grace_until_ms;
    uint64_t bytes;
};

err_t lane_new(const struct lane_options *options, struct lane **ret)
{
    struct lane *lane = mem_new(sizeof *lane);
    lane->options = *options;
    if (!lane->options.grace_ms)
        lane->options.grace_ms = GRACE_MS;
    lane->reports = mailbox_new(REPORTS);
    lane->claim = mem_new(sizeof *lane->claim);
    lane->work = lane_work_new(options->nccl, options->device, lane->reports, lane->claim);
    const struct worker_options worker = {
        .name = "nccl", .capacity = TASKS, .state = lane->work, .idle = lane_work_step};
    const struct worker_options aborter = {
        .name = "nccl-abort", .capacity = TASKS, .state = lane->work};
    err_t e = worker_start(&worker, &lane->worker);
    if (!err_failed(e))
        e = worker_start(&aborter, &lane->aborter);
    if (err_failed(e)) {
        lane_free(lane);
        return e;
    }
    *ret = lane;
    return OK;
}

/* ---- orders */

/* There are never more than a few: the rules wait for each answer. */
static void order(struct lane *lane, void (*task)(void *state, void *arg), void *arg)
{
    lane->busy = true;
    (void)worker_push(lane->worker, task, arg); // the loop must not wait for a call into NCCL
}

void lane_prepare(struct lane *lane, size_t bucket_bytes)
{
    order(lane, lane_work_prepare, mem_copy(&bucket_bytes, sizeof bucket_bytes));
}

void lane_mint(struct lane *lane)
{
    order(lane, lane_work_mint, NULL);
}

void lane_init(struct lane *lane, const struct lane_init *init)
{
    order(lane, lane_work_init, mem_copy(init, sizeof *init));
}

void lane_move(struct lane *lane, const struct lane_move *move)
{
    lane->on_device = move->device != NULL;
    order(lane, lane_work_move, mem_copy(move, sizeof *move));
}

void lane_abort(struct lane *lane)
{
    if (lane->ending)
        return;
    lane->ending = true;
    lane->has_let_go = lane->is_aborting = lane->is_aborted = false;
    lane->is_settling = lane->is_settled = false;
    lane->grace_until_ms = clock_ms() + lane->options.grace_ms;
    order(lane, lane_work_let_go, NULL);
}

/* ---- the abort: when the working thread has let go, or, if it is stuck in the communicator, after
 * a grace */

static void try_abort(struct lane *lane)
{
    if (!lane->ending || lane->is_aborting || !lane->comm)
        return;
    if (!lane->has_let_go && clock_ms() < lane->grace_until_ms)
        return;
    lane->is_aborting = true;
    (void)claim_close(lane->claim);
    (void)worker_push(lane->aborter, lane_work_abort, lane->comm);
}

static bool is_aborted(const struct lane *lane)
{
    return lane->ending && lane->has_let_go && (!lane->comm || lane->is_aborted);
}

/* Memory of the device goes back when the stream is done with it. */
static void try_settle(struct lane *lane)
{
    if (!is_aborted(lane) || !lane->on_device || lane->is_settling)
        return;
    lane->is_settling = true;
    (void)worker_push(lane->worker, lane_work_settle, NULL);
}

static bool is_over(const struct lane *lane)
{
    return is_aborted(lane) && (!lane->on_device || lane->is_settled);
}

bool lane_poll(struct lane *lane, struct lane_event *ret)
{
    void *message;
    while (mailbox_take(lane->reports, 0, &message)) {
        SCOPED_MEM struct lane_report *report = message;
        if (report->kind == LANE_COMM) {
            lane->comm = report->comm;
        } else if (report->kind == LANE_LET_GO) {
            lane->has_let_go = true;
            lane->bytes = report->event.bytes;
        } else if (report->kind == LANE_COMM_ABORTED) {
            lane->is_aborted = true;
        } else if (report->kind == LANE_QUIET) {
            lane->is_settled = true;
        } else {
            lane->busy = lane->ending || report->kind == LANE_PART;
            *ret = report->event;
            ret->kind = (enum lane_event_kind)report->kind;
            return true;
        }
    }
    try_abort(lane);
    try_settle(lane);
    if (!is_over(lane))
        return false;
    lane->ending = lane->busy = lane->on_device = false;
    lane->comm = NULL;
    *ret = (struct lane_event){.kind = LANE_ABORTED, .bytes = lane->bytes};
    return true;
}

bool lane_busy(const struct lane *lane)
{
    return lane->busy;
}

/* ---- the end */

static bool wait_aborted(struct lane *lane)
{
    struct lane_event event;
    lane_abort(lane);
    for (const int64_t until = clock_ms() + FREE_MS; clock_ms() < until; clock_sleep_ms(1))
        while (lane_poll(lane, &event))
            if (event.kind == LANE_ABORTED)
                return true;
    return false;
}

bool lane_free(struct lane *lane)
{
    void *message;
    if (!lane)
        return true;
    if (lane->worker && lane->aborter) {
        if (!wait_aborted(lane)) {
            nccl_set_stuck();
            free(lane); // what the threads look at stays
            return false;
        }
        (void)worker_push(lane->worker, lane_work_clean, NULL);
    }
    worker_free(lane->worker);
    worker_free(lane->aborter);
    while (mailbox_take(lane->reports, 0, &message))
        free(message);
    mailbox_free(lane->reports);
    lane_work_free(lane->work);
    mem_free(lane->claim);
    free(lane);
    return true;
}
