/* Goes back to a checkpoint: later rounds are cut off, and a new lineage begins there. The fork job
 * does this while the learner is stopped, training between two rounds.
 *
 *     TRY(branch_find(recipe, store, version, &point));       -- storage thread: is there such a checkpoint?
 *     TRY(branch_verify(recipe, &point));                     -- any thread: whole; reads all of it
 *     TRY(branch_check(recipe, store, &point));               -- storage thread: of this store
 *     TRY(store_fork(store, point.info.round, now)); -- durable when it returns
 *     TRY(restart_set_aside(recipe, store));                  -- the checkpoints that this cut off
 *
 * Until store_fork has returned, nothing has changed. From then on a restart begins at the
 * checkpoint, in the new lineage, and sets the cut-off checkpoints aside. */
#pragma once
#include "learner/lease/leasing.h"
#include "learner/store/history.h"
#include "learner/train/checkpoint.h"
#include "svc/recipe/recipe.h"

struct branch_point {
    char *path;                  // of the checkpoint; NULL: version 0, where training began
    struct checkpoint_info info; // of it; all 0 of version 0
};
void branch_point_done(struct branch_point *point);

/* Version 0 or one with a checkpoint that is of this history, by its manifest. NOT_FOUND: names
 * those there are. */
err_t branch_find(const struct recipe *recipe, const struct store *store, uint64_t version,
                  struct branch_point *ret);

/* Its files' digests. NOT_FOUND: damaged. */
err_t branch_verify(const struct recipe *recipe, const struct branch_point *point);

/* Whether the checkpoint agrees with the store's record of its version. NOT_FOUND, PRECONDITION: of
 * another store. */
err_t branch_check(const struct recipe *recipe, struct store *store,
                   const struct branch_point *point);

/* All these steps in a running learner, without loading the weights. On the compute thread, between
 * two rounds. NOT_FOUND, PRECONDITION (no more groups are made): nothing has changed. Once
 * *ret_branch.lineage is set, the lineage has begun, and an error leaves only a restart. */
struct branch_live {
    const struct recipe *recipe;
    const struct leasing *leasing;
    uint64_t version;
    err_t (*note)(void *arg, struct store *store); // of store_fork_noted; NULL: none
    void *arg;
};
err_t branch_live(const struct branch_live *what, struct storage *storage,
                  struct branch_point *ret_point, struct branch *ret_branch);
