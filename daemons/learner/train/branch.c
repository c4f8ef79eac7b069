#include "learner/train/branch.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "learner/store/history.h"
#include "learner/train/restart.h"
#include <inttypes.h>
#include <stdio.h>

void branch_point_done(struct branch_point *point)
{
    mem_free(STEAL(point->path));
}

/* What there is instead, for the error. */
static err_t none_of(const struct recipe *recipe, uint64_t version, err_t why)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    SCOPED_VALUE(bytes) have = {0};
    err_free(checkpoint_list(recipe->directory, &list)); // then none is named
    for (size_t i = 0; i < list.count; i++)
        bytes_printf(&have, "%s%" PRIu64, i ? ", " : "", list.version[i]);
    err_t none = err_new(
        ERR_NOT_FOUND, "version %" PRIu64 " has no whole checkpoint (there are: 0%s%s): %s",
        version, list.count ? ", " : "", list.count ? (char *)have.data : "", err_message(why));
    err_free(why);
    return none;
}

static err_t must_be_listed(const struct recipe *recipe, uint64_t version, const char *path)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    TRY(checkpoint_list(recipe->directory, &list));
    for (size_t i = 0; i < list.count; i++)
        if (list.version[i] == version)
            return OK;
    return err_new(ERR_NOT_FOUND, "there is no '%s'", path);
}

/* By its manifest alone: which is why a version that a fork cut off is not taken for this
 * history's. */
static err_t look(const struct store *store, struct branch_point *point, uint64_t version)
{
    uint64_t limit;
    TRY(checkpoint_manifest(point->path, &point->info));
    TRY(store_valid_up_to(store, point->info.lineage, &limit));
    if (point->info.version != version || version > limit)
        return err_new(ERR_NOT_FOUND, "'%s' is of another history", point->path);
    return OK;
}

err_t branch_find(const struct recipe *recipe, const struct store *store, uint64_t version,
                  struct branch_point *ret)
{
    SCOPED_VALUE(branch_point) point = {0};
    if (version) {
        point.path = checkpoint_path(recipe->directory, version);
        err_t failed = must_be_listed(recipe, version, point.path);
        if (!err_failed(failed))
            failed = look(store, &point, version);
        if (err_failed(failed))
            return none_of(recipe, version, failed);
    }
    *ret = point;
    point.path = NULL;
    return OK;
}

err_t branch_verify(const struct recipe *recipe, const struct branch_point *point)
{
    struct checkpoint_info info;
    err_t failed =
        point->path ? checkpoint_read(point->path, restart_tokenizer(recipe), &info) : OK;
    return err_failed(failed) ? none_of(recipe, point->info.version, failed) : OK;
}

err_t branch_check(const struct recipe *recipe, struct store *store,
                   const struct branch_point *point)
{
    return point->path ? restart_check(recipe, store, point->path, &point->info) : OK;
}

/* ---- while training goes on */

struct taking {
    const struct branch_live *what;
    struct branch_point *point;
    struct branch *branch;
};

static err_t find_job(void *arg, struct store *store)
{
    struct taking *taking = arg;
    return branch_find(taking->what->recipe, store, taking->what->version, taking->point);
}

/* One job: nothing can end the run in between. */
static err_t begin_job(void *arg, struct store *store)
{
    struct taking *taking = arg;
    const struct branch_live *what = taking->what;
    if (leasing_is_closed(what->leasing))
        return err_new(ERR_PRECONDITION, "no more groups are made: the run has ended or is drained "
                                         "(--job fork goes back then)");
    TRY(branch_check(what->recipe, store, taking->point));
    TRY(store_fork_noted(store, taking->point->info.round, clock_ms(), what->note, what->arg));
    *taking->branch = store_branch(store);
    return restart_set_aside(what->recipe, store);
}

err_t branch_live(const struct branch_live *what, struct storage *storage,
                  struct branch_point *ret_point, struct branch *ret_branch)
{
    struct taking taking = {what, ret_point, ret_branch};
    TRY(storage_call(storage, find_job, &taking));
    TRY(branch_verify(what->recipe, ret_point));
    return storage_call(storage, begin_job, &taking);
}
