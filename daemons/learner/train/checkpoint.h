/* Checkpoints: everything the next update reads, in a directory that also loads in transformers.
 *
 *     RUN/checkpoints/v128/  config.json generation_config.json model.safetensors tokenizer*.json   the policy, as Hugging Face has it
 *                            optimizer.safetensors   its fp32 masters, moments, step
 *                            NAME/                   the same files of each further trainee, but for the tokenizer
 *                            manifest.json           what and where: round, version, running values, of each trainee its weights and files
 *     RUN/checkpoints/latest -> v128
 *
 *     struct checkpoint_tokenizer tokenizer = checkpoint_tokenizer("model");
 *     TRY(checkpoint_write(run, &trainees, &tokenizer, &info, keep));
 *     TRY(checkpoint_newest(run, &list, CHECKPOINT_TOKENIZER, &path, &damaged, &info));   -- path NULL: none that is whole
 *
 * A checkpoint is written aside, synced, renamed, and its directory synced. So a checkpoint with a
 * final name is whole. Reading still checks every file's digest, also the manifest's own, and
 * passes over a damaged checkpoint to the one before. Owner: the compute thread. */
#pragma once
#include "base/err.h"
#include "base/hash.h"
#include "learner/round/trainee.h"
#include "model/files/checkpoints.h"
#include "rl/running.h"
#include <stdint.h>

enum { CHECKPOINT_RUN_MAX = 256 };

struct checkpoint_info {
    char run[CHECKPOINT_RUN_MAX];
    uint32_t lineage;
    uint64_t round, version; // covers the rounds before round; weights of version
    double kl_coef;          // where the KL controller stands
    struct running running;
    /* Digests of the bf16 values, the policy's first. */
    struct trainee_digests trainees;
};

/* The files of a tokenizer that a directory holds now: all of them belong into every checkpoint
 * from here on. A bit each: tokenizer.json, tokenizer_config.json, special_tokens_map.json,
 * chat_template.jinja. */
enum { CHECKPOINT_TOKENIZER = 1 };
struct checkpoint_tokenizer {
    const char *directory; // borrowed
    unsigned files;
    /* Its files name this token as the one that pads, where it is not theirs; borrowed. NULL: they
     * are copied as they are. */
    const char *pad;
};
struct checkpoint_tokenizer checkpoint_tokenizer(const char *directory);

/* Copies them. NOT_FOUND: one is gone meanwhile. */
err_t checkpoint_copy_tokenizer(const struct checkpoint_tokenizer *from, const char *to_directory);

/* Writes RUN/checkpoints/v<version> and points `latest` at it, then removes all but the newest
 * `keep`. info->trainees are those of `trainees`. The same one that is there already and whole
 * stays as it is. EXHAUSTED: the disk is full; NOT_FOUND: a file of the tokenizer is gone; the
 * checkpoints there are as they were. */
err_t checkpoint_write(const char *run_directory, const struct trainees *trainees,
                       const struct checkpoint_tokenizer *tokenizer,
                       const struct checkpoint_info *info, int keep);

/* Reads the manifest, and checks that every trainee's files have the digests named there.
 * tokenizer: files of one that must be there. INVALID, DATA_LOSS, NOT_FOUND: damaged, or not
 * whole. */
err_t checkpoint_read(const char *path, unsigned tokenizer, struct checkpoint_info *ret);

/* Where the files of a trainee lie: the first one's in the checkpoint itself, another's in a
 * directory of its name there. The caller's. */
char *checkpoint_trainee(const char *path, const struct trainee_digests *trainees,
                         const char *name);

/* The newest of a list that is whole; *ret_path is the caller's, NULL if there is none. A damaged
 * one is named in *ret_damaged (the caller's, else NULL). */
err_t checkpoint_newest(const char *run_directory, const struct checkpoint_list *list,
                        unsigned tokenizer, char **ret_path, char **ret_damaged,
                        struct checkpoint_info *ret_info);

/* Reads the manifest alone, also of a damaged checkpoint. */
err_t checkpoint_manifest(const char *path, struct checkpoint_info *ret);

/* Renames one that a fork cut off to cut-off-<lineage>-v<version>, which nothing here looks at any
 * more, and points `latest` at the newest that stays. */
err_t checkpoint_set_aside(const char *run_directory, const struct checkpoint_info *info);
