#include "svc/metrics.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "base/version.h"
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; // of the next two; rows are atomic
static struct metric *const **tables;
static size_t *table_rows, tables_count;

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* [a-zA-Z_:][a-zA-Z0-9_:]* */
static bool is_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != ':')
            return false;
    return *name && !isdigit((unsigned char)*name);
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static void must(bool holds, const char *name, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "metric '%s': %s\n", name, what);
    abort();
}

static void check_row(const struct metric *row)
{
    must(is_name(row->name), row->name, "not a name of Prometheus'");
    must(row->kind == METRIC_KIND_COUNTER ? ends_with(row->name, "_total")
                                          : !ends_with(row->name, "_total"),
         row->name, "counters end in _total, and nothing else does");
    must(row->bounds_count <= METRIC_BOUNDS, row->name, "too many bounds");
    must((row->kind == METRIC_KIND_HISTOGRAM) == (row->bounds_count > 0), row->name,
         "histograms have bounds");
    for (size_t i = 1; i < row->bounds_count; i++)
        must(row->bounds[i - 1] < row->bounds[i], row->name, "bounds must ascend");
}

static bool same_labels(const struct metric *a, const struct metric *b)
{
    return strcmp(a->labels ? a->labels : "", b->labels ? b->labels : "") == 0;
}

/* Rows of one name: in one table, side by side, of one kind, with other labels. */
static void check_unique(struct metric *const *rows, size_t count, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(rows[j]->name, rows[i]->name) != 0)
            continue;
        must(!same_labels(rows[j], rows[i]), rows[i]->name, "twice with the same labels");
        must(strcmp(rows[i - 1]->name, rows[i]->name) == 0, rows[i]->name,
             "rows of one name stand together");
        must(rows[j]->kind == rows[i]->kind, rows[i]->name, "of two kinds");
    }
    for (size_t t = 0; t < tables_count; t++)
        for (size_t j = 0; j < table_rows[t]; j++)
            must(strcmp(tables[t][j]->name, rows[i]->name) != 0, rows[i]->name, "in two tables");
    (void)count;
}

static double
    started_s; // wall clock at the first use of metrics, near enough to the process' start

static void note_start(void)
{
    if (started_s == 0)
        started_s = (double)clock_wall_ms() / 1000;
}

void metrics_register(struct metric *const *rows, size_t count)
{
    pthread_mutex_lock(&mutex);
    note_start();
    bool known = false;
    for (size_t t = 0; t < tables_count; t++)
        known |= tables[t] == rows;
    if (!known) {
        for (size_t i = 0; i < count; i++) {
            check_row(rows[i]);
            check_unique(rows, count, i);
        }
        tables = mem_grow(tables, tables_count + 1, sizeof *tables);
        table_rows = mem_grow(table_rows, tables_count + 1, sizeof *table_rows);
        tables[tables_count] = rows;
        table_rows[tables_count++] = count;
    }
    pthread_mutex_unlock(&mutex);
}

void metric_add(struct metric *metric, double x)
{
    assert(metric->kind == METRIC_KIND_GAUGE || x >= 0 || metric->kind == METRIC_KIND_HISTOGRAM);
    uint64_t old = atomic_load_explicit(&metric->value, memory_order_relaxed), new;
    do
        new = bits_of(double_of(old) + x);
    while (!atomic_compare_exchange_weak_explicit(&metric->value, &old, new, memory_order_relaxed,
                                                  memory_order_relaxed));
}

void metric_set(struct metric *metric, double x)
{
    assert(metric->kind == METRIC_KIND_GAUGE);
    atomic_store_explicit(&metric->value, bits_of(x), memory_order_relaxed);
}

void metric_total(struct metric *metric, double sum)
{
    assert(metric->kind == METRIC_KIND_COUNTER && sum >= 0);
    atomic_store_explicit(&metric->value, bits_of(sum), memory_order_relaxed);
}

void metric_observe(struct metric *metric, double x)
{
    assert(metric->kind == METRIC_KIND_HISTOGRAM);
    size_t bucket = 0;
    while (bucket < metric->bounds_count && !(x <= metric->bounds[bucket]))
        bucket++; // NaN belongs to the last one, like infinity
    atomic_fetch_add_explicit(&metric->counts[bucket], 1, memory_order_relaxed);
    metric_add(metric, x);
}

static uint64_t observed(const struct metric *metric)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= metric->bounds_count; i++)
        sum += atomic_load_explicit(&metric->counts[i], memory_order_relaxed);
    return sum;
}

double metric_value(const struct metric *metric)
{
    if (metric->kind == METRIC_KIND_HISTOGRAM)
        return (double)observed(metric);
    return double_of(atomic_load_explicit(&metric->value, memory_order_relaxed));
}

/* The shortest of the usual forms that reads back as the same number. */
static void put_number(struct bytes *out, double x)
{
    if (isnan(x) || isinf(x)) {
        bytes_text(out, isnan(x) ? "NaN" : x > 0 ? "+Inf" : "-Inf");
        return;
    }
    char text[40];
    snprintf(text, sizeof text, "%.15g", x);
    if (strtod(text, NULL) != x)
        snprintf(text, sizeof text, "%.17g", x);
    bytes_text(out, text);
}

static void put_head(struct bytes *out, const char *name, const char *help, const char *type)
{
    bytes_printf(out, "# HELP %s ", name);
    for (const char *p = help; *p; p++) {
        if (*p == '\\' || *p == '\n')
            bytes_text(out, *p == '\n' ? "\\n" : "\\\\");
        else
            bytes_u8(out, (uint8_t)*p);
    }
    bytes_printf(out, "\n# TYPE %s %s\n", name, type);
}

static void put_sample(struct bytes *out, const char *name, const char *suffix, const char *labels,
                       double x)
{
    bytes_printf(out, "%s%s", name, suffix);
    if (labels && *labels)
        bytes_printf(out, "{%s}", labels);
    bytes_u8(out, ' ');
    put_number(out, x);
    bytes_u8(out, '\n');
}

static void put_histogram(struct bytes *out, const struct metric *row)
{
    const char *labels = row->labels ? row->labels : "";
    double sum = double_of(atomic_load_explicit(&row->value, memory_order_relaxed));
    uint64_t below = 0;
    for (size_t i = 0; i <= row->bounds_count; i++) {
        below += atomic_load_explicit(&row->counts[i], memory_order_relaxed);
        bytes_printf(out, "%s_bucket{%s%sle=\"", row->name, labels, *labels ? "," : "");
        put_number(out, i < row->bounds_count ? row->bounds[i] : INFINITY);
        bytes_printf(out, "\"} %" PRIu64 "\n", below);
    }
    put_sample(out, row->name, "_sum", row->labels, sum);
    put_sample(out, row->name, "_count", row->labels,
               (double)below); // as the last bucket, whatever came since
}

/* The process's own figures, under the names that Prometheus' clients use. */
static const struct {
    const char *name, *help, *type;
} process_rows[] = {
    {"process_cpu_seconds_total", "user and system time used", "counter"},
    {"process_resident_memory_bytes", "memory in use", "gauge"},
    {"process_start_time_seconds", "when it started, since 1970", "gauge"},
    {"process_open_fds", "descriptors that are open", "gauge"},
    {"process_max_fds", "descriptors that may be open", "gauge"},
};
enum { PROCESS_ROWS = sizeof process_rows / sizeof *process_rows };

static long resident_pages(void)
{
    enum { STATM_BYTES = 4096 };
    long pages = 0;
    SCOPED_VALUE(bytes) statm = {0};
    err_free(file_read("/proc/self/statm", STATM_BYTES, &statm));
    bytes_u8(&statm, 0);
    return sscanf((char *)statm.data, "%*d %ld", &pages) == 1 ? pages : 0;
}

static double open_files(void)
{
    SCOPED_VALUE(file_names) names = {0};
    err_free(file_names("/proc/self/fd", &names));
    return names.count ? (double)names.count - 1 : 0; // without the directory itself
}

static void process_values(double ret[PROCESS_ROWS])
{
    struct rlimit files = {0};
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    ret[0] = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
             1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    ret[1] = (double)resident_pages() * (double)sysconf(_SC_PAGESIZE);
    note_start();
    ret[2] = started_s;
    ret[3] = open_files();
    getrlimit(RLIMIT_NOFILE, &files);
    ret[4] = (double)files.rlim_cur;
}

static void put_build(struct bytes *out)
{
    put_head(out, "rlhfd_build_info", "1; the labels name the build", "gauge");
    bytes_printf(out, "rlhfd_build_info{version=\"%s\",commit=\"%s\"} 1\n", version_text,
                 version_commit);
}

static void put_row(struct bytes *out, const struct metric *row)
{
    if (row->kind == METRIC_KIND_HISTOGRAM)
        put_histogram(out, row);
    else
        put_sample(out, row->name, "", row->labels, metric_value(row));
}

void metrics_render(struct bytes *ret)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    pthread_mutex_lock(&mutex);
    for (size_t t = 0; t < tables_count; t++)
        for (size_t i = 0; i < table_rows[t]; i++) {
            const struct metric *row = tables[t][i];
            if (i == 0 || strcmp(tables[t][i - 1]->name, row->name) != 0)
                put_head(ret, row->name, row->help, types[row->kind]);
            put_row(ret, row);
        }
    put_build(ret);
    double values[PROCESS_ROWS];
    process_values(values);
    for (size_t i = 0; i < PROCESS_ROWS; i++) {
        put_head(ret, process_rows[i].name, process_rows[i].help, process_rows[i].type);
        put_sample(ret, process_rows[i].name, "", NULL, values[i]);
    }
    pthread_mutex_unlock(&mutex);
}

static void each_sample(const struct metric *row, const char *suffix, double value,
                        void (*fn)(void *arg, const char *name, double value), void *arg)
{
    char *name = row->labels ? mem_printf("%s%s{%s}", row->name, suffix, row->labels)
                             : mem_printf("%s%s", row->name, suffix);
    fn(arg, name, value);
    free(name);
}

void metrics_each(void (*fn)(void *arg, const char *name, double value), void *arg)
{
    pthread_mutex_lock(&mutex);
    for (size_t t = 0; t < tables_count; t++)
        for (size_t i = 0; i < table_rows[t]; i++) {
            const struct metric *row = tables[t][i];
            bool histogram = row->kind == METRIC_KIND_HISTOGRAM;
            each_sample(row, histogram ? "_count" : "", metric_value(row), fn, arg);
            if (histogram)
                each_sample(row, "_sum",
                            double_of(atomic_load_explicit(&row->value, memory_order_relaxed)), fn,
                            arg);
        }
    double values[PROCESS_ROWS];
    process_values(values);
    for (size_t i = 0; i < PROCESS_ROWS; i++)
        fn(arg, process_rows[i].name, values[i]);
    pthread_mutex_unlock(&mutex);
}
