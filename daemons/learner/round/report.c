#include "learner/round/report.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/round/reported.h"
#include "svc/metrics.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

struct report {
    struct lines *file;
    uint32_t lineage;
    double time_offset;
};

/* ---- the same as metrics */

enum { REPORT_MAX_BYTES = 1 << 30 };

static struct metric round_now = METRIC_GAUGE("rlhfd_round", "rounds trained");
static struct metric version_now = METRIC_GAUGE("rlhfd_version", "updates made");
static struct metric run_rounds_now =
    METRIC_GAUGE("rlhfd_run_rounds", "rounds that the run has in all, as far as is known");
static struct metric reward_now =
    METRIC_GAUGE("rlhfd_reward_mean", "mean reward of the last round");
static struct metric truncated_now = METRIC_GAUGE(
    "rlhfd_truncated_share", "share of the last round's completions that ended at their longest");
static struct metric stale_tokens_now = METRIC_GAUGE(
    "rlhfd_stale_token_share", "share of the last round's tokens that max_token_lag masked");
static struct metric lag_now =
    METRIC_GAUGE("rlhfd_lag_mean", "mean lag of the last round's groups, in rounds");
static struct metric lag_largest =
    METRIC_GAUGE("rlhfd_lag_max", "largest lag of the last round's groups, in rounds");
static struct metric lag_expected =
    METRIC_GAUGE("rlhfd_lag_expected", "mean lag that the groups now leased and stored come to");
static struct metric idle_total = METRIC_COUNTER("rlhfd_learner_idle_seconds_total",
                                                 "waited for a round, the wait under way too");
static struct metric busy_total =
    METRIC_COUNTER("rlhfd_learner_busy_seconds_total",
                   "trained, published and checkpointed a round, the one under way too");
static struct metric trained_total =
    METRIC_COUNTER("rlhfd_tokens_trained_total", "completion tokens trained");
static struct metric differing_total =
    METRIC_COUNTER("rlhfd_logp_differing_total",
                   "stamped log-probabilities unlike our forward's at the same weights: a bug");
static struct metric *const rows[] = {
    &lag_expected,  &round_now,        &version_now,   &reward_now,    &lag_now,
    &lag_largest,   &idle_total,       &busy_total,    &trained_total, &differing_total,
    &truncated_now, &stale_tokens_now, &run_rounds_now};

/* Registered by the first round that has them: with one kind of numerics in the ring there are
 * none. */
static struct metric mismatch = METRIC_GAUGE(
    "rlhfd_kl_mismatch",
    "k1 of KL(generator || learner) in tokens of generators with other numerics, last round that had any");
static struct metric mismatch_k3 =
    METRIC_GAUGE("rlhfd_kl_mismatch_k3", "the same by the estimator k3");
static struct metric *const mismatch_rows[] = {&mismatch, &mismatch_k3};

/* The objective's figures. Only those that its row declares are registered. */
static struct metric figures_now[] = {
#define FIGURE_METRIC(name, over, of, what) METRIC_GAUGE("rlhfd_" #name, what),
    RL_FIGURES(FIGURE_METRIC)
#undef FIGURE_METRIC
};
static struct metric *const figure_rows[] = {
#define FIGURE_ROW(name, ...) &figures_now[FIGURE_##name],
    RL_FIGURES(FIGURE_ROW)
#undef FIGURE_ROW
};

/* A gauge stays where it stands if the round has no such figure. */
static void show_figure(struct metric *metric, double value)
{
    if (isfinite(value))
        metric_set(metric, value);
}

static void show(const struct round_report *report)
{
    metric_set(&round_now, (double)report->round + 1);
    metric_set(&version_now, (double)report->version);
    show_figure(&run_rounds_now, report->run_rounds);
    metric_set(&reward_now, report->reward_mean);
    metric_set(&truncated_now, report->truncated_share);
    metric_set(&stale_tokens_now, report->stale_token_share);
    metric_set(&lag_now, report->lag_mean);
    metric_set(&lag_largest, report->lag_max);
    show_figure(&lag_expected, report->lag_expected);
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        show_figure(&figures_now[i], report->figures.at[i]);
    if (isfinite(report->kl_mismatch))
        metrics_register(mismatch_rows, sizeof mismatch_rows / sizeof *mismatch_rows);
    show_figure(&mismatch, report->kl_mismatch);
    show_figure(&mismatch_k3, report->kl_mismatch_k3);
    metric_add(&trained_total, report->tokens_trained);
    metric_add(&differing_total, report->logp_differing);
}

void report_seconds(bool busy, double seconds)
{
    metric_add(busy ? &busy_total : &idle_total, seconds);
}

/* The last whole line of that round; NULL: there is none. */
static json_t *find_round(const struct bytes *text, uint64_t round)
{
    const char *data = (const char *)text->data;
    for (size_t end = text->len; end;) {
        const char *before = memrchr(data, '\n', end - 1);
        const size_t at = before ? (size_t)(before - data) + 1 : 0;
        SCOPED_JSON json_t *line = json_loadb(data + at, end - at, 0, NULL);
        const json_t *is = json_object_get(line, "round");
        if (data[end - 1] == '\n' && json_is_integer(is) &&
            (uint64_t)json_integer_value(is) == round)
            return STEAL(line);
        end = at;
    }
    return NULL;
}

static void show_number(const json_t *line, const char *name, struct metric *metric)
{
    const json_t *value = json_object_get(line, name);
    if (json_is_number(value))
        metric_set(metric, json_number_value(value));
}

/* Where training stands while no round has been trained since a start or a rollback. A file that
 * cannot be read is report_open's to tell of. */
static void show_standing(const char *path, uint64_t rounds, uint64_t version)
{
    SCOPED_VALUE(bytes) text = {0};
    metric_set(&round_now, (double)rounds);
    metric_set(&version_now, (double)version);
    err_free(file_read(path, REPORT_MAX_BYTES, &text));
    SCOPED_JSON json_t *line = rounds ? find_round(&text, rounds - 1) : NULL;
    show_number(line, "run_rounds", &run_rounds_now);
    show_number(line, "reward_mean", &reward_now);
    show_number(line, "lag_mean", &lag_now);
    show_number(line, "lag_max", &lag_largest);
    show_number(line, "lag_expected", &lag_expected);
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        show_number(line, rl_figure_name((enum rl_figure)i), &figures_now[i]);
}

/* ---- the file */

static err_t read_lines(const char *path, const struct branch *branch, uint64_t first_round,
                        struct bytes *ret_text, struct reported *ret)
{
    if (file_exists(path))
        TRY(file_read(path, REPORT_MAX_BYTES, ret_text));
    *ret = (struct reported){
        .branch = branch, .first_round = first_round, .begun = branch->parent == branch->lineage};
    reported_read(ret, ret_text);
    return OK;
}

err_t report_read(const char *path, const struct branch *branch, uint64_t first_round,
                  struct reported *ret)
{
    SCOPED_VALUE(bytes) text = {0};
    return read_lines(path, branch, first_round, &text, ret);
}

err_t report_check(const char *path, const struct branch *branch, uint64_t first_round,
                   uint64_t rounds_done)
{
    struct reported lines;
    TRY(report_read(path, branch, first_round, &lines));
    if (lines.foreign)
        return err_new(ERR_DATA_LOSS,
                       "'%s' has rounds of lineage %" PRIu32 ", which the store does not know",
                       path, lines.foreign);
    if (lines.rounds > rounds_done)
        return err_new(ERR_DATA_LOSS,
                       "'%s' has %" PRIu64 " rounds, but the store ends after %" PRIu64, path,
                       lines.rounds, rounds_done);
    return OK;
}

/* The lines that stay, to the byte. */
static err_t cut(const char *path, const struct bytes *text, const struct reported *lines)
{
    if (lines->kept == text->len && !lines->unended && file_exists(path))
        return OK;
    const struct file_part parts[] = {{.data = text->data, .len = lines->kept},
                                      {.data = "\n", .len = lines->unended}};
    return file_write_parts(path, parts, sizeof parts / sizeof *parts);
}

void report_metrics(const char *directory, uint64_t rounds, uint64_t version, uint64_t figures)
{
    SCOPED_MEM char *path = file_join(directory, "metrics.jsonl");
    metrics_register(rows, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        if (i == FIGURE_loss || figures & (UINT64_C(1) << i))
            metrics_register(&figure_rows[i], 1);
    show_standing(path, rounds, version);
}

static err_t put_branch(struct report *report, const struct branch *branch, double time_s);

err_t report_open(const char *path, const struct branch *branch, uint64_t first_round,
                  struct report **ret)
{
    SCOPED(report) report = mem_new(sizeof *report);
    SCOPED_VALUE(bytes) text = {0};
    struct reported lines;
    TRY(read_lines(path, branch, first_round, &text, &lines));
    if (lines.damaged)
        log_warning("damaged lines are kept as they are",
                    "file=%s lines=%" PRIu64 " first_line=%" PRIu64, path, lines.damaged,
                    lines.first_line);
    TRY(cut(path, &text, &lines));
    TRY(lines_open(path, &report->file));
    report->lineage = branch->lineage;
    report->time_offset = lines.time_s;
    if (!lines.begun)
        TRY(put_branch(report, branch, lines.time_s));
    *ret = STEAL(report);
    return OK;
}

static err_t put_line(struct report *report, const json_t *object)
{
    SCOPED_MEM char *line = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    return lines_put(report->file, line);
}

static err_t put_branch(struct report *report, const struct branch *branch, double time_s)
{
    report->lineage = branch->lineage;
    SCOPED_JSON json_t *object = json_pack(
        "{s:b, s:I, s:I, s:I, s:I, s:f}", "rollback", 1, "lineage", (json_int_t)branch->lineage,
        "parent", (json_int_t)branch->parent, "version", (json_int_t)branch->version, "rounds",
        (json_int_t)branch->rounds, "time_s", time_s);
    return put_line(report, object);
}

err_t report_branch(struct report *report, const struct branch *branch, double time_s)
{
    TRY(put_branch(report, branch, time_s));
    show_standing(lines_path(report->file), branch->rounds, branch->version);
    return OK;
}

static void put_figure(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null());
}

err_t report_round(struct report *report, const struct round_report *round)
{
    show(round);
    SCOPED_JSON json_t *object = json_object();
    json_object_set_new(object, "round", json_integer((json_int_t)round->round));
    json_object_set_new(object, "version", json_integer((json_int_t)round->version));
    json_object_set_new(object, "lineage", json_integer(report->lineage));
#define FIGURE_PUT(name, what) put_figure(object, #name, round->name);
    ROUND_FIGURES(FIGURE_PUT)
#undef FIGURE_PUT
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        put_figure(object, rl_figure_name((enum rl_figure)i), round->figures.at[i]);
    json_object_set_new(object, "idle_cause",
                        json_string(round->idle_cause ? round->idle_cause : ""));
    return put_line(report, object);
}

err_t report_sync(struct report *report)
{
    return lines_sync(report->file);
}

double report_time_offset(const struct report *report)
{
    return report->time_offset;
}

void report_free(struct report *report)
{
    if (!report)
        return;
    lines_free(report->file);
    mem_free(report);
}
