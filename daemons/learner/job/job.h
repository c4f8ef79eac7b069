/* Offline jobs of the learner: `rlhfd-learner RECIPE --job KIND`. A table in job.c; to add one: a
 * row and a file. */
#pragma once
#include "svc/recipe/recipe.h"

/* As given on the command line; NULL: not given. */
struct job_options {
    const char *kind, *version, *output;
};

/* INVALID: no such job. */
err_t job_run(const struct job_options *options, const struct recipe *recipe);

/* sft: supervised fine-tuning by the recipe's sft section; writes a Hugging Face directory
 * (sft.c). */
err_t job_sft(const struct job_options *options, const struct recipe *recipe);

/* train: offline training on preferences by the recipe's data, learner and train sections
 * (offline/offline_run.h). */
err_t job_train(const struct job_options *options, const struct recipe *recipe);

/* reward: a reward model from rows that people rated, by the same sections. */
err_t job_reward(const struct job_options *options, const struct recipe *recipe);

/* audit: whether every group of RUN/store is accounted for (audit.c in store/ does the walk). */
err_t job_audit(const struct job_options *options, const struct recipe *recipe);

/* explain: prints the round, groups, settings and digests of version N (--at N) (explain.c). A
 * learner may be running. */
err_t job_explain(const struct job_options *options, const struct recipe *recipe);

/* fork: cuts off all that came after version N (--at N), which is 0 or has a checkpoint. The next
 * start goes on from there in a new lineage (fork_job.c). No learner may be running. */
err_t job_fork(const struct job_options *options, const struct recipe *recipe);

/* salvage: rescues a store whose log is damaged or ends too early (salvage.c). Flipped bits are put
 * right. Where that is not enough, the rest of the store goes on in a new lineage, and the job says
 * what is lost. No learner may be running. */
err_t job_salvage(const struct job_options *options, const struct recipe *recipe);
