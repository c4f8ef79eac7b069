/* Back to a checkpoint, between two rounds. */
#include "base/clock.h"
#include "base/log.h"
#include "learner/train/branch.h"
#include "learner/train/inner.h"
#include <inttypes.h>

/* The lineage has begun: from here on there is no way but into it. All is as it were after a
 * restart. */
static err_t enter(struct train *train, const struct branch_point *point)
{
    struct branch branch;
    TRY(restart_go_back(&train->start, point->path, &point->info));
    train->at = train->start.at;
    TRY(train_resume(train, &branch));
    TRY(report_branch(train->report, &branch,
                      report_time_offset(train->report) + clock_s() - train->begun_s));
    draw_go_on_at(train->draw, train->at.round);
    train->published = true;
    TRY(train_publish(train));
    log_info("rolled back", "version=%" PRIu64 " round=%" PRIu64 " lineage=%" PRIu32,
             train->at.version, train->at.round, train->at.lineage);
    return OK;
}

err_t train_go_back(struct train *train, uint64_t version,
                    err_t (*note)(void *arg, struct store *store), void *arg,
                    struct checkpoint_info *ret)
{
    SCOPED_VALUE(branch_point) point = {0};
    struct branch branch = {0};
    if (train->over)
        return err_new(ERR_PRECONDITION, "nothing more is trained");
    struct branch_live live = {.recipe = train->given,
                               .leasing = train->options.leasing,
                               .version = version,
                               .note = note,
                               .arg = arg};
    err_t failed = branch_live(&live, train->options.storage, &point, &branch);
    if (!err_failed(failed))
        failed = enter(train, &point);
    if (err_failed(failed) && branch.lineage) {
        train->over = true;
        train_finish(train, TRAIN_FAILED,
                     err_new(err_code(failed), "rollback: %s", err_message(failed)));
    }
    TRY(failed);
    *ret = train->at;
    return OK;
}
