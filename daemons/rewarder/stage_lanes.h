/* The threads of stages: a pool for stages that share it, one for each class whose stages run
 * together, and threads for each stage that wants to be alone. A thread has one call at a time; the
 * others wait in the order they came.
 *
 *     TRY(stage_lanes_open(list, &lanes));
 *     stage_lanes_run(lanes, &call->work);           -- work->run in a thread of work->stage, now or later
 *     stage_lanes_ended(lanes, &call->work);         -- its thread is free again
 *
 * Owner: the loop's thread. */
#pragma once
#include "rewarder/stage_list.h"

struct lane_thread;

/* Embedded in a call that runs. */
struct lane_work {
    struct lane_work *next;
    struct lane_thread *thread; // NULL: it waits
    size_t stage;
    size_t at;      // the thread's number in its lane
    double begun_s; // clock_s() when its thread got it; 0: it waits
    double late_s;  // clock_s() since when nobody waits for it; 0: somebody does
    void (*run)(void *none, void *work);
};

struct stage_lanes;
err_t stage_lanes_open(const struct stage_list *list, struct stage_lanes **ret);

/* A stage that runs on the loop has no lane: its work is run here. */
void stage_lanes_run(struct stage_lanes *lanes, struct lane_work *work);
void stage_lanes_ended(struct stage_lanes *lanes, struct lane_work *work);

/* Takes back work that has not begun. */
void stage_lanes_withdraw(struct stage_lanes *lanes, struct lane_work *work);

/* The time since when late work holds every thread of the stage; 0: one thread has none. */
double stage_lanes_stuck_s(const struct stage_lanes *lanes, size_t stage);

/* Nothing begins any more; joins the threads. */
void stage_lanes_stop(struct stage_lanes *lanes);
void stage_lanes_free(struct stage_lanes *lanes);
