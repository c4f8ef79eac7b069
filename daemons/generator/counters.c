#include "generator/counters.h"
#include "base/clock.h"
#include "base/log.h"
#include "generator/evaluate.h"
#include "svc/metrics.h"
#include <inttypes.h>

static struct metric busy = METRIC_GAUGE("rlhfd_decode_busy_seconds", "spent in decode steps");
static struct metric idle =
    METRIC_GAUGE("rlhfd_decode_idle_seconds", "with nothing to decode, since the first weights");
static struct metric tokens = METRIC_GAUGE("rlhfd_decode_tokens", "tokens sampled");
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
static struct metric preemptions = METRIC_GAUGE(
    "rlhfd_decode_preemptions", "completions that lost their keys and values to an older one");
static struct metric *const rows[] = {&busy,        &idle,          &tokens,       &active,
                                      &version_now, &pause_seconds, &wait_seconds, &reprefill,
                                      &pages_free,  &preemptions};

struct counters_totals counters_totals(void)
{
    return (struct counters_totals){metric_value(&busy), metric_value(&idle),
                                    (uint64_t)metric_value(&tokens)};
}

void counters_register(void)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
}

void counters_show(const struct engine *engine, double serving_since_s)
{
    const struct engine_counters *c = engine_counters(engine);
    metric_set(&busy, c->busy_s);
    const double rest_s = clock_s() - serving_since_s - c->busy_s - evaluate_seconds();
    metric_set(&idle, rest_s > 0 ? rest_s : 0);
    metric_set(&tokens, (double)c->tokens);
    metric_set(&active, engine_active(engine));
    metric_set(&pages_free, engine_free_pages(engine));
    metric_set(&preemptions, (double)c->preemptions);
    metric_add(&reprefill, (double)c->recomputed_tokens - metric_value(&reprefill));
}

void counters_swapped(uint64_t version, const struct swapped *done, const char *mode,
                      uint64_t tokens_in_flight)
{
    metric_set(&version_now, (double)version);
    metric_observe(&pause_seconds, done->pause_s);
    metric_observe(&wait_seconds, done->waited_s);
    log_info("weights applied",
             "version=%" PRIu64 " mode=%s pause_ms=%.3f reprefill_tokens=%d waited_ms=%.3f "
             "tokens_in_flight=%" PRIu64 " passed_over=%d",
             version, mode, done->pause_s * 1000, done->reprefill, done->waited_s * 1000,
             tokens_in_flight, done->offers - 1);
}
