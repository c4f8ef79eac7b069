/* Checkpoints: everything the next update reads, in a directory that also loads in transformers.
 *
 *     RUN/checkpoints/v128/  config.json generation_config.json model.safetensors tokenizer*.json   Hugging Face's
 *                            optimizer.safetensors   fp32 masters, moments, step
 *                            manifest.json           what and where: round, version, digests of the files
 *     RUN/checkpoints/latest -> v128
 *
 *     TRY(checkpoint_write(run, model, optimizer, tokenizer_dir, &info, keep));
 *     TRY(checkpoint_newest(run, &path, &damaged, &info));      -- path NULL: none that is whole
 *
 * A checkpoint is written aside, synced, renamed, and its directory synced: what has a name is whole. Reading checks every
 * file's digest all the same, and passes over a damaged checkpoint to the one before. Owner: the compute thread. */
#pragma once
#include "base/err.h"
#include "base/hash.h"
#include "model/checkpoints.h"
#include "model/optimizer.h"
#include <stdint.h>

enum { CHECKPOINT_RUN_MAX = 256 };

struct checkpoint_info {
    char run[CHECKPOINT_RUN_MAX];
    uint32_t lineage;
    uint64_t round, version; // covers the rounds before round; weights of version
    struct digest weights;   // weights_digest of the bf16 values
    double kl_coef;          // where the KL controller stands
};

/* Writes RUN/checkpoints/v<version> and points `latest` at it, then removes all but the newest `keep`. tokenizer_dir: the
 * model directory whose tokenizer files are copied. The same one that is there already and whole stays as it is. EXHAUSTED: the
 * disk is full; the checkpoints there are as they were. */
err_t checkpoint_write(const char *run_directory, const struct model *model,
                       const struct optimizer *optimizer, const char *tokenizer_directory,
                       const struct checkpoint_info *info, int keep);

/* What its manifest says, its files' digests compared. INVALID, DATA_LOSS, NOT_FOUND: damaged. */
err_t checkpoint_read(const char *path, struct checkpoint_info *ret);

/* The newest that is whole; *ret_path is the caller's, NULL if there is none. A damaged one is named in *ret_damaged (the
 * caller's, else NULL). */
err_t checkpoint_newest(const char *run_directory, char **ret_path, char **ret_damaged,
                        struct checkpoint_info *ret_info);

/* The manifest alone: for what must be known of a damaged one too. */
err_t checkpoint_manifest(const char *path, struct checkpoint_info *ret);

/* Renames one that a fork cut off to cut-off-<lineage>-v<version>, which nothing here looks at any more, and points `latest`
 * at the newest that stays. */
err_t checkpoint_set_aside(const char *run_directory, const struct checkpoint_info *info);

/* Copies tokenizer.json and its companions, those that exist. */
err_t checkpoint_copy_tokenizer(const char *from_directory, const char *to_directory);
