/* Evaluation while training goes on. Versions that are due are evaluated one at a time, over the
 * same ring; each gets a line in RUN/evals.jsonl.
 *
 *     TRY(evaluating_open(&options, &evaluating));
 *     services[n++] = evaluating_service(evaluating);     -- beside publish's: the evaluated weights
 *     evaluating_due(evaluating, model, &version);        -- compute thread, after a round: copies the weights if it is due
 *     evaluating_lease(evaluating, ...);                  -- leasing: rows for generators that hold these weights
 *     evaluating_take(evaluating, group, ...);            -- ingest: what came back
 *
 * The learner keeps the evaluated version's weights. They reach the generators over a stream of
 * their own, into a second set of weights. So no generator can miss them, whenever it joins and
 * whichever of training's versions it has. A version that is due while another is evaluated waits,
 * and gives way to a newer one. So there are at most two copies of the weights, and training never
 * waits. Evaluations are not in the store. An evaluation without its line when the learner dies is
 * made again if training makes its version again. NULL, where a recipe evaluates nothing, is
 * allowed in every call but evaluating_service. */
#pragma once
#include "learner/publish/evaluation.h"
#include "learner/publish/publish.h"
#include "learner/replay/misfit.h"
#include "learner/replay/storage.h"
#include "svc/recipe/recipe.h"
#include "wire/lease.h"

struct evaluating;
struct evaluating_options {
    struct loop *loop;
    const struct recipe *recipe;
    const struct layout *layout;
    /* The last version is evaluated, or given up. Called once, on the loop's thread. */
    void (*over)(void *arg);
    void *arg;
};

/* Rows of data.eval; NULL: there is no evaluation. */
const struct jsonl *evaluating_data(const struct evaluating *evaluating);

/* INVALID, NOT_FOUND: data.eval. *ret is NULL where eval.every is 0. */
err_t evaluating_open(const struct evaluating_options *options, struct evaluating **ret);
struct rpc_service evaluating_service(struct evaluating *evaluating);

/* After storage_start. The storage thread gives an evaluation up that gets no result for
 * learner.lease_ms, if a newer one or the end of the run waits for it. */
void evaluating_start(struct evaluating *evaluating, struct storage *storage);

/* The thread that owns the model: after a round, at the start, and at the end. Only the versions of
 * each eval.every-th round are taken; at the end the last one is, and options.over follows. */
err_t evaluating_due(struct evaluating *evaluating, const struct model *model,
                     const struct published *what, bool last);

/* ---- storage thread */

/* Rows for a generator that holds these weights; adds up to `want` grants to reply, which owns them
 * (lease_reply_done). */
err_t evaluating_lease(struct evaluating *evaluating, uint64_t stream, uint32_t lineage,
                       uint64_t version, uint32_t want, struct lease_reply *reply);
/* Generation is paused: deadlines of rows and of the evaluation do not pass. NULL: nothing. */
void evaluating_stand_still(struct evaluating *evaluating);
void evaluating_release(struct evaluating *evaluating, uint64_t stream); // its stream is gone
err_t evaluating_fail(struct evaluating *evaluating, const uint64_t *slots, uint32_t count);

/* A handler for ingest_options. Error: the line of a finished evaluation could not be written. */
err_t evaluating_take(void *evaluating, const struct group *group, enum outcome *ret_outcome,
                      char why[MISFIT_WHY]);
/* Whether no row will be leased any more; true of NULL. */
bool evaluating_over(const struct evaluating *evaluating);

/* After the server and the storage thread. */
void evaluating_free(struct evaluating *evaluating);
DEFINE_SCOPED(evaluating)
