/* Twice a second, finds the cause that holds the run up (learner_hold.h). /readyz, the status, the
 * log and a metric then show it.
 *
 *     struct holding *holding = holding_new(&options);
 *     holding_start(holding, face);            -- once the daemon serves
 *
 * Owner: the loop's thread; facts of the store are gathered by a job on the storage thread, one at
 * a time. */
#pragma once
#include "admin/face.h"
#include "learner/lease/leasing.h"
#include "learner/replay/ingest.h"
#include "learner/steer/learner_hold.h"
#include "learner/train/train.h"

enum holding_phase { HOLDING_TRAINS, HOLDING_EVALUATES, HOLDING_COMPLETE, HOLDING_OVER };
struct holding;
struct holding_options {
    struct loop *loop;
    struct storage *storage;
    struct leasing *leasing;
    struct ingest *ingest;
    const struct live *live;
    const struct train *train;
    const char *run;                        // directory
    enum holding_phase (*phase)(void *arg); // OVER: nothing more is shown
    void *arg;
};
struct holding *holding_new(const struct holding_options *options);
void holding_start(struct holding *holding, struct face *face); // borrowed until holding_stop
/* In a word: "STARTING", "REPLAYING" recorded rounds, or "TRAINING" (NULL: the first). */
const char *holding_state(const struct holding *holding);
void holding_stop(struct holding *holding);
void holding_free(struct holding *holding); // after the storage thread's last job was answered
DEFINE_SCOPED(holding)
