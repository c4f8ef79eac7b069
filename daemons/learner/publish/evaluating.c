#include "learner/publish/evaluating.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/jsonl.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/publish/evals.h"
#include "svc/metrics.h"
#include "weights/publisher.h"
#include <inttypes.h>

/* A version to be evaluated, with its weights. */
struct due {
    struct evaluating *evaluating;
    struct published what;
    struct snapshot *snapshot; // NULL: only says that it is the last
    bool last;
};

struct evaluating {
    struct evaluating_options options;
    struct storage *storage;
    struct jsonl *data;
    double *success; // (scorers)
    uint32_t rows;
    struct publisher *publisher; // loop
    /* storage thread: */
    struct evals *evals;
    struct evaluation *now; // NULL: none is under way
    struct due next;        // next.snapshot NULL: none waits
    uint64_t skipped;       // since the last line
    bool last, told;        // no other will be due; options.over was called
};

static struct metric success_now =
    METRIC_GAUGE("rlhfd_eval_success", "share of prompts with success, last version evaluated");
static struct metric reward_now =
    METRIC_GAUGE("rlhfd_eval_reward", "mean reward of the last version evaluated");
static struct metric version_now = METRIC_GAUGE("rlhfd_eval_version", "last version evaluated");
static struct metric made = METRIC_COUNTER("rlhfd_evals_total", "versions evaluated");
static struct metric passed_over = METRIC_COUNTER(
    "rlhfd_evals_skipped_total", "versions that were due and gave way to a newer one");
static struct metric *const rows[] = {&success_now, &reward_now, &version_now, &made, &passed_over};

/* ---- one after the other: storage thread */

static void publish(void *arg)
{
    struct due *due = arg;
    publisher_publish(due->evaluating->publisher, due->snapshot, NULL);
    mem_free(due);
}

static void tell_over(void *arg)
{
    const struct evaluating *e = arg;
    e->options.over(e->options.arg);
}

static void begin(struct evaluating *e, const struct due *due)
{
    const struct recipe *recipe = e->options.recipe;
    struct evaluation_options options = {.run = recipe->run.name,
                                         .lineage = due->what.lineage,
                                         .version = due->what.version,
                                         .round = due->what.round,
                                         .rows = e->rows,
                                         .scores = (uint32_t)recipe->rewarder.scorers.count,
                                         .success = e->success,
                                         .temperature = (float)recipe->eval.temperature,
                                         .lease_ms = (uint32_t)recipe->learner.lease_ms};
    e->now = evaluation_new(&options, clock_ms());
    loop_post(e->options.loop, publish, mem_copy(due, sizeof *due));
}

static void skip(struct evaluating *e, uint64_t version, const char *why)
{
    e->skipped++;
    metric_add(&passed_over, 1);
    log_info("evaluation skipped", "version=%" PRIu64 " why=\"%s\"", version, why);
}

/* With none under way: the one that waits, or the end. */
static void go_on(struct evaluating *e)
{
    if (e->now)
        return;
    if (e->next.snapshot) {
        begin(e, &e->next);
        e->next.snapshot = NULL;
    } else if (e->last && !e->told) {
        e->told = true;
        loop_post(e->options.loop, tell_over, e);
    }
}

static bool is_known(const struct evaluating *e, const struct published *what)
{
    const struct evaluation_options *now = e->now ? evaluation_what(e->now) : NULL;
    return evals_has(e->evals, what->lineage, what->version) ||
           (now && now->lineage == what->lineage && now->version == what->version) ||
           (e->next.snapshot && e->next.what.lineage == what->lineage &&
            e->next.what.version == what->version);
}

static err_t take_due(void *arg, struct store *store)
{
    (void)store;
    struct due *due = arg;
    struct evaluating *e = due->evaluating;
    e->last = e->last || due->last;
    if (is_known(e, &due->what)) {
        snapshot_free(due->snapshot);
    } else {
        if (e->next.snapshot) {
            skip(e, e->next.what.version, "the one before was still under way");
            snapshot_free(e->next.snapshot);
        }
        e->next = *due;
    }
    mem_free(due);
    go_on(e);
    if (e->last && e->now)
        log_info("waiting for the last evaluation",
                 "version=%" PRIu64 " at_most_s=%" PRId64 " without a result",
                 evaluation_what(e->now)->version, e->options.recipe->learner.lease_ms / 1000);
    return OK;
}

/* One that gets nothing back for as long as a lease may last holds up neither a newer one nor the
 * end of the run. */
static err_t look(void *arg, struct store *store)
{
    (void)store;
    struct evaluating *e = arg;
    if (!e->now || !(e->next.snapshot || e->last) ||
        clock_ms() - evaluation_moved_ms(e->now) < e->options.recipe->learner.lease_ms)
        return OK;
    skip(e, evaluation_what(e->now)->version, "no result for learner.lease_ms");
    evaluation_free(STEAL(e->now));
    go_on(e);
    return OK;
}

static void show(double version, double success, double reward)
{
    metric_set(&success_now, success);
    metric_set(&reward_now, reward);
    metric_set(&version_now, version);
}

static err_t finish(struct evaluating *e)
{
    const struct evaluation_options *what = evaluation_what(e->now);
    SCOPED_VALUE(evaluation_figures) f = {0};
    evaluation_figures(e->now, clock_ms(), &f);
    TRY(evals_write(e->evals, what, &f, &e->options.recipe->rewarder.scorers, e->skipped));
    e->skipped = 0;
    show((double)what->version, f.success, f.reward_mean);
    metric_add(&made, 1);
    log_info("evaluated",
             "version=%" PRIu64 " prompts=%u failed=%u success=%.4f reward=%.4f seconds=%.1f",
             what->version, f.rows, f.failed, f.success, f.reward_mean, f.seconds);
    evaluation_free(STEAL(e->now));
    go_on(e);
    return OK;
}

/* ---- what leasing and ingest ask: storage thread */

static err_t add_grant(struct evaluating *e, uint32_t row, struct lease_reply *reply, size_t *bytes)
{
    const struct evaluation_options *what = evaluation_what(e->now);
    struct bytes text = {0};
    err_t failed = jsonl_row(e->data, row, &text);
    if (err_failed(failed)) {
        bytes_done(&text);
        return failed;
    }
    const uint64_t slot = evaluation_slot(what->version, row);
    *bytes += text.len;
    reply->grant = mem_grow(reply->grant, reply->grants + 1, sizeof *reply->grant);
    reply->grant[reply->grants++] =
        (struct lease_grant){.id = group_id(what->run, what->lineage, slot, 1),
                             .lineage = what->lineage,
                             .slot = slot,
                             .attempt = 1, // whoever decodes it: the same tokens
                             .prompt = row,
                             .start_round = what->round,
                             .row = (char *)text.data,
                             .deadline_ms = what->lease_ms,
                             .evaluation = true,
                             .version = what->version};
    return OK;
}

err_t evaluating_lease(struct evaluating *e, uint64_t stream, uint32_t lineage, uint64_t version,
                       uint32_t want, struct lease_reply *reply)
{
    uint32_t row;
    size_t bytes = 0;
    if (!e || !e->now || lineage != evaluation_what(e->now)->lineage ||
        version != evaluation_what(e->now)->version)
        return OK;
    while (reply->grants < want && reply->grants < LEASE_GRANTS_MAX && bytes < LEASE_ROWS_BYTES &&
           evaluation_lease(e->now, stream, clock_ms(), &row))
        TRY(add_grant(e, row, reply, &bytes));
    return OK;
}

void evaluating_stand_still(struct evaluating *e)
{
    if (e && e->now)
        evaluation_stand_still(e->now, clock_ms());
}

void evaluating_release(struct evaluating *e, uint64_t stream)
{
    if (e && e->now)
        evaluation_release(e->now, stream);
}

err_t evaluating_fail(struct evaluating *e, const uint64_t *slots, uint32_t count)
{
    for (uint32_t i = 0; i < count && e && e->now; i++)
        evaluation_fail(e->now, slots[i], clock_ms());
    return e && e->now && evaluation_complete(e->now) ? finish(e) : OK;
}

err_t evaluating_take(void *evaluating, const struct group *group, enum outcome *ret_outcome,
                      char why[MISFIT_WHY])
{
    struct evaluating *e = evaluating;
    _Static_assert((int)EVALUATION_WHY <= (int)MISFIT_WHY, "the evaluation's words fit");
    *ret_outcome = OUTCOME_SUPERSEDED;
    if (!e || !e->now) {
        snprintf(why, MISFIT_WHY, "nothing is evaluated now");
        return OK;
    }
    *ret_outcome = evaluation_take(e->now, group, clock_ms(), why);
    if (*ret_outcome == OUTCOME_REJECTED)
        log_limited(LOG_WARNING, 1, "evaluation's group rejected", "row=%" PRIu64 " why=\"%s\"",
                    group->prompt, why);
    return evaluation_complete(e->now) ? finish(e) : OK;
}

bool evaluating_over(const struct evaluating *e)
{
    return !e || e->told;
}

/* ---- compute thread */

err_t evaluating_due(struct evaluating *e, const struct model *model, const struct published *what,
                     bool last)
{
    if (!e || (!last && what->round % (uint64_t)e->options.recipe->eval.every))
        return OK;
    bf16 *values = NULL;
    TRY(model_flat(model, &values));
    struct manifest manifest = {.lineage = what->lineage,
                                .version = what->version,
                                .round = what->round,
                                .kind = WEIGHTS_FULL,
                                .elements = model->params->layout->elements,
                                .digest = what->digest};
    struct due due = {e, *what, snapshot_of(&manifest, values), last};
    storage_post(e->storage, take_due, mem_copy(&due, sizeof due));
    return OK;
}

/* ---- putting it together */

static err_t open_data(struct evaluating *e)
{
    const struct recipe *recipe = e->options.recipe;
    TRY(recipe_require(recipe, "data.eval"));
    TRY(jsonl_open(recipe->data.eval, &e->data));
    const uint64_t there = jsonl_rows(e->data);
    e->rows =
        (uint32_t)(there < (uint64_t)recipe->eval.prompts ? there : (uint64_t)recipe->eval.prompts);
    e->success = mem_array(recipe->rewarder.scorers.count, sizeof *e->success);
    for (size_t s = 0; s < recipe->rewarder.scorers.count; s++)
        e->success[s] = recipe->rewarder.scorers.at[s].success;
    return OK;
}

err_t evaluating_open(const struct evaluating_options *options, struct evaluating **ret)
{
    const struct recipe *recipe = options->recipe;
    *ret = NULL;
    if (!recipe->eval.every)
        return OK;
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(evaluating) e = mem_new(sizeof *e);
    e->options = *options;
    TRY(open_data(e));
    SCOPED_MEM char *path = file_join(recipe->directory, "evals.jsonl");
    TRY(evals_open(path, &e->evals));
    struct evals_last last;
    if (evals_last(e->evals, &last))
        show(last.version, last.success, last.reward);
    TRY(publisher_new(&(struct publisher_options){.run = recipe->run.name,
                                                  .layout = options->layout,
                                                  .full_at_once = (int)recipe->publish.full_at_once,
                                                  .evaluated = true},
                      &e->publisher));
    *ret = STEAL(e);
    return OK;
}

const struct jsonl *evaluating_data(const struct evaluating *e)
{
    return e ? e->data : NULL;
}

void evaluating_start(struct evaluating *e, struct storage *storage)
{
    if (!e)
        return;
    e->storage = storage;
    storage_on_change(storage, look, NULL, e);
}

struct rpc_service evaluating_service(struct evaluating *e)
{
    return publisher_service(e->publisher);
}

void evaluating_free(struct evaluating *e)
{
    if (!e)
        return;
    publisher_free(e->publisher);
    evaluation_free(e->now);
    snapshot_free(e->next.snapshot);
    evals_free(e->evals);
    jsonl_free(e->data);
    mem_free(e->success);
    mem_free(e);
}
