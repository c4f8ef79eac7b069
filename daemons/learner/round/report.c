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
#define IDLE(cause)                                                                                \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_learner_idle_seconds_total",                       \
                    "waited for a round, the wait under way too, by what was missing",             \
                    "cause=\"" cause "\"")
static struct metric idle_total[] = {[IDLE_NONE] = IDLE("none"),
                                     [IDLE_NO_GROUPS] = IDLE("no_groups"),
                                     [IDLE_STRAGGLER] = IDLE("straggler"),
                                     [IDLE_ENDED] = IDLE("ended"),
                                     [IDLE_PAUSED] = IDLE("paused")};
static struct metric busy_total =
    METRIC_COUNTER("rlhfd_learner_busy_seconds_total",
                   "trained, published and checkpointed a round, the one under way too");
static struct metric trained_total =
    METRIC_COUNTER("rlhfd_tokens_trained_total", "completion tokens trained");
static struct metric differing_total =
    METRIC_COUNTER("rlhfd_logp_differing_total",
                   "stamped log-probabilities unlike our forward's at the same weights: a bug");
static struct metric compared_total =
    METRIC_COUNTER("rlhfd_logp_compared_total", "stamped log-probabilities that were compared");
static struct metric generated_total = METRIC_COUNTER(
    "rlhfd_tokens_generated_total", "completion tokens that generators said they had sampled");
static struct metric lengths =
    METRIC_HISTOGRAM("rlhfd_trained_completion_tokens", "length of each completion trained", 8, 16,
                     32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384);
static struct metric checkpoints = METRIC_HISTOGRAM(
    "rlhfd_checkpoint_seconds", "spent writing a checkpoint", 0.1, 0.3, 1, 3, 10, 30, 100, 300);
static struct metric checkpoint_version = METRIC_GAUGE(
    "rlhfd_checkpoint_version", "version of the newest checkpoint that this process wrote or read");
static struct metric *const rows[] = {&lengths,
                                      &checkpoints,
                                      &checkpoint_version,
                                      &round_now,
                                      &version_now,
                                      &idle_total[IDLE_NONE],
                                      &idle_total[IDLE_NO_GROUPS],
                                      &idle_total[IDLE_STRAGGLER],
                                      &idle_total[IDLE_ENDED],
                                      &idle_total[IDLE_PAUSED],
                                      &busy_total,
                                      &trained_total,
                                      &generated_total,
                                      &compared_total,
                                      &differing_total};

/* The learner's own figures of the last round. */
enum shown { LINE, SHOWN };
static struct own_figure {
    struct metric metric;
    const char *name;
    enum shown shown;
} own_figures[] = {
#define OWN_FIGURE(name, where, what) {METRIC_GAUGE("rlhfd_" #name, what), #name, where},
    ROUND_FIGURES(OWN_FIGURE)
#undef OWN_FIGURE
};
enum { OWN_FIGURES = sizeof own_figures / sizeof *own_figures };
static struct metric *own_rows[OWN_FIGURES];

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

/* Registered by the first round that has it: a figure that is not there is no 0. */
static void show_own(size_t i, double value)
{
    if (own_figures[i].shown != SHOWN || !isfinite(value))
        return;
    own_rows[i] = &own_figures[i].metric;
    metric_set(own_rows[i], value);
    metrics_register(&own_rows[i], 1);
}

static void show(const struct round_report *report)
{
    const double own[OWN_FIGURES] = {
#define OWN_VALUE(name, where, what) report->name,
        ROUND_FIGURES(OWN_VALUE)
#undef OWN_VALUE
    };
    metric_set(&round_now, (double)report->round + 1);
    metric_set(&version_now, (double)report->version);
    for (size_t i = 0; i < OWN_FIGURES; i++)
        show_own(i, own[i]);
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        show_figure(&figures_now[i], report->figures.at[i]);
    metric_add(&trained_total, report->tokens_trained);
    metric_add(&generated_total, fmax(0, report->tokens_generated));
    metric_add(&compared_total, report->logp_compared);
    metric_add(&differing_total, report->logp_differing);
}

void report_busy(double seconds)
{
    metric_add(&busy_total, seconds);
}

void report_idle(enum idle cause, double seconds)
{
    metric_add(&idle_total[cause], seconds);
}

void report_length(double tokens)
{
    metric_observe(&lengths, tokens);
}

void report_checkpoint(uint64_t version, double seconds)
{
    metric_observe(&checkpoints, seconds);
    report_checkpointed(version);
}

void report_checkpointed(uint64_t version)
{
    metric_set(&checkpoint_version, (double)version);
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
    for (size_t i = 0; i < OWN_FIGURES; i++) {
        const json_t *value = json_object_get(line, own_figures[i].name);
        show_own(i, json_is_number(value) ? json_number_value(value) : NAN);
    }
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
#define FIGURE_PUT(name, where, what) put_figure(object, #name, round->name);
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
