#include "generator/counters.h"
#include "base/log.h"
#include "svc/metrics.h"
#include <inttypes.h>

static struct metric busy =
    METRIC_COUNTER("rlhfd_decode_busy_seconds_total", "spent in decode steps");
static struct metric idle = METRIC_COUNTER("rlhfd_decode_idle_seconds_total",
                                           "with nothing to decode, since the first weights");
static struct metric tokens = METRIC_COUNTER("rlhfd_decode_tokens_total", "tokens sampled");
static struct metric active =
    METRIC_GAUGE("rlhfd_decode_active_slots", "completions being decoded");
static struct metric version_now =
    METRIC_GAUGE("rlhfd_weights_version", "version of the weights in force");
static struct metric pause_seconds =
    METRIC_HISTOGRAM("rlhfd_weights_pause_seconds", "decoding stood still for new weights", 0.0001,
                     0.001, 0.01, 0.1, 1, 10);
static struct metric wait_seconds =
    METRIC_HISTOGRAM("rlhfd_swap_wait_seconds", "newer weights lay ready before they were taken",
                     0.001, 0.01, 0.1, 1, 10, 100, 1000);
static struct metric reprefill =
    METRIC_COUNTER("rlhfd_reprefill_tokens_total", "tokens computed again because of new weights");
static struct metric pages_free =
    METRIC_GAUGE("rlhfd_decode_free_pages", "pages of keys and values that nobody holds");
static struct metric preemptions =
    METRIC_COUNTER("rlhfd_decode_preemptions_total",
                   "completions that lost their keys and values to an older one");
static struct metric evaluation =
    METRIC_COUNTER("rlhfd_evaluate_seconds_total", "spent decoding for evaluations");
static struct metric evaluated =
    METRIC_GAUGE("rlhfd_evaluate_version", "version of the weights held for evaluation");
static struct metric *const rows[] = {&busy,        &idle,          &tokens,       &active,
                                      &version_now, &pause_seconds, &wait_seconds, &reprefill,
                                      &pages_free,  &preemptions};
static struct metric *const evaluation_rows[] = {&evaluation, &evaluated};

void counters_register(bool evaluates)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    if (evaluates)
        metrics_register(evaluation_rows, sizeof evaluation_rows / sizeof *evaluation_rows);
}

void counters_show(const struct decode_figures *before, const struct decode_figures *now)
{
    metric_total(&busy, now->busy_s);
    metric_total(&idle, now->idle_s);
    metric_total(&tokens, (double)now->tokens);
    metric_set(&active, now->active_slots);
    metric_set(&pages_free, now->free_pages);
    metric_total(&preemptions, (double)now->preemptions);
    metric_add(&reprefill, (double)(now->recomputed_tokens - before->recomputed_tokens));
    metric_total(&evaluation, now->evaluation_s);
}

void counters_evaluates(uint64_t version)
{
    metric_set(&evaluated, (double)version);
}

void counters_swapped(uint64_t version, const struct swapped *done, const char *mode,
                      uint64_t tokens_in_flight)
{
    metric_set(&version_now, (double)version);
    metric_observe(&pause_seconds, done->pause_s);
    metric_observe(&wait_seconds, done->waited_s);
    log_info("weights applied",
             "version=%" PRIu64 " mode=%s pause_ms=%.3f reprefill_tokens=%d waited_ms=%.3f "
             "tokens_in_flight=%" PRIu64 " passed_over=%d values_listed=%" PRIu64
             " values_there=%" PRIu64 " tensors_put=%d",
             version, mode, done->pause_s * 1000, done->reprefill, done->waited_s * 1000,
             tokens_in_flight, done->offers - 1, done->how.listed, done->how.there,
             done->how.whole);
}
