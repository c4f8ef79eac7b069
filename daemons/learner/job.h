/* Offline jobs of the learner: `rlhfd-learner RECIPE --job KIND`. A table in job.c; to add one: a row and a file. */
#pragma once
#include "svc/recipe.h"

/* INVALID: no such job. */
err_t job_run(const char *kind, const struct recipe *recipe);

/* sft: supervised fine-tuning by the recipe's sft section; writes a Hugging Face directory (sft.c). */
err_t job_sft(const struct recipe *recipe);

/* audit: whether every group of RUN/store is accounted for (audit.c in store/ does the walk). */
err_t job_audit(const struct recipe *recipe);
