/* The tasks and reports of a lane's two threads (weights/broadcast/lane.h). For lane.c alone. */
#pragma once
#include "weights/broadcast/lane.h"

struct claim;
struct mailbox;
struct lane_work;

/* Kinds of reports in the mailbox: lane_event's, and these. */
enum { LANE_COMM = 100, LANE_LET_GO, LANE_COMM_ABORTED, LANE_QUIET };
struct lane_report {
    struct lane_event event;
    int kind;
    void *comm; // LANE_COMM, LANE_LET_GO: the communicator
};

/* claim: of the communicator; who aborts it closes it. Borrowed. */
struct lane_work *lane_work_new(const struct nccl *nccl, int device, struct mailbox *reports,
                                struct claim *claim);
void lane_work_free(struct lane_work *work); // call lane_work_clean first

/* The working thread's tasks: state is the lane_work, arg is freed unless it is NULL. */
void lane_work_prepare(void *state, void *arg); // size_t
void lane_work_mint(void *state, void *arg);
void lane_work_init(void *state, void *arg);   // struct lane_init
void lane_work_move(void *state, void *arg);   // struct lane_move
void lane_work_let_go(void *state, void *arg); // touches neither communicator nor data any more
void lane_work_settle(void *state, void *arg); // LANE_QUIET: nothing uses the device's memory
void lane_work_clean(void *state, void *arg);
int64_t lane_work_step(void *state); // the worker's idle: one step of what is under way

/* The aborting thread's: arg is the communicator. */
void lane_work_abort(void *state, void *arg);
