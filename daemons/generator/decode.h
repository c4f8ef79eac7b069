/* The compute thread, which owns the tracks: leased rows in, finished groups out to deliver.
 * Between two steps the thread picks the track whose turn it is (turns.h).
 *
 *     TRY(decode_start(&options, &decode));
 *     decode_offer(decode, TRACK_TRAINING);      -- options.wanted follows when it is time for weights:
 *     decode_weights(decode, TRACK_TRAINING, &weights);      -- nothing is decoded before training's first
 *     decode_admit(decode, grant);              -- the group goes to deliver, then options.finished follows
 *
 * Every call: the loop's thread. Callbacks come on the loop's thread too. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "generator/counters.h"
#include "generator/track.h"
#include "svc/loop.h"

struct decode;
struct deliver;
struct decode_options {
    struct loop *loop;
    const struct recipe *recipe;
    const char *generator;   // its name, written into groups
    bool lists;              // NCCL may bring lists of changes to training's device
    struct deliver *deliver; // gets finished groups
    void (*finished)(void *arg, const struct digest *id);
    /* The group's row cannot be decoded, because it lacks the column or is too long. Takes why. */
    void (*unusable)(void *arg, const struct group *group, err_t why);
    /* Now the newest weights can be taken: decode_weights, once. */
    void (*wanted)(void *arg, enum track_kind track);
    void (*applied)(void *arg, enum track_kind track, uint64_t version); // weights are in force
    void (*paused)(void *arg, bool paused); // decode_pause has come into force
    void (*failed)(void *arg, err_t why);   // a track cannot go on; takes why
    void *arg;
};

/* Opens the tracks: training's, and evaluation's where eval.every has one. Starts the thread. */
err_t decode_start(const struct decode_options *options, struct decode **ret);

/* The track's model, as it was loaded until its first decode_weights with values; borrowed. Any
 * thread, to read its layout, and until then its weights. NULL: there is no such track. */
const struct model *decode_model(const struct decode *decode, enum track_kind track);

/* Memory of training's device for those lists; NULL: none was asked for, or it is the host's. */
void *decode_lent(const struct decode *decode, size_t *ret_bytes);

/* How many groups fit into the track's slots at once; 0: there is no such track. */
uint32_t decode_groups(const struct decode *decode, enum track_kind track);

/* Takes it: row and struct, from mem_*. Evaluation's rows go to evaluation's track. */
void decode_admit(struct decode *decode, struct lease_grant *grant);
void decode_cancel(struct decode *decode, const struct digest *id); // unknown ids are ignored

/* All tracks stand still between two steps, or go on from there. The bits are the same, because the
 * engines keep their state. */
void decode_pause(struct decode *decode, bool paused);

/* Newer weights lie ready; again for each version that replaces them. options.wanted asks for the
 * newest of them, at once or later, as generator.in_flight has it. */
void decode_offer(struct decode *decode, enum track_kind track);

/* Answers options.wanted; the values are borrowed until options.applied. The weights are put in
 * force between two steps. */
void decode_weights(struct decode *decode, enum track_kind track,
                    const struct track_weights *weights);

/* Training's weights in force are wrong: nothing is decoded until the next come. */
void decode_hold(struct decode *decode);

/* As the thread told them last. A thread at work tells them every 50 ms. */
struct decode_figures decode_figures(const struct decode *decode);

/* Ends the thread. The loop runs its last notes (loop_run_posted), then comes decode_free. */
void decode_stop(struct decode *decode);
void decode_free(struct decode *decode);
DEFINE_SCOPED(decode)
