#include "learner/train/train.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/round/report.h"
#include "learner/round/updates.h"
#include "learner/settings.h"
#include "learner/steer/steering.h"
#include "learner/train/branch.h"
#include "learner/train/fault.h"
#include "learner/train/restart.h"
#include "svc/worker.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

struct train {
    const struct recipe *given;
    const struct recipe *recipe;        // in force: what the last round was recorded with, or given
    struct recipe *recorded;            // owned: recipe, unless that is given
    char *recorded_text;                // as the round has it
    bool recorded_again, recorded_used; // before this start; and trained since
    struct train_options options;
    struct restart start;
    struct model *model; // of start
    struct updates *updates;
    struct report *report;
    struct draw *draw;
    struct publish *publish;
    struct steering *steering; // NULL: no live settings
    struct worker *worker;
    struct checkpoint_info at; // where the weights stand
    char *fingerprint;
    struct leasing_totals seen; // at the last report
    double begun_s, checkpoint_ms;
    uint64_t again_below; // rounds below it were recorded before this start
    bool published, over; // the weights it stands at; nothing more to train
    uint64_t published_version, checkpointed_round; // the newest: a second is not needed
};

/* ---- where it starts */

err_t train_new(const struct recipe *recipe, struct train **ret)
{
    SCOPED(train) train = mem_new(sizeof *train);
    train->recipe = train->given = recipe;
    TRY(restart_open(recipe, &train->start));
    train->model = train->start.model;
    train->at = train->start.at;
    report_metrics(recipe->directory, train->at.round, train->at.version);
    *ret = STEAL(train);
    return OK;
}

const struct model *train_model(const struct train *train)
{
    return train->model;
}

uint64_t train_first_round(const struct train *train)
{
    return train->at.round;
}

/* ---- one round */

struct update {
    uint64_t version;
    struct digest weights;
    bool ends_round;
};

static err_t record_update(void *arg, struct store *store)
{
    const struct update *u = arg;
    struct trainee_digests trainees = trainees_policy(&u->weights);
    return store_update_done(store, u->version, &trainees, u->ends_round);
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
    train->at.weights = optimizer_digest(train->start.optimizer);
    struct update update = {train->at.version, train->at.weights, u + 1 == round->updates};
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
    return OK;
}

static struct published published(const struct train *train)
{
    return (struct published){train->at.lineage, train->at.version, train->at.round,
                              train->at.weights};
}

static err_t publish_now(struct train *train)
{
    const struct published what = published(train);
    TRY(fault_told(&train->start, publish_version(train->publish, train->model, &what)));
    train->published_version = train->at.version;
    return OK;
}

/* While there is nothing to train, what publish.every has held back goes out: it may be what generators wait for. */
static err_t publish_when_idle(void *arg)
{
    struct train *train = arg;
    return train->published_version == train->at.version ? OK : publish_now(train);
}

static void evaluate(struct train *train, bool last)
{
    const struct published what = published(train);
    evaluating_due(train->options.evaluating, train->model, &what, last);
}

static err_t note_checkpoint(void *arg, struct store *store)
{
    const struct checkpoint_info *at = arg;
    return store_checkpointed(store, at->round, at->version);
}

static err_t write_checkpoint(struct train *train)
{
    const struct recipe *recipe = train->recipe;
    double begun = clock_s();
    const struct checkpoint_tokenizer tokenizer = {train->start.origin, train->start.tokenizer};
    TRY(fault_told(&train->start, optimizer_verify(train->start.optimizer)));
    TRY(report_sync(train->report));
    TRY(checkpoint_write(recipe->directory, train->model, train->start.optimizer, &tokenizer,
                         &train->at, (int)recipe->checkpoint.keep));
    train->checkpoint_ms = (clock_s() - begun) * 1000;
    restart_written(&train->start, checkpoint_path(recipe->directory, train->at.version));
    train->checkpointed_round = train->at.round;
    return storage_call(train->options.storage, note_checkpoint, &train->at);
}

/* Figures that only grow, as what was added since the last report. */
static void report_totals(struct train *train, const struct drawn *drawn,
                          struct round_report *report)
{
    const struct leasing_totals *now = &drawn->totals;
    report->tokens_generated = now->tokens - train->seen.tokens;
    report->generator_busy_s = now->busy_s - train->seen.busy_s;
    report->generator_idle_s = now->idle_s - train->seen.idle_s;
    report->stale = (double)drawn->stale;
    train->seen = *now;
}

/* The limit on lag that the round was formed within, and the lag to come: a group waits as many rounds as there are groups
 * before it, (C + Q) / B (Little's law), and its weights were behind already when it was leased. */
static void report_lag(const struct train *train, const struct drawn *drawn,
                       struct round_report *report)
{
    double waits = (double)(drawn->leased + drawn->queue) / (double)train->recipe->learner.groups;
    report->lag_target = (double)recipe_lag_target(train->recipe);
    report->lag_limit = (double)drawn->round->limit;
    report->lag_expected = drawn->again ? NAN : waits + drawn->behind;
}

/* After the updates: publish, report, checkpoint. The line is on disk before a checkpoint covers its round, so a restart
 * from there lacks none. */
static err_t end_round(struct train *train, struct round_report *report, bool again)
{
    const struct recipe *recipe = train->recipe;
    if (!again && train->at.round % (uint64_t)recipe->publish.every == 0) {
        TRY(publish_now(train));
        report->publish_bytes = publish_last_bytes();
    }
    evaluate(train, false);
    report->version = train->at.version;
    report->publish_ms = publish_last_ms();
    report->checkpoint_ms = train->checkpoint_ms;
    report->time_s = report_time_offset(train->report) + clock_s() - train->begun_s;
    train->checkpoint_ms = 0;
    TRY(report_round(train->report, report));
    return train->at.round % (uint64_t)recipe->checkpoint.every == 0 ? write_checkpoint(train) : OK;
}

/* A controller that steers goes on where it stood, unless the coefficient itself was changed; a fixed one is the recipe's. */
static err_t build_updates(struct train *train, bool goes_on)
{
    updates_free(STEAL(train->updates));
    TRY(updates_new(train->recipe, train->model, train->start.optimizer, &train->updates));
    if (goes_on && train->recipe->learner.kl.target > 0)
        updates_set_kl_coef(train->updates, train->at.kl_coef);
    train->at.kl_coef = updates_kl_coef(train->updates);
    return OK;
}

/* A round is trained with what it was recorded with, whether just now or before a restart. */
static err_t take_settings(struct train *train, const char *text, bool again, bool resumes)
{
    SCOPED(recipe) recorded = NULL;
    TRY(restart_settings(train->given, text, again, &recorded));
    bool goes_on = resumes || recorded->learner.kl.coef == train->recipe->learner.kl.coef;
    struct optimizer_config config = settings_optimizer(&recorded->learner.optimizer);
    optimizer_configure(train->start.optimizer, &config);
    recipe_free(train->recorded);
    mem_free(train->recorded_text);
    train->recipe = train->recorded = STEAL(recorded);
    train->recorded_text = mem_string(text);
    train->recorded_again = again;
    return build_updates(train, goes_on);
}

static err_t use_settings(struct train *train, const struct drawn *drawn)
{
    const char *text = drawn->round->settings;
    bool same = train->recorded_text && strcmp(text, train->recorded_text) == 0;
    if (same && train->recorded_used && drawn->again == train->recorded_again)
        return OK;
    TRY(take_settings(train, text, drawn->again, false));
    train->recorded_used = true;
    if (drawn->again && restart_tell_settings(train->given, train->recipe))
        log_info("settings in force", "round=%" PRIu64 " which=recorded", drawn->round->round);
    return OK;
}

static err_t one_round(struct train *train, const struct drawn *drawn)
{
    struct round_report report = {.round = drawn->round->round,
                                  .learner_idle_s = drawn->idle_s,
                                  .idle_cause = drawn->idle_cause};
    double begun = clock_s();
    TRY(use_settings(train, drawn));
    TRY(draw_failed(train->draw, drawn, train_updates(train, drawn, &report)));
    report.learner_busy_s = clock_s() - begun;
    report_totals(train, drawn, &report);
    report_lag(train, drawn, &report);
    steering_see(train->steering, train->options.storage, drawn, &report);
    return end_round(train, &report, drawn->again);
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

/* The last thing the thread does: a checkpoint where it stands, unless one was just made. */
static void finish(struct train *train, enum train_end end, err_t why)
{
    if (end != TRAIN_FAILED && train->checkpointed_round != train->at.round)
        why = write_checkpoint(train);
    if (end == TRAIN_ENDED)
        evaluate(train, true);
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

/* Where the store stands, and what the last round before the checkpoint was recorded with. */
struct position {
    struct train *train;
    struct branch branch;
    char *settings; // NULL: there is no such round
};

static err_t read_position(void *arg, struct store *store)
{
    struct position *position = arg;
    struct train *train = position->train;
    SCOPED(round) last = NULL;
    position->branch = store_branch(store);
    train->again_below = store_next_round(store);
    train->at.lineage = store_lineage(store);
    if (!train->at.round || train->at.round > train->again_below)
        return OK;
    TRY(store_round(store, train->at.round - 1, &last));
    position->settings = STEAL(last->settings);
    return OK;
}

/* As if the round before had just been trained. Settings that this build does not know are of no use to a controller either. */
static err_t resume_settings(struct train *train, struct branch *ret_branch)
{
    struct position position = {.train = train};
    TRY(storage_call(train->options.storage, read_position, &position));
    SCOPED_MEM char *settings = position.settings;
    *ret_branch = position.branch;
    train->checkpointed_round = train->at.round; // 0: model.path stands for it
    err_t unknown = OK;
    if (train->start.resumed && settings)
        unknown = take_settings(train, settings, true, true);
    if (train->updates || err_code(unknown) != ERR_INVALID)
        TRY(unknown);
    err_free(unknown);
    return train->updates ? OK : build_updates(train, train->start.resumed);
}

/* ---- back to a checkpoint */

/* The lineage has begun: from here on there is no way but into it. All is as it were after a restart. */
static err_t enter(struct train *train, const struct branch_point *point)
{
    struct branch branch;
    TRY(restart_go_back(&train->start, point->path, &point->info));
    train->at = point->info;
    updates_free(STEAL(train->updates));
    TRY(resume_settings(train, &branch));
    TRY(report_branch(train->report, &branch,
                      report_time_offset(train->report) + clock_s() - train->begun_s));
    draw_go_on_at(train->draw, train->at.round);
    train->published = true;
    TRY(publish_now(train));
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
        finish(train, TRAIN_FAILED, err_new(err_code(failed), "rollback: %s", err_message(failed)));
    }
    TRY(failed);
    *ret = train->at;
    return OK;
}

/* Rounds recorded before a restart are trained again first: their versions were seen. */
static err_t publish_first(struct train *train)
{
    if (train->published || train->at.round < train->again_below)
        return OK;
    train->published = true;
    return publish_now(train);
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
        finish(train, err_failed(failed) ? TRAIN_FAILED : good, failed);
    return 0;
}

/* Weights, optimizer, a step; and of what goes out: the values of the newest version and, while one is made, of the next. */
static void report_memory(const struct train *train)
{
    const size_t version = train->model->params->layout->elements * sizeof(bf16);
    log_info("memory planned", "weights_mib=%zu optimizer_mib=%zu step_mib=%zu out_mib=%zu",
             model_bytes(train->model) >> 20, optimizer_bytes(train->start.optimizer) >> 20,
             updates_bytes(train->updates) >> 20,
             (train->options.evaluating ? 3 : 2) * version >> 20);
}

err_t train_start(struct train *train, const struct train_options *options, struct publish *publish)
{
    const struct recipe *recipe = train->given;
    train->options = *options;
    train->publish = publish;
    struct branch branch;
    TRY(resume_settings(train, &branch));
    report_memory(train);
    SCOPED_MEM char *path = file_join(recipe->directory, "metrics.jsonl");
    TRY(report_open(path, &branch, train->at.round, &train->report));
    train->fingerprint = settings_fingerprint(train->model);
    struct draw_options draw = {.storage = options->storage,
                                .leasing = options->leasing,
                                .live = options->live,
                                .plan = {.updates = (uint32_t)recipe->learner.updates_per_round,
                                         .seed = (uint64_t)recipe->run.seed,
                                         .fingerprint = train->fingerprint},
                                .first_round = train->at.round,
                                .trained_rounds = train->again_below,
                                .idle = publish_when_idle,
                                .arg = train};
    train->draw = draw_new(&draw);
    train->steering = options->live ? steering_new(options->live, options->storage) : NULL;
    train->begun_s = clock_s();
    evaluate(train, false);
    struct worker_options worker = {.name = "compute",
                                    .capacity = 16,
                                    .state = train,
                                    .idle = train_some,
                                    .cpus = recipe->learner.cpus};
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
        TRY(write_checkpoint(train));
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
    updates_free(train->updates);
    restart_done(&train->start);
    recipe_free(train->recorded);
    mem_free(train->recorded_text);
    mem_free(train->fingerprint);
    mem_free(train);
}
