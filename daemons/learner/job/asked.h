/* Words of the command line that jobs share, checked, and the run's store opened for those that
 * change it.
 *
 *     TRY(job_require_run(recipe));
 *     TRY(job_version(options, &version));
 *     TRY(job_open_store(recipe, false, &store));
 *
 * Any thread. */
#pragma once
#include "learner/job/job.h"
#include "learner/store/store.h"

/* INVALID: --run is missing. */
err_t job_require_run(const struct recipe *recipe);

/* INVALID: --at is missing, or no whole number. */
err_t job_version(const struct job_options *options, uint64_t *ret);

/* RUN/store, opened for writing. rest: as in store_options. NOT_FOUND: the run has none; else as
 * store_open. */
err_t job_open_store(const struct recipe *recipe, bool rest, struct store **ret);
