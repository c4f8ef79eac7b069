/* The learner: scored groups in, new weights out; it keeps the log that makes both exact.
 *
 *     generators <- leasing <--.
 *     rewarders  -> ingest -> store -> draw -> batch, pack, step -> publish -> generators
 *                   [loop]   [storage]        [------ compute ------]  [loop]
 *
 * Beside it evaluating: versions that are due, over the same leases and appends, with weights of
 * their own. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learner/course.h"
#include "learner/job/damage.h"
#include "learner/job/job.h"
#include "learner/settings.h"
#include "learner/store/db.h"
#include "learner/train/restart.h"
#include "model/text/rows/row_encode.h"
#include "svc/descriptors.h"
#include "svc/recipe/recipe_cli.h"
#include "svc/svc.h"
#include <inttypes.h>

enum { LEAVE_MS = 5000 };
enum { OWN_FILES = 64 }; // the store's logs, checkpoints, backups, metrics

static void collect(void *arg, struct rpc_admin_asking *asking)
{
    overview_collect(&((struct daemon *)arg)->desk, asking);
}

static void storage_failed(void *arg, err_t why)
{
    daemon_failed(arg, why);
}

/* ---- putting it together */

/* The lineage of a new store is random. A store that is lost and made again under the same name so
 * has another, and work that generators hold from the first is told apart. */
static err_t first_lineage(uint32_t *ret)
{
    uint64_t drawn;
    TRY(rng_nonce(&drawn));
    *ret = drawn % (INT32_MAX >> 1) + 1; // forks count on from it
    return OK;
}

static err_t set_aside(void *arg, struct store *store)
{
    return restart_set_aside(((struct daemon *)arg)->recipe, store);
}

static err_t open_storage(struct daemon *d)
{
    const struct recipe *recipe = d->recipe;
    SCOPED_MEM char *directory = file_join(recipe->directory, "store");
    uint32_t lineage;
    TRY(file_make_directories(directory));
    TRY(first_lineage(&lineage));
    struct storage_options options = {.loop = d->loop,
                                      .directory = directory,
                                      .store = {.run = recipe->run.name,
                                                .data = mixture_digest(d->data),
                                                .rows = mixture_rows(d->data),
                                                .seed = (uint64_t)recipe->run.seed,
                                                .shuffle = recipe->data.shuffle,
                                                .lineage = lineage,
                                                .reserve_bytes = train_checkpoint_bytes(d->train)},
                                      .rules = settings_store(live_recipe(d->live)),
                                      .failed = storage_failed,
                                      .arg = d};
    TRY(err_wrap(storage_start(&options, &d->storage), "store '%s'", directory));
    return storage_call(d->storage, set_aside, d);
}

/* Reads, all of it: what is found damaged is refused before anything is written. Then the store is
 * ours, and only then are other files of the run changed. */
static err_t open_run(struct daemon *d)
{
    TRY(live_open(d->recipe, &d->live));
    TRY(train_new(d->recipe, &d->train));
    return open_storage(d);
}

/* Logs what a file holds; whether that is messages. A row that is nothing is told by who decodes
 * it. */
static bool tell_kind(const struct recipe *recipe, const char *key, const struct jsonl *file)
{
    char text[ROW_KIND_TEXT];
    struct row_kind kind = {0};
    const struct row_rules rules = row_rules_of(recipe, NULL, NULL, -1);
    err_t unknown = row_kind_of_file(file, &rules.names, &kind);
    log_info("rows", "key=%s file=\"%s\" rows=%" PRIu64 " kind=\"%s\"", key, jsonl_path(file),
             jsonl_rows(file), err_failed(unknown) ? "none" : row_kind_text(&kind, text));
    err_free(unknown);
    return kind.chat;
}

static bool tell_kinds(const struct daemon *d)
{
    const struct jsonl *eval = evaluating_data(d->evaluating);
    bool chat = eval && tell_kind(d->recipe, "data.eval", eval);
    for (size_t i = 0; i < mixture_files(d->data); i++)
        chat = tell_kind(d->recipe, "data.train", mixture_file(d->data, i)) || chat;
    return chat;
}

static err_t open_stages(struct daemon *d)
{
    const struct recipe *recipe = d->recipe;
    const struct model *model = train_model(d->train);
    TRY(settings_hellos(recipe, model, tell_kinds(d), &d->samples, &d->scores));
    struct ingest_options ingest = {
        .storage = d->storage,
        .loop = d->loop,
        .hello = &d->scores,
        .rules = misfit_rules(
            recipe,
            (struct misfit_vocabulary){(uint32_t)model->config.V, model->vacant, model->vacants},
            (uint32_t)settings_longest(recipe, &model->config)),
        .evaluated = evaluating_take,
        .evaluating = d->evaluating,
        .held = &d->held,
        .rejected = breaker_rejected,
        .breaker = d->breaker = breaker_new(
            &(struct breaker_options){.storage = d->storage, .live = d->live, .data = d->data})};
    evaluating_start(d->evaluating, d->storage);
    breaker_start(d->breaker);
    d->leasing = leasing_new(
        &(struct leasing_options){.loop = d->loop,
                                  .storage = d->storage,
                                  .data = d->data,
                                  .run = recipe->run.name,
                                  .hello = &d->samples,
                                  .evaluating = d->evaluating,
                                  .live = d->live,
                                  .breaker = d->breaker,
                                  .held = &d->held,
                                  .stays = recipe->run.on_complete == RECIPE_COMPLETE_STAY});
    d->ingest = ingest_new(&ingest);
    d->rescoring = rescoring_new(
        &(struct rescoring_options){.storage = d->storage, .loop = d->loop, .ingest = d->ingest});
    rescoring_start(d->rescoring);
    TRY(carriers_open(recipe, d->loop, &d->carriers));
    if (d->carriers.why)
        log_info("versions go over gRPC alone", "why=\"%s\"", d->carriers.why);
    return publish_open(&(struct publish_options){.loop = d->loop,
                                                  .recipe = recipe,
                                                  .layout = model_trained(model)->params->layout,
                                                  .carriers = &d->carriers},
                        &d->publish);
}

static err_t open_face(struct daemon *d, const char *announce)
{
    struct face_options face = {.rpc = d->rpc,
                                .at = FACE_AT(d->recipe, learner),
                                .security = &d->security,
                                .connections = d->connections,
                                .announce = announce,
                                .admin = {.loop = d->loop,
                                          .daemon = "learner",
                                          .run = d->recipe->run.name,
                                          .state = daemon_state,
                                          .drain = daemon_drain,
                                          .collect = collect,
                                          .arg = d},
                                .services = {leasing_service(d->leasing), ingest_service(d->ingest),
                                             publish_service(d->publish)},
                                .service_count = 3};
    TRY(inspect_open(d->recipe->model.path, &d->inspect));
    d->operations = operations_new(d->loop);
    d->desk = (struct desk){.loop = d->loop,
                            .recipe = d->recipe,
                            .inspect = d->inspect,
                            .storage = d->storage,
                            .live = d->live,
                            .leasing = d->leasing,
                            .ingest = d->ingest,
                            .train = d->train,
                            .directory = d->recipe->directory,
                            .operations = d->operations};
    face.admin_service_count = learner_services(&d->desk, face.admin_services);
    if (d->evaluating) // beside publish's: of the same service
        face.services[face.service_count++] = evaluating_service(d->evaluating);
    return face_open(&face, &d->face);
}

static err_t require(const struct recipe *recipe, struct run_lock **ret_lock)
{
    if (!*recipe->directory)
        return err_new(ERR_INVALID, "--run DIR is missing: for store, checkpoints and metrics");
    TRY(recipe_require(recipe, "model.path"));
    TRY(recipe_require(recipe, "data.train"));
    TRY(recipe_require_policy(recipe));
    if (!recipe->rewarder.scorers.count)
        return err_new(ERR_INVALID,
                       "%s: rewarder.scorers is empty: without a scorer there is no reward",
                       recipe->file);
    TRY(file_make_directories(recipe->directory));
    return run_lock_take(recipe->directory, "rlhfd-learner", ret_lock);
}

static err_t serve(struct daemon *d, const char *announce)
{
    TRY(security_open(d->recipe, CALLER_LEARNER, "", &d->security));
    TRY(descriptors_plan(DB_OPEN_FILES + OWN_FILES, d->security.keys, &d->connections));
    TRY(require(d->recipe, &d->lock));
    TRY(loop_new(&d->loop));
    d->grace = loop_timer_new(d->loop, daemon_close, d);
    TRY(rpc_new(d->loop, &d->rpc));
    TRY(recipe_train_rows(d->recipe, &d->data));
    TRY(damage_told(d->recipe, open_run(d)));
    TRY(evaluating_open(
        &(struct evaluating_options){.loop = d->loop,
                                     .recipe = d->recipe,
                                     .layout = model_trained(train_model(d->train))->params->layout,
                                     .over = daemon_evaluated,
                                     .arg = d},
        &d->evaluating));
    d->evaluated = !d->evaluating;
    TRY(open_stages(d));
    loop_on_signal(d->loop, daemon_signal, d); // who reads the announcement may stop us
    TRY(open_face(d, announce));
    struct train_options train = {.loop = d->loop,
                                  .storage = d->storage,
                                  .leasing = d->leasing,
                                  .held = &d->held,
                                  .live = d->live,
                                  .evaluating = d->evaluating,
                                  .ended = daemon_trained,
                                  .arg = d};
    TRY(train_start(d->train, &train, d->publish));
    d->started = true;
    d->state = TRAINING;
    d->holding = holding_new(&(struct holding_options){.loop = d->loop,
                                                       .storage = d->storage,
                                                       .leasing = d->leasing,
                                                       .ingest = d->ingest,
                                                       .live = d->live,
                                                       .train = d->train,
                                                       .run = d->recipe->directory,
                                                       .phase = daemon_phase,
                                                       .arg = d});
    holding_start(d->holding, d->face);
    svc_serves();
    TRY(loop_run(d->loop));
    return OK;
}

static void daemon_done(struct daemon *d)
{
    if (d->started)
        train_stop(d->train);
    holding_stop(d->holding);
    face_free(d->face);
    train_join(d->train); // it may still hand a version over
    ingest_stop(d->ingest);
    storage_free(STEAL(d->storage));
    inspect_free(STEAL(d->inspect));
    if (d->loop)
        loop_run_posted(d->loop);
    operations_free(d->operations);
    publish_free(d->publish);
    train_free(d->train);
    carriers_done(&d->carriers);
    evaluating_free(d->evaluating);
    holding_free(d->holding);
    rescoring_free(d->rescoring);
    ingest_free(d->ingest);
    breaker_free(d->breaker);
    leasing_free(d->leasing);
    hello_done(&d->samples);
    hello_done(&d->scores);
    live_free(d->live);
    mixture_free(d->data);
    rpc_free(d->rpc);
    loop_timer_free(d->grace);
    loop_free(d->loop);
    run_lock_free(d->lock);
    security_done(&d->security);
}

static err_t run(int argc, char **argv)
{
    const char *announce = NULL;
    struct job_options job = {0};
    struct recipe_flag flags[] = {
        {"announce", "FILE", "write the addresses in use to FILE", .text = &announce},
        {"job", "KIND",
         "do one offline job and exit: sft, train, reward, audit, explain, fork, salvage",
         .text = &job.kind},
        {"at", "N", "explain: which version; fork: the last one that stays", .text = &job.version},
        {"output", "FORM", "explain: text (default) or json", .text = &job.output},
    };
    struct recipe_cli cli = {
        .program = "rlhfd-learner",
        .purpose = "Keeps scored groups, trains the model on them, publishes its weights.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .member = "learner"};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    if (job.kind)
        return job_run(&job, recipe);
    struct daemon daemon = {.recipe = recipe};
    daemon_fails(&daemon, serve(&daemon, announce));
    if (err_failed(daemon.failed))
        svc_end_within(daemon.failed, LEAVE_MS);
    daemon_done(&daemon); // which may fail what had not failed before
    return daemon.failed;
}

int main(int argc, char **argv)
{
    svc_open("learner");
    return carriers_exit(svc_exit(run(argc, argv)));
}
