/* The salvage job: a store whose log is damaged, or ends too early, goes on with what is left of
 * it. */
#include "learner/job/salvage.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "learner/job/asked.h"
#include "learner/round/report.h"
#include "learner/round/reported.h"
#include "learner/store/intact.h"
#include "learner/train/restart.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What the store keeps, and what else the run had: by metrics.jsonl and by checkpoints. */
struct plan {
    uint64_t rounds, version;
    uint64_t had_rounds, had_version;
    uint32_t lineage; // the highest that anything tells of
};

static err_t find_lost(const struct recipe *recipe, struct store *store, struct plan *plan)
{
    SCOPED_MEM char *path = file_join(recipe->directory, "metrics.jsonl");
    SCOPED_VALUE(checkpoint_list) list = {0};
    struct branch branch = store_branch(store);
    struct reported lines;
    TRY(report_read(path, &branch, 0, &lines));
    plan->rounds = store_rounds_done(store);
    plan->version = plan->had_version = store_last_version(store);
    plan->had_rounds = lines.rounds > plan->rounds ? lines.rounds : plan->rounds;
    plan->lineage = lines.lineage;
    TRY(checkpoint_list(recipe->directory, &list));
    for (size_t i = 0; i < list.count; i++) {
        struct checkpoint_info info = {0};
        SCOPED_MEM char *checkpoint = checkpoint_path(recipe->directory, list.version[i]);
        err_free(checkpoint_manifest(checkpoint, &info)); // a damaged one tells nothing
        plan->had_version = info.version > plan->had_version ? info.version : plan->had_version;
        plan->had_rounds = info.round > plan->had_rounds ? info.round : plan->had_rounds;
        plan->lineage = info.lineage > plan->lineage ? info.lineage : plan->lineage;
    }
    return OK;
}

/* The start after this must have a checkpoint that the rest of the store knows, or model.path. */
static err_t make_plan(const struct recipe *recipe, const char *directory, struct plan *ret)
{
    SCOPED(store) store = NULL;
    SCOPED_MEM char *path = NULL;
    struct checkpoint_info info = {0};
    TRY(store_read_rest(directory, &store));
    TRY(store_verify(store));
    TRY(restart_newest(recipe, store, true, &path, &info));
    TRY(restart_reaches(recipe, store, path ? info.round : 0));
    return find_lost(recipe, store, ret);
}

bool salvage_possible(const struct recipe *recipe)
{
    struct plan plan;
    int bits;
    SCOPED_MEM char *directory = file_join(recipe->directory, "store");
    err_t failed = intact_mend(directory, false, NULL, &bits);
    if (err_failed(failed) || !bits) {
        err_free(failed);
        failed = make_plan(recipe, directory, &plan);
    }
    const bool possible = !err_failed(failed);
    err_free(failed);
    return possible;
}

/* ---- the job */

static err_t find_damage(const struct recipe *recipe, const char *directory)
{
    SCOPED(store) store = NULL;
    SCOPED_MEM char *path = NULL;
    struct checkpoint_info info;
    TRY(store_read(directory, &store));
    return restart_agrees(recipe, store, &path, &info);
}

/* Whether anything is left to do. Damage elsewhere than in a log leaves nothing that is known to be
 * whole. */
static err_t look(const struct recipe *recipe, const char *directory, bool *ret_damaged)
{
    err_t damage = find_damage(recipe, directory);
    const char *reason = err_reason_word(damage);
    *ret_damaged = err_failed(damage);
    if (!*ret_damaged)
        return OK;
    if (!reason || strcmp(reason, STORE_BEHIND) != 0)
        return damage;
    printf("%s\n", err_message(damage));
    err_free(damage);
    return OK;
}

/* First without any loss. */
static err_t mend(const struct recipe *recipe, const char *directory, bool *ret_damaged)
{
    int bits = 0;
    TRY(look(recipe, directory, ret_damaged));
    if (!*ret_damaged)
        return err_new(ERR_PRECONDITION, "store '%s' is whole: there is nothing to salvage",
                       directory);
    /* The next look sees the rest. */
    err_free(intact_mend(directory, true, stdout, &bits));
    if (bits)
        TRY(look(recipe, directory, ret_damaged));
    return OK;
}

static void say_lost(const struct plan *plan)
{
    printf("kept: rounds below %" PRIu64 ", versions up to %" PRIu64 "\n", plan->rounds,
           plan->version);
    if (plan->had_rounds > plan->rounds)
        printf("lost: rounds %" PRIu64 " to %" PRIu64 ", of which metrics.jsonl keeps the lines\n",
               plan->rounds, plan->had_rounds - 1);
    if (plan->had_version > plan->version)
        printf("lost: versions %" PRIu64 " to %" PRIu64
               "; their checkpoints are set aside as checkpoints/cut-off-*\n",
               plan->version + 1, plan->had_version);
    printf("lost: groups and changes recorded after that, which are generated again; leases are "
           "revoked\n");
}

err_t job_salvage(const struct job_options *options, const struct recipe *recipe)
{
    (void)options;
    struct plan plan;
    bool damaged;
    SCOPED(store) store = NULL;
    TRY(job_require_run(recipe));
    SCOPED_MEM char *directory = file_join(recipe->directory, "store");
    TRY(mend(recipe, directory, &damaged));
    if (!damaged) {
        printf("nothing is lost\n");
        return OK;
    }
    TRY(make_plan(recipe, directory, &plan));
    TRY(job_open_store(recipe, true, &store));
    say_lost(&plan);
    TRY(store_fork_above(store, plan.rounds, plan.lineage, clock_ms()));
    TRY(restart_set_aside(recipe, store));
    printf("lineage %" PRIu32 " begins after round %" PRIu64 "\n", store_lineage(store),
           plan.rounds);
    return OK;
}
