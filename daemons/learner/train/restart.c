#include "learner/train/restart.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "learner/round/report.h"
#include "learner/settings.h"
#include "learner/store/history.h"
#include "learner/store/intact.h"
#include "learner/train/load.h"
#include "model/backend_recipe.h"
#include "svc/recipe/recipe_lora.h"
#include "svc/svc.h"
#include <inttypes.h>
#include <string.h>

void restart_done(struct restart *restart)
{
    trainees_done(&restart->trainees);
    backend_free(STEAL(restart->be));
    mem_free(STEAL(restart->origin));
}

void restart_written(struct restart *restart, char *path)
{
    mem_free(restart->origin);
    restart->origin = path;
}

/* ---- settings of recorded rounds */

err_t restart_settings(const struct recipe *given, const char *recorded, bool again,
                       struct recipe **ret)
{
    SCOPED_MEM char *every = mem_printf("checkpoint.every=%" PRId64, given->checkpoint.every);
    SCOPED_MEM char *keep = mem_printf("checkpoint.keep=%" PRId64, given->checkpoint.keep);
    SCOPED_MEM char *micro =
        mem_printf("learner.micro_tokens=%" PRId64, given->learner.micro_tokens);
    const char *const sets[] = {every, keep, micro};
    struct recipe_source source = {.run = *given->directory ? given->directory : NULL,
                                   .daemon = given->daemon,
                                   .sets = sets,
                                   .sets_count = again ? sizeof sets / sizeof *sets : 0};
    return recipe_parse(recorded, strlen(recorded), "recorded settings", ".", &source, ret);
}

/* Of run, learner and sampling: all but these. A key that is new here counts until it is named. */
static bool decides_numbers(const char *key)
{
    static const char *const others[] = {"run.name",
                                         "run.on_complete",
                                         "learner.listen",
                                         "learner.threads",
                                         "learner.cpus",
                                         "learner.groups",
                                         "learner.last_batch",
                                         "learner.micro_tokens",
                                         "learner.lease_ms",
                                         "learner.lease_grace_ms",
                                         "learner.gradient_checkpointing"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(key, others[i]) == 0)
            return false;
    return strncmp(key, "run.", 4) == 0 || strncmp(key, "learner.", 8) == 0 ||
           strcmp(key, "generator.temperature") == 0;
}

static void look(void *arg, const char *key, const char *recorded, const char *given)
{
    bool *differs = arg;
    if (!decides_numbers(key))
        return;
    *differs = true;
    log_info("recorded setting", "key=%s recorded=%s given=%s", key, recorded, given);
}

bool restart_tell_settings(const struct recipe *given, const struct recipe *recorded)
{
    bool differs = false;
    recipe_differences(recorded, given, look, &differs);
    return differs;
}

/* ---- the store, read before it is opened for writing */

/* *ret stays NULL if there is none yet. */
static err_t read_store(const struct recipe *recipe, struct store **ret)
{
    SCOPED_MEM char *path = file_join(recipe->directory, "store");
    err_t failed = store_read(path, ret);
    if (err_code(failed) != ERR_NOT_FOUND)
        return failed;
    err_free(failed);
    return OK;
}

/* ---- checkpoints and the store: one history */

/* The newest version of a checkpoint's lineage that the history has. Of the lineage that goes on
 * the store has all there are. */
static err_t find_limit(const struct store *store, const char *path,
                        const struct checkpoint_info *info, uint64_t *ret)
{
    TRY(svc_mismatch(err_wrap(store_valid_up_to(store, info->lineage, ret),
                              "checkpoint '%s' and the store of this run do not belong together",
                              path)));
    if (info->lineage == store_lineage(store) && info->version > *ret)
        return err_reason(
            err_new(ERR_DATA_LOSS,
                    "checkpoint '%s' is ahead of the store, which ends at version %" PRIu64
                    ": the store has lost what came after, or is an older one",
                    path, *ret),
            STORE_BEHIND);
    return OK;
}

/* Those of the history; damaged ones too, which are passed over later. */
static err_t list_valid(const struct recipe *recipe, const struct store *store, bool salvaging,
                        struct checkpoint_list *ret)
{
    size_t kept = 0;
    TRY(checkpoint_list(recipe->directory, ret));
    for (size_t i = 0; i < ret->count; i++) {
        SCOPED_MEM char *path = checkpoint_path(recipe->directory, ret->version[i]);
        struct checkpoint_info info;
        uint64_t limit = UINT64_MAX;
        err_t failed = checkpoint_manifest(path, &info);
        if (!err_failed(failed)) {
            err_t foreign = find_limit(store, path, &info, &limit);
            if (!salvaging)
                TRY(foreign);
            if (err_failed(foreign))
                limit = 0; // it came with what is lost
            err_free(foreign);
        }
        const bool valid = err_failed(failed) || info.version <= limit;
        err_free(failed);
        if (valid)
            ret->version[kept++] = ret->version[i];
    }
    ret->count = kept;
    return OK;
}

err_t restart_set_aside(const struct recipe *recipe, const struct store *store)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    TRY(checkpoint_list(recipe->directory, &list));
    for (size_t i = 0; i < list.count; i++) {
        SCOPED_MEM char *path = checkpoint_path(recipe->directory, list.version[i]);
        struct checkpoint_info info;
        uint64_t limit;
        err_t failed = checkpoint_manifest(path, &info);
        if (err_failed(failed)) {
            err_free(failed);
            continue;
        }
        TRY(find_limit(store, path, &info, &limit));
        if (info.version <= limit)
            continue;
        log_info("checkpoint set aside", "version=%" PRIu64 " why=\"a fork cut it off\"",
                 info.version);
        TRY(checkpoint_set_aside(recipe->directory, &info));
    }
    return OK;
}

err_t restart_newest(const struct recipe *recipe, struct store *store, bool salvaging,
                     char **ret_path, struct checkpoint_info *ret)
{
    SCOPED_MEM char *damaged = NULL;
    SCOPED_MEM char *path = NULL;
    SCOPED_VALUE(checkpoint_list) list = {0};
    TRY(list_valid(recipe, store, salvaging, &list));
    TRY(checkpoint_newest(recipe->directory, &list, restart_tokenizer(recipe), &path, &damaged,
                          ret));
    if (damaged)
        log_warning("damaged checkpoint passed over", "why=\"%s\" taken=%s", damaged,
                    path ? path : recipe->model.path);
    if (path)
        TRY(restart_check(recipe, store, path, ret));
    *ret_path = STEAL(path);
    return OK;
}

unsigned restart_tokenizer(const struct recipe *recipe)
{
    return checkpoint_tokenizer(recipe->model.path).files & CHECKPOINT_TOKENIZER;
}

err_t restart_check(const struct recipe *recipe, struct store *store, const char *path,
                    const struct checkpoint_info *at)
{
    const char *names[TRAINEES_MAX];
    uint64_t version = 0;
    struct trainee_digests recorded = at->trainees;
    if (strcmp(at->run, recipe->run.name) != 0)
        return err_new(
            ERR_PRECONDITION,
            "checkpoint '%s' is of run '%s'; this is '%s': choose another --run directory", path,
            at->run, recipe->run.name);
    SCOPED_MEM char *who = mem_printf("checkpoint '%s'", path);
    TRY(trainees_match(names, load_names(recipe, names), &at->trainees, who));
    err_t failed = store_version_after(store, at->round, &version);
    if (!err_failed(failed) && at->version)
        failed = store_digests_of(store, at->version, &recorded);
    const char *other = trainee_digests_differ(&recorded, &at->trainees);
    if (!err_failed(failed) && version != at->version)
        failed = err_new(ERR_PRECONDITION, "the store has version %" PRIu64 " there", version);
    else if (!err_failed(failed) && other)
        failed =
            err_new(ERR_PRECONDITION, "the store has other weights of '%s' at version %" PRIu64,
                    other, at->version);
    return err_wrap(failed, "checkpoint '%s' is not of this run's store: restore the two together",
                    path);
}

/* Groups are kept back to the checkpoint before the newest: from further back there is no way
 * here. */
err_t restart_reaches(const struct recipe *recipe, struct store *store, uint64_t round)
{
    uint64_t covered, version;
    SCOPED(round) first = NULL;
    struct group **groups = NULL;
    store_checkpoint(store, &covered, &version);
    if (round >= covered)
        return OK;
    TRY(store_round(store, round, &first));
    err_t failed = store_round_groups(store, first, &groups);
    if (!err_failed(failed))
        round_groups_free(groups, first->groups);
    if (err_code(failed) == ERR_NOT_FOUND)
        failed = svc_mismatch(failed);
    return err_wrap(failed,
                    "'%s/checkpoints' holds nothing whole that reaches the store's rounds (version "
                    "%" PRIu64 " was there): restore it, or begin another --run directory",
                    recipe->directory, version);
}

/* ---- rounds that are trained again */

static err_t check_recorded(const struct recipe *recipe, struct store *store, uint64_t number,
                            const struct checkpoint_info *at, const char *fingerprint)
{
    bool voided = false;
    SCOPED(round) round = NULL;
    SCOPED(recipe) settings = NULL;
    TRY(store_round_voided(store, number, &voided, NULL));
    if (voided)
        return OK;
    TRY(store_round(store, number, &round));
    if (strcmp(round->fingerprint, fingerprint) != 0)
        return err_new(
            ERR_PRECONDITION,
            "round %" PRIu64 " was recorded by '%s', this build (version %s) is '%s': training it "
            "again would give other bits. Nothing has changed. Either start the build (and "
            "model.kv) that recorded it on this run once more, wait until it is ready, when the "
            "recorded rounds are trained, and drain it (SIGTERM): this build goes on from its "
            "checkpoint. Or give up all rounds after version %" PRIu64
            ": rlhfd-learner %s --run %s --job fork --at %" PRIu64,
            number, round->fingerprint, version_text, fingerprint, at->version,
            *recipe->file ? recipe->file : "RECIPE.yaml", recipe->directory, at->version);
    return err_wrap(restart_settings(recipe, round->settings, true, &settings),
                    "round %" PRIu64 " must be trained again with the settings it was recorded "
                    "with; run the build that recorded it",
                    number);
}

static err_t check_rounds(const struct recipe *recipe, struct store *store, struct restart *start)
{
    SCOPED_MEM char *fingerprint = load_fingerprint(&start->trainees);
    uint64_t from = start->at.round, next = store_next_round(store);
    for (uint64_t number = from; number < next; number++)
        TRY(check_recorded(recipe, store, number, &start->at, fingerprint));
    if (from < next)
        log_info("recorded rounds are trained again", "from=%" PRIu64 " to=%" PRIu64, from,
                 next - 1);
    if (!next || from < next)
        return OK;
    SCOPED(round) last = NULL;
    TRY(store_round(store, next - 1, &last));
    if (strcmp(last->fingerprint, fingerprint) != 0)
        log_warning("another build goes on", "from_round=%" PRIu64 " was=\"%s\" is=\"%s\"", next,
                    last->fingerprint, fingerprint);
    return OK;
}

/* ---- the trainees */

/* From a checkpoint's directories; without one (recorded NULL) as the recipe begins. */
static err_t open_trainees(const struct recipe *recipe, const char *directory,
                           const struct trainee_digests *recorded, struct restart *start)
{
    struct backend_config backend = backend_of_learner(recipe);
    backend.told = svc_told_backend;
    TRY(err_wrap(backend_open(NULL, &backend, &start->be), "learner.backend"));
    TRY(settings_repeatable(start->be));
    TRY(load_trainees(recipe, start->be, directory, recorded, &start->trainees));
    start->origin = mem_string(directory);
    start->tokenizer = checkpoint_tokenizer(directory).files;
    return OK;
}

/* Masters, moments and the weights rounded from them. From here on the digests are in our order,
 * whatever the manifest's is. */
static err_t load_state(const char *checkpoint, struct restart *start)
{
    const struct trainee_digests *recorded = &start->at.trainees;
    for (size_t i = 0; i < start->trainees.count; i++) {
        struct trainee *trainee = &start->trainees.at[i];
        SCOPED_MEM char *directory = checkpoint_trainee(checkpoint, recorded, trainee->name);
        SCOPED_MEM char *state = file_join(directory, "optimizer.safetensors");
        TRY(optimizer_load(trainee->optimizer, state));
        const struct digest digest = optimizer_digest(trainee->optimizer),
                            *want = trainee_digests_find(recorded, trainee->name);
        if (!want || !digest_equal(&digest, want))
            return err_new(ERR_DATA_LOSS,
                           "checkpoint '%s': the weights of '%s' are not those that its manifest "
                           "names",
                           checkpoint, trainee->name);
    }
    start->at.trainees = trainees_digests(&start->trainees);
    start->resumed = true;
    return OK;
}

static err_t resume(const struct recipe *recipe, const char *checkpoint, struct restart *start)
{
    TRY(open_trainees(recipe, checkpoint, &start->at.trainees, start));
    TRY(load_state(checkpoint, start));
    log_info("resuming", "checkpoint=%s round=%" PRIu64 " version=%" PRIu64, checkpoint,
             start->at.round, start->at.version);
    return OK;
}

err_t restart_go_back(struct restart *start, const char *checkpoint,
                      const struct checkpoint_info *info)
{
    start->at = *info;
    mem_free(start->origin);
    start->origin = mem_string(checkpoint);
    return load_state(checkpoint, start);
}

static err_t begin(const struct recipe *recipe, struct restart *start)
{
    TRY(open_trainees(recipe, recipe->model.path, NULL, start));
    start->at = (struct checkpoint_info){.trainees = trainees_digests(&start->trainees)};
    snprintf(start->at.run, sizeof start->at.run, "%s", recipe->run.name);
    return OK;
}

/* What goes on from here is recorded beside what the store has. */
static err_t check_trainees(const struct recipe *recipe, struct store *store)
{
    const char *names[TRAINEES_MAX];
    const uint64_t last = store_last_version(store);
    struct trainee_digests recorded;
    if (!last)
        return OK;
    TRY(store_digests_of(store, last, &recorded));
    return trainees_match(names, load_names(recipe, names), &recorded, "the store of this run");
}

static err_t check_reported(const struct recipe *recipe, const struct store *store, uint64_t round)
{
    SCOPED_MEM char *path = file_join(recipe->directory, "metrics.jsonl");
    const struct branch branch = store_branch(store);
    return err_reason(report_check(path, &branch, round, store_rounds_done(store)), STORE_BEHIND);
}

err_t restart_agrees(const struct recipe *recipe, struct store *store, char **ret_path,
                     struct checkpoint_info *ret)
{
    TRY(store_verify(store));
    TRY(restart_newest(recipe, store, false, ret_path, ret));
    return check_reported(recipe, store, *ret_path ? ret->round : 0);
}

/* Nothing is written here: the store may be another process's. */
static err_t find_start(const struct recipe *recipe, struct store *store,
                        struct checkpoint_info *ret, char **ret_path)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    TRY(checkpoint_list(recipe->directory, &list));
    if (!store && list.count)
        return err_new(ERR_PRECONDITION,
                       "'%s/checkpoints' holds v%" PRIu64
                       " but '%s/store' is gone, and with it what "
                       "was trained: restore it, or begin another --run directory with that "
                       "checkpoint as %s.path",
                       recipe->directory, list.version[0], recipe->directory,
                       recipe_has_lora(recipe) ? "lora" : "model");
    if (!store)
        return OK;
    TRY(restart_agrees(recipe, store, ret_path, ret));
    TRY(check_trainees(recipe, store));
    return restart_reaches(recipe, store, *ret_path ? ret->round : 0);
}

err_t restart_open(const struct recipe *recipe, struct restart *ret)
{
    SCOPED(store) store = NULL;
    SCOPED_MEM char *checkpoint = NULL;
    SCOPED_VALUE(restart) start = {0};
    TRY(read_store(recipe, &store));
    TRY(find_start(recipe, store, &start.at, &checkpoint));
    TRY(checkpoint ? resume(recipe, checkpoint, &start) : begin(recipe, &start));
    if (store) {
        TRY(check_rounds(recipe, store, &start));
        start.at.lineage = store_lineage(store); // weights up to a fork are the new lineage's too
    }
    *ret = start;
    start = (struct restart){0};
    return OK;
}
