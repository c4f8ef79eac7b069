/* Private to the sources of an offline run: its struct, and the calls between them. Owner: the main
 * thread. */
#pragma once
#include "learner/offline/chunks.h"
#include "learner/offline/frozen.h"
#include "learner/offline/ledger.h"
#include "learner/offline/trials.h"
#include "learner/round/report.h"
#include "learner/round/updates.h"
#include "learner/train/restart.h"
#include "model/text/tokenizer.h"
#include "svc/loop.h"

struct offline {
    const struct recipe *given;
    /* As given, but for what rows from files leave no choice of (opening.c). */
    struct recipe recipe;
    bool reward;          // the first trainee is a reward model
    struct restart start; // with the trainees, and where the weights stand
    struct dataset rows, held_out;
    struct chunks chunks;
    struct updates *updates;
    struct report *report;
    struct ledger *ledger;
    struct trials *trials;
    struct loop *loop;
    bool stopping, checkpointed;
    double begun_s, tokens;
    int64_t shown_ms;

    /* referee.c */
    const struct chunk *chunk; // under way; NULL: none yet
    bool refers, asks;         // the objective compares with a reference; in each round anew
    struct referee referee;    // of updates: asks frozen
    struct frozen *frozen;     // NULL: none is needed now
    bool *referred;            // (rows.count) which of the rows have this chunk's
    bool *held_referred;       // (held_out.count)
};

/* opening.c: all but the loop. */
err_t offline_open(const struct recipe *recipe, bool reward, struct offline *o);
void offline_done(struct offline *o);

/* referee.c: from its first round on: the chunk's reference, and what begins anew with it. */
err_t referee_enter(struct offline *o, const struct chunk *chunk);

/* The groups have the reference's log-probabilities, if the objective needs them. */
err_t referee_fill(struct offline *o, const uint64_t *row, size_t count);
err_t referee_fill_held_out(struct offline *o);

/* Removes references that no checkpoint needs any more. */
err_t referee_tidy(const struct offline *o);
