/* Private to the sources of training: its struct, and the calls between them.
 *
 *     train.c           the thread: a round after another, from a start to an end
 *     round_settings.c  what a round is trained with, and where that stands after a restart
 *     round_end.c       a version out, a line, a checkpoint
 *     rollback.c        back to a checkpoint
 *
 * Owner: the compute thread. */
#pragma once
#include "learner/round/report.h"
#include "learner/round/samples.h"
#include "learner/round/updates.h"
#include "learner/steer/steering.h"
#include "learner/train/restart.h"
#include "learner/train/train.h"
#include "svc/worker.h"

struct train {
    struct train_options options;
    struct restart start; // with the trainees
    struct updates *updates;
    struct report *report;
    struct samples *samples;
    struct draw *draw;
    struct publish *publish;
    struct steering *steering; // NULL: no live settings
    struct worker *worker;
    struct checkpoint_info at; // where the weights stand
    char *fingerprint;
    double begun_s;
    uint64_t again_below; // rounds below it were recorded before this start
    bool published, over; // the weights it stands at; nothing more to train

    /* round_settings.c: the settings in force: of the last round's record, or the given ones. */
    const struct recipe *given, *recipe;
    struct recipe *recorded; // owned: recipe, unless that is given
    char *recorded_text;     // as the round has it
    bool recorded_again;     // before this start
    bool recorded_used;      // trained with since

    /* round_end.c: the counts at the last line; the newest version published and round
     * checkpointed, which need no second one. */
    struct leasing_totals seen;
    double checkpoint_ms;
    uint64_t published_version, checkpointed_round;
};

/* The policy's, which is published and evaluated. */
static inline const struct model *train_policy(const struct train *train)
{
    return train->start.trainees.at[0].model;
}

/* ---- round_settings.c */

/* Puts the settings of the round's record in force. */
err_t train_use_settings(struct train *train, const struct drawn *drawn);

/* As if the round before had just been trained; *ret_branch: where the store stands. */
err_t train_resume(struct train *train, struct branch *ret_branch);

/* ---- round_end.c */

/* DATA_LOSS, with the way on (fault.h): the weights in memory are not those that training made. */
err_t train_publish(struct train *train);

/* Publishes the version that publish.every has held back: generators may wait for it. */
err_t train_publish_when_idle(void *train);
err_t train_evaluate(struct train *train, bool last);
err_t train_write_checkpoint(struct train *train);

/* After the updates: publish, report, checkpoint. */
err_t train_end_round(struct train *train, const struct drawn *drawn, struct round_report *report);

/* ---- train.c */

/* The last thing the thread does: a checkpoint where it stands, unless one was just made or it has
 * failed. Takes why. */
void train_finish(struct train *train, enum train_end end, err_t why);
