/* Private to the pipeline's sources: its struct, its groups and their calls. Calls go down this
 * list, none back up: pipeline.c, pipeline_calls.c, pipeline_items.c, circuit.c. Owner: the loop's
 * thread. */
#pragma once
#include "rewarder/circuit.h"
#include "rewarder/pipeline.h"
#include "rewarder/stage_lanes.h"
#include "svc/cell.h"

enum progress_state { TO_BEGIN, UNDER_WAY, PAUSES, DONE };

/* A group at one of its stages. */
struct progress {
    enum progress_state state;
    struct call *call;        // UNDER_WAY
    int64_t attempts, probes; // failed ones, while the circuit was closed or open
    double begun_s, failed_s; // the last attempt; the first failure; 0: none
    double due_s;             // 0: it has not begun yet
    double again_s;           // PAUSES: the next attempt
    /* DONE: what the stage has added; never changed. */
    struct column_list values;
};

/* A group on its way. All that calls read stays as it is until the last of them has ended. */
struct item {
    struct pipeline *pipeline;
    struct item *next, **prev;
    struct group *group;
    json_t *row;
    void *tag;
    size_t calls; // under way, late ones too
    size_t pins;  // stages that may ask this group again (struct pipeline)
    bool left;
    double came_s;
    struct column_list joined; // scores and reward, once all scorers are done
    struct progress at[STAGES_MAX];
};

struct call {
    struct stage_call of; // first: what stages see
    struct lane_work work;
    struct call *next, **prev;
    struct item *item;
    struct progress *progress; // NULL: its item has left, or it only probes
    struct group in, out;
    double asked_s;
    struct cell stop;
    err_t failed;
};

/* A stage, as the pipeline has seen it. */
struct standing {
    struct circuit circuit;
    char why[200];         // open: the last failure
    struct item *answered; // the last group that was, pinned: it can be asked again; NULL: none
    struct call *probe;    // under way; NULL: none
    bool asks_again;       // the next probe is of `answered`
};

struct pipeline {
    struct pipeline_options options;
    struct stage_list *list;
    struct stage_lanes *lanes;
    struct loop_timer *tick;
    struct item *items;
    struct call *calls;
    size_t count; // items that have not left
    double looked_s;
    struct standing at[STAGES_MAX];
};

/* ---- pipeline_items.c */

static inline size_t stage_index(const struct item *item, const struct progress *progress)
{
    return (size_t)(progress - item->at);
}
struct stage *stage_of(const struct item *item, const struct progress *progress);

/* The group with its own columns and those of `which` that stages have filled. The array
 * ret->columns.at is the caller's, what it points to is borrowed. */
void item_view(const struct item *item, uint64_t which, struct group *ret);
err_t item_join_scores(struct item *item); // once the last scorer is done
void item_free(struct item *item);
void item_release(struct item *item); // frees one that has left and that nobody needs
void call_free(struct call *call);

/* Nobody waits for the stage's answer any more. */
void call_stop(struct call *call);
void progress_abandon(struct progress *progress);

/* Takes why; OK: with all columns. */
void item_leave(struct item *item, err_t why);
void items_register(void);

/* ---- pipeline_calls.c */

/* Begins what may begin; a group that has passed every stage leaves. */
void item_advance(struct item *item);
void item_begin(struct item *item, struct progress *progress);
void item_note_due(const struct item *item, struct progress *progress);

/* An attempt has failed: the stage pauses, or the group waits or leaves. Takes why. */
void item_fail(struct item *item, struct progress *progress, err_t why);
bool item_is_ready(const struct item *item, size_t i);

/* Asks a stage that fails for one group that waits, or for one that it has answered before. */
void stage_probe(struct pipeline *pipeline, size_t i);
void stage_probe_overdue(struct pipeline *pipeline, size_t i);

/* No answer in deadline_ms. */
void item_overdue(struct item *item, struct progress *progress);
void calls_register(void);
