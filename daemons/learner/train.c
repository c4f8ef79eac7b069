#include "learner/train.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/report.h"
#include "learner/restart.h"
#include "learner/settings.h"
#include "learner/updates.h"
#include "svc/metrics.h"
#include "svc/worker.h"
#include "weights/digest.h"
#include <inttypes.h>
#include <string.h>

struct train {
    const struct recipe
        *recipe; // in force: as given, or with what a recorded round was recorded with
    const struct recipe *given;
    struct recipe *recorded; // what recipe is then; else NULL
    char *recorded_text;     // as the round has it
    struct train_options options;
    struct restart start;
    struct model *model; // of start
    struct updates *updates;
    struct report *report;
    struct draw *draw;
    struct publish *publish;
    struct worker *worker;
    struct checkpoint_info at; // where the weights stand
    char *settings, *fingerprint;
    struct leasing_totals seen; // at the last report
    uint64_t stale_seen;
    double begun_s, checkpoint_ms;
    uint64_t again_below; // rounds below it were recorded before this start
    bool published, over; // the weights it stands at; nothing more to train
    uint64_t published_version;
};

static struct metric round_now = METRIC_GAUGE("rlhfd_round", "rounds trained");
static struct metric version_now = METRIC_GAUGE("rlhfd_version", "updates made");
static struct metric reward_now =
    METRIC_GAUGE("rlhfd_reward_mean", "mean reward of the last round");
static struct metric lag_now =
    METRIC_GAUGE("rlhfd_lag_mean", "mean lag of the last round's groups, in rounds");
static struct metric lag_largest =
    METRIC_GAUGE("rlhfd_lag_max", "largest lag of the last round's groups, in rounds");
static struct metric idle_total =
    METRIC_COUNTER("rlhfd_learner_idle_seconds_total", "waited for groups");
static struct metric busy_total =
    METRIC_COUNTER("rlhfd_learner_busy_seconds_total", "spent in updates");
static struct metric trained_total =
    METRIC_COUNTER("rlhfd_tokens_trained_total", "completion tokens trained");
static struct metric differing_total =
    METRIC_COUNTER("rlhfd_logp_differing_total",
                   "stamped log-probabilities unlike our forward's at the same weights: a bug");
static struct metric *const rows[] = {&round_now,  &version_now,   &reward_now,
                                      &lag_now,    &lag_largest,   &idle_total,
                                      &busy_total, &trained_total, &differing_total};

/* ---- where it starts */

err_t train_new(const struct recipe *recipe, struct train **ret)
{
    SCOPED(train) train = mem_new(sizeof *train);
    metrics_register(rows, sizeof rows / sizeof *rows);
    train->recipe = train->given = recipe;
    TRY(restart_open(recipe, &train->start));
    train->model = train->start.model;
    train->at = train->start.at;
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
    return store_update_done(store, u->version, &u->weights, u->ends_round);
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
    train->at.weights =
        weights_digest(train->model->values, 0, train->model->params->layout->elements);
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

static void publish_now(struct train *train)
{
    struct published what = published(train);
    publish_version(train->publish, train->model, &what);
    train->published_version = train->at.version;
}

/* While there is nothing to train, what publish.every has held back goes out: it may be what generators wait for. */
static void publish_when_idle(void *arg)
{
    struct train *train = arg;
    if (train->published_version != train->at.version)
        publish_now(train);
}

static void evaluate(struct train *train, bool last)
{
    struct published what = published(train);
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
    TRY(report_sync(train->report));
    TRY(checkpoint_write(recipe->directory, train->model, train->start.optimizer,
                         train->start.origin, &train->at, (int)recipe->checkpoint.keep));
    train->checkpoint_ms = (clock_s() - begun) * 1000;
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
    report->stale = (double)(drawn->stale - train->stale_seen);
    train->seen = *now;
    train->stale_seen = drawn->stale;
}

static void show(const struct round_report *report)
{
    metric_set(&round_now, (double)report->round + 1);
    metric_set(&version_now, (double)report->version);
    metric_set(&reward_now, report->reward_mean);
    metric_set(&lag_now, report->lag_mean);
    metric_set(&lag_largest, report->lag_max);
    metric_add(&idle_total, report->learner_idle_s);
    metric_add(&busy_total, report->learner_busy_s);
    metric_add(&trained_total, report->tokens_trained);
    metric_add(&differing_total, report->logp_differing);
}

/* After the updates: publish, report, checkpoint. The line is on disk before a checkpoint covers its round, so a restart
 * from there lacks none. */
static err_t end_round(struct train *train, struct round_report *report, bool again)
{
    const struct recipe *recipe = train->recipe;
    if (!again && train->at.round % (uint64_t)recipe->publish.every == 0) {
        publish_now(train);
        report->publish_bytes = publish_last_bytes();
    }
    evaluate(train, false);
    report->version = train->at.version;
    report->publish_ms = publish_last_ms();
    report->checkpoint_ms = train->checkpoint_ms;
    report->time_s = report_time_offset(train->report) + clock_s() - train->begun_s;
    train->checkpoint_ms = 0;
    show(report);
    TRY(report_round(train->report, report));
    return train->at.round % (uint64_t)recipe->checkpoint.every == 0 ? write_checkpoint(train) : OK;
}

/* A controller that steers goes on where it stood; a fixed coefficient is the recipe's. */
static err_t build_updates(struct train *train, bool resumed)
{
    TRY(updates_new(train->recipe, train->model, train->start.optimizer, &train->updates));
    if (resumed && train->recipe->learner.kl.target > 0)
        updates_set_kl_coef(train->updates, train->at.kl_coef);
    train->at.kl_coef = updates_kl_coef(train->updates);
    return OK;
}

/* Rounds recorded before a restart take the settings they were recorded with, new ones those given. */
static err_t use_settings(struct train *train, const struct drawn *drawn)
{
    const char *text = drawn->again ? drawn->round->settings : NULL;
    if (text ? train->recorded_text && strcmp(text, train->recorded_text) == 0
             : !train->recorded_text)
        return OK;
    SCOPED(recipe) recorded = NULL;
    if (text)
        TRY(restart_settings(train->given, text, &recorded));
    mem_free(train->recorded_text);
    train->recorded_text = mem_string(text);
    if (!recorded && !train->recorded)
        return OK;
    log_info("settings in force", "round=%" PRIu64 " which=%s", drawn->round->round,
             recorded ? "recorded" : "given");
    updates_free(STEAL(train->updates));
    recipe_free(train->recorded);
    train->recorded = STEAL(recorded);
    train->recipe = train->recorded ? train->recorded : train->given;
    struct optimizer_config config = settings_optimizer(&train->recipe->learner.optimizer);
    optimizer_configure(train->start.optimizer, &config);
    return build_updates(train, true);
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
    if (end != TRAIN_FAILED && train->at.round % (uint64_t)train->recipe->checkpoint.every)
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

/* The worker's idle call: a round at a time until there is no more. */
static int64_t train_some(void *state)
{
    struct train *train = state;
    enum draw_end end = DRAW_MORE;
    if (train->over)
        return -1;
    if (!train->published && train->at.round >= train->again_below) {
        train->published =
            true; // rounds recorded before a restart are trained again first: their versions were seen
        publish_now(train);
    }
    err_t failed = next_round(train, &end);
    train->over = err_failed(failed) || end != DRAW_MORE;
    if (train->over)
        finish(train,
               err_failed(failed)  ? TRAIN_FAILED
               : end == DRAW_ENDED ? TRAIN_ENDED
                                   : TRAIN_STOPPED,
               failed);
    return 0;
}

static err_t read_position(void *arg, struct store *store)
{
    struct train *train = arg;
    train->again_below = store_next_round(store);
    train->at.lineage = store_lineage(store);
    return OK;
}

/* Weights, optimizer, a step; and of what goes out: the values of the newest version and, while one is made, of the next. */
static void report_memory(const struct train *train)
{
    const size_t elements = train->model->params->layout->elements;
    log_info("memory planned",
             "weights_mib=%zu optimizer_mib=%zu step_mib=%zu published_mib=%zu evaluated_mib=%zu",
             model_bytes(train->model) >> 20, optimizer_bytes(train->start.optimizer) >> 20,
             updates_bytes(train->updates) >> 20, 2 * elements * sizeof(bf16) >> 20,
             (train->options.evaluating ? elements * sizeof(bf16) : 0) >> 20);
}

err_t train_start(struct train *train, const struct train_options *options, struct publish *publish)
{
    const struct recipe *recipe = train->recipe;
    train->options = *options;
    train->publish = publish;
    TRY(storage_call(options->storage, read_position, train));
    TRY(build_updates(train, train->start.resumed));
    report_memory(train);
    SCOPED_MEM char *path = file_join(recipe->directory, "metrics.jsonl");
    TRY(report_open(path, train->at.round, &train->report));
    struct bytes settings = {0};
    recipe_render(recipe, &settings);
    train->settings = (char *)settings.data;
    train->fingerprint = settings_fingerprint(train->model);
    struct draw_options draw = {.storage = options->storage,
                                .leasing = options->leasing,
                                .plan = {.updates = (uint32_t)recipe->learner.updates_per_round,
                                         .seed = (uint64_t)recipe->run.seed,
                                         .settings = train->settings,
                                         .fingerprint = train->fingerprint},
                                .first_round = train->at.round,
                                .trained_rounds = train->again_below,
                                .idle = publish_when_idle,
                                .arg = train};
    train->draw = draw_new(&draw);
    train->begun_s = clock_s();
    evaluate(train, false);
    struct worker_options worker = {
        .name = "compute", .capacity = 4, .state = train, .idle = train_some};
    return worker_start(&worker, &train->worker);
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
    report_free(train->report);
    updates_free(train->updates);
    restart_done(&train->start);
    recipe_free(train->recorded);
    mem_free(train->recorded_text);
    mem_free(train->settings);
    mem_free(train->fingerprint);
    mem_free(train);
}
