/* Metrics: tables of rows, read at /metrics and by the status RPC.
 *
 *     static struct metric stored = METRIC_COUNTER("rlhfd_groups_stored_total", "groups made durable");
 *     static struct metric waited = METRIC_HISTOGRAM("rlhfd_lease_wait_seconds", "from asking to a grant", 0.01, 0.1, 1, 10);
 *     static struct metric *const rows[] = {&stored, &waited};
 *
 *     metrics_register(rows, 2);       -- once, in main
 *     metric_add(&stored, 1);          -- any thread
 *
 * Names are Prometheus' and end in their unit (counters in _total). Rows of one name differ in
 * labels and stand together in their table. To add one: a row. */
#pragma once
#include "base/bytes.h"
#include <stddef.h>
#include <stdint.h>

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };
enum { METRIC_BOUNDS = 16 };

/* Name and help are literals; the rest belongs to metrics.c. */
struct metric {
    const char *name, *help;
    enum metric_kind kind;
    const char *labels;  // "reason=\"stale\"", exactly as printed; NULL: none
    size_t bounds_count; // of a histogram
    /* Upper bounds of its buckets, ascending; the last bucket has none */
    double bounds[METRIC_BOUNDS];
    _Atomic uint64_t value; // bits of a double; a histogram's sum
    _Atomic uint64_t counts[METRIC_BOUNDS + 1];
};

#define METRIC_COUNTER(name_, help_)                                                               \
    {                                                                                              \
        .name = (name_), .help = (help_), .kind = METRIC_KIND_COUNTER                              \
    }
#define METRIC_GAUGE(name_, help_)                                                                 \
    {                                                                                              \
        .name = (name_), .help = (help_), .kind = METRIC_KIND_GAUGE                                \
    }
/* Then up to METRIC_BOUNDS upper bounds, ascending. */
#define METRIC_HISTOGRAM(name_, help_, ...)                                                        \
    {                                                                                              \
        .name = (name_), .help = (help_), .kind = METRIC_KIND_HISTOGRAM, .bounds = {__VA_ARGS__},  \
        .bounds_count = sizeof((double[]){__VA_ARGS__}) / sizeof(double)                           \
    }
/* The same with fixed labels; then the bounds. */
#define METRIC_HISTOGRAM_LABELLED(name_, help_, labels_, ...)                                      \
    {                                                                                              \
        .name = (name_), .help = (help_), .kind = METRIC_KIND_HISTOGRAM, .labels = (labels_),      \
        .bounds = {__VA_ARGS__}, .bounds_count = sizeof((double[]){__VA_ARGS__}) / sizeof(double)  \
    }
/* With fixed labels: METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_left_total", "help",
 * "reason=\"stale\"") */
#define METRIC_LABELLED(kind_, name_, help_, labels_)                                              \
    {                                                                                              \
        .name = (name_), .help = (help_), .kind = (kind_), .labels = (labels_)                     \
    }

/* Adds rows to the process' table, which borrows them for ever. A bad or repeated name aborts: it
 * is our own bug. Again with the same rows is harmless. */
void metrics_register(struct metric *const *rows, size_t count);

void metric_add(struct metric *metric, double x); // counters: x >= 0; gauges
void metric_set(struct metric *metric, double x); // gauges
/* A counter whose owner keeps the sum itself. One that went back has begun anew. */
void metric_total(struct metric *metric, double sum);
void metric_observe(struct metric *metric, double x); // histograms
/* For those who show metrics: a decision has figures of its own (svc/cell.h). A histogram's: how
 * many were observed. */
double metric_value(const struct metric *metric);

/* Everything in Prometheus' text format 0.0.4, with this process' CPU, memory, files and start
 * time, and the build. Any thread. */
void metrics_render(struct bytes *ret);

/* Calls fn with each counter and gauge, and _sum and _count of histograms; name has its labels:
 * name{reason="stale"}. */
void metrics_each(void (*fn)(void *arg, const char *name, double value), void *arg);
