#include "learner/job/job.h"
#include "base/file.h"
#include "base/scoped.h"
#include "learner/job/asked.h"
#include "learner/job/damage.h"
#include "learner/offline/offline_run.h"
#include "learner/store/audit/audit.h"
#include "svc/run_lock.h"
#include <inttypes.h>
#include <string.h>

/* Access of a job to the run: READS beside a learner, CHANGES one that is there, or makes its
 * directory and WRITES there. */
enum job_access { READS, CHANGES, WRITES };

static const struct job {
    const char *kind;
    err_t (*run)(const struct job_options *options, const struct recipe *recipe);
    enum job_access access;
} jobs[] = {{"sft", job_sft, WRITES},         {"train", job_train, WRITES},
            {"reward", job_reward, WRITES},   {"audit", job_audit, READS},
            {"explain", job_explain, READS},  {"fork", job_fork, CHANGES},
            {"salvage", job_salvage, CHANGES}};

static err_t lock_for(const struct job *job, const char *run, struct run_lock **ret)
{
    if (job->access == READS || !*run)
        return OK;
    if (job->access == WRITES)
        TRY(file_make_directories(run));
    if (!file_exists(run))
        return OK; // the job says what is missing
    return run_lock_take(run, "rlhfd-learner", ret);
}

err_t job_run(const struct job_options *options, const struct recipe *recipe)
{
    SCOPED(run_lock) lock = NULL;
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        if (strcmp(jobs[i].kind, options->kind) == 0) {
            TRY(lock_for(&jobs[i], recipe->directory, &lock));
            err_t failed = jobs[i].run(options, recipe);
            return *recipe->directory ? damage_told(recipe, failed) : failed;
        }
    return err_new(
        ERR_INVALID,
        "--job: '%s' is not known; allowed: sft, train, reward, audit, explain, fork, salvage",
        options->kind);
}

err_t job_train(const struct job_options *options, const struct recipe *recipe)
{
    (void)options;
    return offline_train(recipe, false);
}

err_t job_reward(const struct job_options *options, const struct recipe *recipe)
{
    (void)options;
    return offline_train(recipe, true);
}

err_t job_audit(const struct job_options *options, const struct recipe *recipe)
{
    (void)options;
    TRY(job_require_run(recipe));
    SCOPED_MEM char *store = file_join(recipe->directory, "store");
    struct audit audit;
    TRY(store_audit(store, stdout, &audit));
    fflush(stdout);
    return audit.errors ? err_new(ERR_DATA_LOSS, "%" PRIu64 " promises broken", audit.errors) : OK;
}
