#include "learner/job.h"
#include "base/file.h"
#include "base/scoped.h"
#include "learner/store/audit.h"
#include <inttypes.h>
#include <string.h>

static const struct {
    const char *kind;
    err_t (*run)(const struct recipe *recipe);
} jobs[] = {{"sft", job_sft}, {"audit", job_audit}};

err_t job_run(const char *kind, const struct recipe *recipe)
{
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        if (strcmp(jobs[i].kind, kind) == 0)
            return jobs[i].run(recipe);
    return err_new(ERR_INVALID, "--job: '%s' is not known; allowed: sft, audit", kind);
}

err_t job_audit(const struct recipe *recipe)
{
    if (!*recipe->directory)
        return err_new(ERR_INVALID, "--run DIR is missing: the run to audit");
    SCOPED_MEM char *store = file_join(recipe->directory, "store");
    struct audit audit;
    TRY(store_audit(store, stdout, &audit));
    fflush(stdout);
    return audit.errors ? err_new(ERR_DATA_LOSS, "%" PRIu64 " promises broken", audit.errors) : OK;
}
