/* Where a learner starts: from model.path, or from the newest whole checkpoint and the rounds
 * recorded after it, which are trained again.
 *
 *     SCOPED_VALUE(restart) start = {0};
 *     TRY(restart_open(recipe, &start));                          -- before the store is opened for writing
 *     TRY(restart_settings(recipe, round->settings, true, &recorded));  -- for each of those rounds
 *
 * Refusals are one line that says what to do. A store or checkpoints are gone, or of another run.
 * Rounds to be trained again were recorded by a build whose bits would differ. A store or a
 * checkpoint has other trainees than the recipe. A store is damaged, or behind its checkpoints or
 * metrics. Damaged checkpoints, and those that a fork cut off, are passed over. Nothing is written.
 * Any thread. */
#pragma once
#include "learner/round/trainee.h"
#include "learner/train/checkpoint.h"
#include "svc/recipe/recipe.h"

struct restart {
    struct backend *be;
    struct trainees trainees;
    struct checkpoint_info at; // where the weights stand
    char *origin;              // directory whose tokenizer goes into checkpoints
    unsigned tokenizer;        // its files, as checkpoint_tokenizer has them
    bool resumed;              // from a checkpoint
};
void restart_done(struct restart *restart);

/* A checkpoint was written here (takes path): the next one's tokenizer is from it, as older ones
 * may be removed. */
void restart_written(struct restart *restart, char *path);

/* PRECONDITION, DATA_LOSS: refused as above; else as store_read, model_load and optimizer_load. */
err_t restart_open(const struct recipe *recipe, struct restart *ret);

/* Loads another checkpoint of the same run into the trainees that are there. *start is then as if
 * it had begun from it. Objects built on the trainees stay valid. DATA_LOSS, INVALID, EXHAUSTED:
 * *start is as it was, or of no use. */
err_t restart_go_back(struct restart *start, const char *checkpoint,
                      const struct checkpoint_info *info);

struct store;
/* Sets aside the checkpoints that a fork cut off, once the store is open for writing. NOT_FOUND:
 * some are of another store; DATA_LOSS: some are ahead of it. */
err_t restart_set_aside(const struct recipe *recipe, const struct store *store);

/* The newest whole checkpoint of the store's history; *ret_path is the caller's, NULL: there is
 * none. Errors as above, unless salvaging: then those that the store knows nothing of are passed
 * over. */
err_t restart_newest(const struct recipe *recipe, struct store *store, bool salvaging,
                     char **ret_path, struct checkpoint_info *ret);

/* The same, and all of the store can be read, and metrics.jsonl tells of nothing that it has not.
 * DATA_LOSS, with the reason STORE_BEHIND: the store ends too early. */
err_t restart_agrees(const struct recipe *recipe, struct store *store, char **ret_path,
                     struct checkpoint_info *ret);

/* Whether the rounds from here on can be trained again. DATA_LOSS, NOT_FOUND: their groups are no
 * longer kept. */
err_t restart_reaches(const struct recipe *recipe, struct store *store, uint64_t round);

/* The tokenizer files that checkpoint_read demands: those that model.path has now. */
unsigned restart_tokenizer(const struct recipe *recipe);

/* Whether a checkpoint has the trainees of this recipe, and agrees with the store's record of its
 * version. PRECONDITION, NOT_FOUND: it has others, or is of another run or store. */
err_t restart_check(const struct recipe *recipe, struct store *store, const char *path,
                    const struct checkpoint_info *at);

/* The recipe that a round was recorded with. again: the round was recorded before this start. Then
 * settings that change neither numbers nor their order are the given recipe's: how a batch is cut,
 * how much is kept on disk. INVALID: settings that this build does not understand. */
err_t restart_settings(const struct recipe *given, const char *recorded, bool again,
                       struct recipe **ret);

/* Logs each setting in which the two differ and which decides numbers; whether there is one.
 * Addresses, threads, paths, leases, pacing and the cut of a batch change no bit. */
bool restart_tell_settings(const struct recipe *given, const struct recipe *recorded);
