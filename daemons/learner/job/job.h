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

/* audit: whether every group of RUN/store is accounted for (audit.c in store/ does the walk). */
err_t job_audit(const struct job_options *options, const struct recipe *recipe);

/* explain: what made --at N: its round, groups, settings, digests; while a learner runs, too
 * (explain.c). */
err_t job_explain(const struct job_options *options, const struct recipe *recipe);

/* fork: what came after --at N, of which there is a checkpoint (or 0), is cut off; the next start
 * goes on from there in a new lineage (fork_job.c). No learner may be running. */
err_t job_fork(const struct job_options *options, const struct recipe *recipe);

/* salvage: of a store with a damaged log, or one that ends too early: puts flipped bits right, else
 * what is left goes on in a new lineage; says what is lost (salvage.c). No learner may be
 * running. */
err_t job_salvage(const struct job_options *options, const struct recipe *recipe);
