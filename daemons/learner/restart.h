/* Where a learner starts: from model.path, or from the newest whole checkpoint and the rounds recorded after it, which are
 * trained again.
 *
 *     SCOPED_VALUE(restart) start = {0};
 *     TRY(restart_open(recipe, &start));                          -- before the store is opened for writing
 *     TRY(restart_settings(recipe, round->settings, true, &recorded));  -- for each of those rounds
 *
 * Refused, with one line that says what to do: a store or checkpoints that are gone or of another run; rounds to be trained
 * again that another build recorded, whose bits would differ. Checkpoints that a fork cut off are set aside, damaged ones
 * passed over. Any thread. */
#pragma once
#include "learner/checkpoint.h"
#include "model/model.h"
#include "model/optimizer.h"
#include "svc/recipe.h"

struct restart {
    struct backend *be;
    struct model *model;
    struct optimizer *optimizer;
    struct checkpoint_info at; // where the weights stand
    char *origin;              // directory whose tokenizer goes into checkpoints
    bool resumed;              // from a checkpoint
};
void restart_done(struct restart *restart);

/* PRECONDITION, DATA_LOSS: refused as above; else what store_read, model_load and optimizer_load say. */
err_t restart_open(const struct recipe *recipe, struct restart *ret);

struct store;
/* Sets aside the checkpoints that a fork cut off. PRECONDITION: some are of another store. */
err_t restart_set_aside(const struct recipe *recipe, const struct store *store);

/* Whether a checkpoint is what the store says of its version. PRECONDITION, NOT_FOUND: it is of another run or store. */
err_t restart_check(const struct recipe *recipe, struct store *store, const char *path,
                    const struct checkpoint_info *at);

/* The recipe that a round was recorded with. again: before this start; what decides neither numbers nor their order is then the
 * given one's: how a batch is cut, what is kept on disk. INVALID: settings that this build does not understand. */
err_t restart_settings(const struct recipe *given, const char *recorded, bool again,
                       struct recipe **ret);

/* Logs each setting in which the two differ and which decides numbers; whether there is one. Addresses, threads, paths, what leases
 * and paces, how a batch is cut: none of it changes a bit. */
bool restart_tell_settings(const struct recipe *given, const struct recipe *recorded);
