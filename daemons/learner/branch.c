/* The fork job: an operator goes back to a checkpoint, with the learner stopped. */
#include "base/clock.h"
#include "base/file.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "learner/job.h"
#include "learner/restart.h"
#include "learner/settings.h"
#include "learner/store/history.h"
#include <inttypes.h>
#include <stdio.h>

static err_t open_store(const struct recipe *recipe, struct store **ret)
{
    SCOPED_MEM char *directory = file_join(recipe->directory, "store");
    SCOPED_MEM char *current = file_join(directory, "CURRENT");
    SCOPED(jsonl) data = NULL;
    if (!file_exists(current))
        return err_new(ERR_NOT_FOUND, "store '%s': there is none", directory);
    TRY(recipe_require(recipe, "data.train"));
    TRY(jsonl_open(recipe->data.train, &data));
    struct store_options options = {.run = recipe->run.name,
                                    .data = jsonl_digest(data),
                                    .rows = jsonl_rows(data),
                                    .seed = (uint64_t)recipe->run.seed,
                                    .shuffle = recipe->data.shuffle};
    struct store_rules rules = settings_store(recipe);
    return store_open(directory, &options, &rules, clock_ms(), ret);
}

/* What there is instead, for the error. */
static err_t none_of(const struct recipe *recipe, uint64_t version, err_t why)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    SCOPED_VALUE(bytes) have = {0};
    checkpoint_list(recipe->directory, &list);
    for (size_t i = 0; i < list.count; i++)
        bytes_printf(&have, "%s%" PRIu64, i ? ", " : "", list.version[i]);
    return err_wrap(why, "version %" PRIu64 " has no whole checkpoint (there are: 0%s%s)", version,
                    list.count ? ", " : "", list.count ? (char *)have.data : "");
}

/* How many rounds the version ends; its checkpoint must be whole and of this store. */
static err_t find_rounds(const struct recipe *recipe, struct store *store, uint64_t version,
                         uint64_t *ret)
{
    struct checkpoint_info info;
    SCOPED_MEM char *path = checkpoint_path(recipe->directory, version);
    *ret = 0;
    if (!version) // where training began
        return OK;
    err_t failed = checkpoint_read(path, &info);
    if (err_failed(failed))
        return none_of(recipe, version, failed);
    TRY(restart_check(recipe, store, path, &info));
    *ret = info.round;
    return OK;
}

/* The learner cuts metrics.jsonl where it starts. */
static err_t keep_metrics(const struct recipe *recipe, uint32_t lineage)
{
    SCOPED_MEM char *name = mem_printf("metrics-%" PRIu32 ".jsonl", lineage);
    SCOPED_MEM char *from = file_join(recipe->directory, "metrics.jsonl");
    SCOPED_MEM char *to = file_join(recipe->directory, name);
    return file_exists(from) ? file_copy(from, to) : OK;
}

err_t job_fork(const struct job_options *options, const struct recipe *recipe)
{
    uint64_t version, rounds;
    SCOPED(store) store = NULL;
    TRY(job_require_run(recipe));
    TRY(job_version(options, &version));
    TRY(open_store(recipe, &store));
    TRY(find_rounds(recipe, store, version, &rounds));
    uint32_t before = store_lineage(store);
    uint64_t had_rounds = store_next_round(store);
    TRY(keep_metrics(recipe, before));
    TRY(store_fork(store, rounds, clock_ms()));
    TRY(restart_set_aside(recipe, store));
    printf("lineage %" PRIu32 " begins at version %" PRIu64 ", after round %" PRIu64 " of %" PRIu64
           "; what came after stays recorded as lineage %" PRIu32 "\n",
           store_lineage(store), version, rounds, had_rounds, before);
    return OK;
}
