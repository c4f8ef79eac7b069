/* A learner's process: its parts, and the course from its start to its end. main.c puts the parts
 * together.
 *
 *     STARTING -> TRAINING -> EVALUATING -> COMPLETE -> DRAINING -> ENDED
 *
 * A drain leads from each of them to DRAINING. COMPLETE is passed over unless run.on_complete is
 * stay. Owner: the loop's thread. */
#pragma once
#include "admin/face.h"
#include "base/mixture.h"
#include "learner/admin/holding.h"
#include "learner/admin/inspect.h"
#include "learner/admin/operations.h"
#include "learner/admin/services.h"
#include "learner/publish/evaluating.h"
#include "learner/replay/ingest.h"
#include "learner/replay/rescoring.h"
#include "learner/steer/breaker.h"
#include "learner/train/train.h"
#include "svc/cell.h"
#include "svc/run_lock.h"
#include "svc/security.h"
#include "weights/carriers.h"

/* In order of dependence: freed from the end. */
struct daemon {
    const struct recipe *recipe; // as given: what is fixed. Else live_recipe
    struct security security;
    struct run_lock *lock; // before anything in the run's directory is written
    struct live *live;
    struct loop *loop;
    struct rpc *rpc;
    struct cell held; // rewarders that wait for a stage that does not answer
    struct mixture *data;
    struct train *train;           // model and optimizer first: the rest asks it for shapes
    struct evaluating *evaluating; // NULL: none
    struct storage *storage;
    struct breaker *breaker;
    struct hello samples, scores; // demanded of a generator, a rewarder
    struct leasing *leasing;
    struct ingest *ingest;
    struct rescoring *rescoring;
    struct holding *holding;
    struct carriers carriers;
    struct publish *publish;
    struct inspect *inspect;
    struct operations *operations;
    struct desk desk; // of LearnerAdmin
    struct face *face;
    int connections; // room for face's
    struct loop_timer *grace;
    enum { STARTING, TRAINING, EVALUATING, COMPLETE, DRAINING, ENDED } state;
    bool started;   // the compute thread runs
    bool evaluated; // the last version, or there is nothing to evaluate
    err_t failed;
};

void daemon_failed(struct daemon *d, err_t why); // ends the process with why, which it takes
void daemon_fails(struct daemon *d, err_t why);  // the same at the end: the first failure counts

/* For admin_options, holding_options, loops and timers: the daemon is arg. */
const char *daemon_state(void *arg);
enum holding_phase daemon_phase(void *arg);
void daemon_drain(void *arg); // begins; again is harmless
void daemon_signal(void *arg, int number);
void daemon_close(void *arg); // the moment that generators had to leave is over

/* The parts report. */
void daemon_trained(void *arg, enum train_end end, err_t why); // of train_options: takes why
void daemon_evaluated(void *arg);                              // of evaluating_options
