/* The training loop, on the compute thread: draw a round, make its updates, record them, publish,
 * checkpoint, report.
 *
 *     TRY(train_new(recipe, &train));                  -- loads the newest checkpoint, or model.path for a new run
 *     TRY(train_start(train, &options, publish));
 *     train_stop(train);                               -- after the round under way; options.ended follows
 *
 * Order of durable writes: the round's record (draw) → after each update its digest → then the
 * version is published. Owner: the loop's thread; options.ended is called there, once. */
#pragma once
#include "learner/publish/evaluating.h"
#include "learner/publish/publish.h"
#include "learner/replay/storage.h"
#include "learner/round/draw.h"
#include "learner/train/checkpoint.h"
#include "svc/recipe/recipe.h"

struct train;
enum train_end { TRAIN_ENDED, TRAIN_STOPPED, TRAIN_FAILED };
struct train_options {
    struct loop *loop;
    struct storage *storage;
    struct leasing *leasing;
    const struct cell *held;                                 // of leasing_options; NULL: none
    struct live *live;                                       // the settings of new rounds
    struct evaluating *evaluating;                           // NULL: none
    void (*ended)(void *arg, enum train_end end, err_t why); // takes why; OK unless FAILED
    void *arg;
};

/* Loads the trainees: the rest of the daemon needs their figures before anything is trained. */
err_t train_new(const struct recipe *recipe, struct train **ret);
const struct model *train_model(const struct train *train); // the policy's: what is published
uint64_t train_checkpoint_bytes(const struct train *train); // on disk, at least

/* Starts the thread: first the weights it stands at are published, then rounds are trained. */
err_t train_start(struct train *train, const struct train_options *options,
                  struct publish *publish);
void train_stop(struct train *train);

/* Runs fn(train, arg) on the compute thread between two rounds, soon if it waits for one (paused or
 * not), also after the last. False: many wait already. Any thread, from train_start to
 * train_join. */
bool train_post(struct train *train, void (*fn)(void *train, void *arg), void *arg);

/* For fn: a checkpoint where training stands, unless there is one; *ret says where that is. */
err_t train_checkpoint(struct train *train, struct checkpoint_info *ret);

const struct checkpoint_info *train_at(const struct train *train); // for fn: where training stands
const struct draw *train_draw(const struct train *train); // for what it says on the storage thread

/* For fn: training goes back to a version with a checkpoint. A new lineage begins there, durably,
 * with `note` in the same write (store_fork_noted). Its weights are loaded and published, and
 * training goes on from there. *ret: where that is. NOT_FOUND: no whole checkpoint of it;
 * PRECONDITION: nothing more is trained; then nothing has changed. A failure once the lineage has
 * begun ends training, and a restart goes on in the new lineage. */
err_t train_go_back(struct train *train, uint64_t version,
                    err_t (*note)(void *arg, struct store *store), void *arg,
                    struct checkpoint_info *ret);

/* Ends the thread (after train_stop). The storage thread still looks after the round being drawn:
 * it goes next, then this. */
void train_join(struct train *train);
void train_free(struct train *train);
DEFINE_SCOPED(train)
