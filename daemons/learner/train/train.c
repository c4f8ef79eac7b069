#include "learner/train/train.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/settings.h"
#include "learner/train/inner.h"
#include "learner/train/load.h"
#include "model/files/fit.h"
#include <inttypes.h>

/* ---- where it starts */

err_t train_new(const struct recipe *recipe, struct train **ret)
{
    SCOPED(train) train = mem_new(sizeof *train);
    train->recipe = train->given = recipe;
    TRY(mismatching_check(recipe, false));
    TRY(restart_open(recipe, &train->start));
    train->at = train->start.at;
    report_metrics(recipe->directory, train->at.round, train->at.version,
                   objective_row(recipe->learner.objective)->figures);
    report_checkpointed(train->at.version);
    *ret = STEAL(train);
    return OK;
}

const struct model *train_model(const struct train *train)
{
    return train_policy(train);
}

uint64_t train_checkpoint_bytes(const struct train *train)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < train->start.trainees.count; i++)
        bytes += settings_checkpoint_bytes(model_trained(train->start.trainees.at[i].model));
    return bytes;
}

/* ---- one round */

struct update {
    uint64_t version;
    const struct trainee_digests *trainees;
    bool ends_round;
};

static err_t record_update(void *arg, struct store *store)
{
    const struct update *u = arg;
    return store_update_done(store, u->version, u->trainees, u->ends_round);
}

/* Its weights are there: durable before anyone else may see them. */
struct progress {
    struct train *train;
    const struct round *round;
};

static err_t update_made(void *arg, uint32_t u)
{
    struct progress *progress = arg;
    struct train *train = progress->train;
    const struct round *round = progress->round;
    train->at.version = round->first_version + u + 1;
    train->at.trainees = trainees_digests(&train->start.trainees);
    struct update update = {train->at.version, &train->at.trainees, u + 1 == round->updates};
    return err_wrap(storage_call(train->options.storage, record_update, &update),
                    "version %" PRIu64, update.version);
}

static err_t train_updates(struct train *train, const struct drawn *drawn,
                           struct round_report *report)
{
    struct progress progress = {train, drawn->round};
    TRY(updates_run(train->updates, drawn->round, drawn->group, update_made, &progress, report));
    train->at.round = drawn->round->round + 1;
    train->at.kl_coef = updates_kl_coef(train->updates);
    train->at.running = *updates_running(train->updates);
    return OK;
}

static err_t one_round(struct train *train, const struct drawn *drawn)
{
    struct round_report report = {.round = drawn->round->round,
                                  .learner_idle_s = drawn->idle_s,
                                  .idle_cause = drawn->idle_cause};
    double begun = clock_s();
    TRY(train_use_settings(train, drawn));
    TRY(draw_failed(train->draw, drawn, train_updates(train, drawn, &report)));
    report.learner_busy_s = clock_s() - begun;
    return train_end_round(train, drawn, &report);
}

/* ---- the thread */

struct ending {
    struct train *train;
    enum train_end end;
    err_t why;
};

static void tell_ended(void *arg)
{
    struct ending *ending = arg;
    ending->train->options.ended(ending->train->options.arg, ending->end, ending->why);
    mem_free(ending);
}

void train_finish(struct train *train, enum train_end end, err_t why)
{
    if (end != TRAIN_FAILED && train->checkpointed_round != train->at.round)
        why = train_write_checkpoint(train);
    if (end == TRAIN_ENDED && !err_failed(why))
        why = train_evaluate(train, true);
    struct ending ending = {train, err_failed(why) ? TRAIN_FAILED : end, why};
    loop_post(train->options.loop, tell_ended, mem_copy(&ending, sizeof ending));
}

static err_t next_round(struct train *train, enum draw_end *ret_end)
{
    struct drawn drawn = {0};
    TRY(draw_next(train->draw, &drawn));
    *ret_end = drawn.end;
    if (drawn.end == DRAW_MORE)
        train->at.round = drawn.number; // rounds that were given up lie behind it
    if (!drawn.round)
        return OK;
    err_t failed = err_wrap(one_round(train, &drawn), "round %" PRIu64, drawn.round->round);
    drawn_done(&drawn);
    return failed;
}

/* Rounds recorded before a restart are trained again first: their versions were seen. */
static err_t publish_first(struct train *train)
{
    if (train->published || train->at.round < train->again_below)
        return OK;
    train->published = true;
    return train_publish(train);
}

/* The worker's idle call: a round at a time until there is no more. */
static int64_t train_some(void *state)
{
    struct train *train = state;
    enum draw_end end = DRAW_MORE;
    if (train->over)
        return -1;
    err_t failed = publish_first(train);
    if (!err_failed(failed))
        failed = next_round(train, &end);
    train->over = err_failed(failed) || end != DRAW_MORE;
    const enum train_end good = end == DRAW_ENDED ? TRAIN_ENDED : TRAIN_STOPPED;
    if (train->over)
        train_finish(train, err_failed(failed) ? TRAIN_FAILED : good, failed);
    return 0;
}

/* Weights, optimizers, gradients and a step. And values that go out: of the newest version and of
 * the next, while one is made. On a device also marks of the values that changed. */
static err_t plan_memory(const struct train *train)
{
    const struct model *trained = model_trained(train_model(train));
    const size_t version = trained->params->layout->elements * sizeof(bf16);
    const size_t changes = train->recipe->publish.delta ? editions_bytes(trained) : 0;
    const size_t out = (train->options.evaluating ? 3 : 2) * version + changes;
    size_t weights = 0, optimizers = 0, step = updates_bytes(train->updates);
    for (size_t i = 0; i < train->start.trainees.count; i++) {
        const struct trainee *trainee = &train->start.trainees.at[i];
        weights += model_bytes(trainee->model);
        const struct states_bytes states = optimizer_bytes(trainee->optimizer);
        optimizers += states.device + states.host;
        if (trainee->gradient)
            step += (trainee->gradient->count + trainee->gradient->head_count) * sizeof(float);
    }
    weights += train->start.trainees.frozen ? model_bytes(train->start.trainees.frozen) : 0;
    log_info("memory planned", "weights_mib=%zu optimizer_mib=%zu step_mib=%zu out_mib=%zu",
             weights >> 20, optimizers >> 20, step >> 20, out >> 20);
    return fit_bytes(train->start.be, weights + optimizers + step + out,
                     "weights, optimizer, a step (learner.micro_tokens) and versions");
}

err_t train_start(struct train *train, const struct train_options *options, struct publish *publish)
{
    const struct recipe *recipe = train->given;
    train->options = *options;
    train->publish = publish;
    struct branch branch;
    TRY(train_resume(train, &branch));
    TRY(plan_memory(train));
    SCOPED_MEM char *path = file_join(recipe->directory, "metrics.jsonl");
    TRY(report_open(path, &branch, train->at.round, &train->report));
    train->samples = samples_new(recipe);
    train->fingerprint = load_fingerprint(&train->start.trainees);
    struct draw_options draw = {.storage = options->storage,
                                .leasing = options->leasing,
                                .held = options->held,
                                .live = options->live,
                                .plan = {.updates = (uint32_t)recipe->learner.updates_per_round,
                                         .seed = (uint64_t)recipe->run.seed,
                                         .fingerprint = train->fingerprint},
                                .first_round = train->at.round,
                                .trained_rounds = train->again_below,
                                .idle = train_publish_when_idle,
                                .arg = train};
    train->draw = draw_new(&draw);
    train->steering = options->live ? steering_new(options->live, options->storage) : NULL;
    train->begun_s = clock_s();
    TRY(train_evaluate(train, false));
    struct worker_options worker = {.name = "compute",
                                    .capacity = 16,
                                    .state = train,
                                    .idle = train_some,
                                    .cpus = recipe->learner.cpus,
                                    .heartbeats = true};
    return worker_start(&worker, &train->worker);
}

bool train_post(struct train *train, void (*fn)(void *train, void *arg), void *arg)
{
    if (!train->worker || !worker_post(train->worker, fn, arg))
        return false;
    draw_wake(train->draw);
    return true;
}

err_t train_checkpoint(struct train *train, struct checkpoint_info *ret)
{
    if (!train->at.round)
        return err_new(ERR_PRECONDITION,
                       "no round has been trained: the run begins with model.path");
    if (train->checkpointed_round != train->at.round)
        TRY(train_write_checkpoint(train));
    *ret = train->at;
    return OK;
}

const struct checkpoint_info *train_at(const struct train *train)
{
    return &train->at;
}

const struct draw *train_draw(const struct train *train)
{
    return train->draw;
}

void train_stop(struct train *train)
{
    draw_stop(train->draw);
}

void train_join(struct train *train)
{
    if (train)
        worker_free(STEAL(train->worker));
}

void train_free(struct train *train)
{
    if (!train)
        return;
    train_join(train);
    draw_free(train->draw);
    steering_free(train->steering);
    report_free(train->report);
    samples_free(train->samples);
    updates_free(train->updates);
    restart_done(&train->start);
    recipe_free(train->recorded);
    mem_free(train->recorded_text);
    mem_free(train->fingerprint);
    mem_free(train);
}
