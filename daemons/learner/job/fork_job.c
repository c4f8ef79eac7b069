/* The fork job: what came after a checkpoint is cut off while no learner runs. */
#include "base/clock.h"
#include "learner/job/asked.h"
#include "learner/store/history.h"
#include "learner/train/branch.h"
#include "learner/train/restart.h"
#include <inttypes.h>
#include <stdio.h>

err_t job_fork(const struct job_options *options, const struct recipe *recipe)
{
    uint64_t version;
    SCOPED(store) store = NULL;
    SCOPED_VALUE(branch_point) point = {0};
    TRY(job_require_run(recipe));
    TRY(job_version(options, &version));
    TRY(job_open_store(recipe, false, &store));
    TRY(branch_find(recipe, store, version, &point));
    TRY(branch_verify(recipe, &point));
    uint32_t before = store_lineage(store);
    uint64_t had_rounds = store_next_round(store);
    TRY(branch_check(recipe, store, &point));
    TRY(store_fork(store, point.info.round, clock_ms()));
    TRY(restart_set_aside(recipe, store));
    printf("lineage %" PRIu32 " begins at version %" PRIu64 ", after round %" PRIu64 " of %" PRIu64
           "; what came after stays recorded as lineage %" PRIu32 "\n",
           store_lineage(store), version, point.info.round, had_rounds, before);
    return OK;
}
