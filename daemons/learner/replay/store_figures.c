#include "learner/replay/store_figures.h"
#include "svc/metrics.h"

#define SLOTS(state)                                                                               \
    METRIC_LABELLED(METRIC_KIND_GAUGE, "rlhfd_slots", "slots that are under way, by state",        \
                    "state=\"" state "\"")
static struct metric leased = SLOTS("leased");
static struct metric stored = SLOTS("stored");
static struct metric waiting = SLOTS("free");
static struct metric quarantined = SLOTS("quarantined");

#define LEFT(why)                                                                                  \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_groups_left_total",                                \
                    "groups that left the store, and why, over the run", "reason=\"" why "\"")
static struct metric left[REASONS] = {
    [REASON_TRAINED] = LEFT("trained"),       [REASON_STALE] = LEFT("stale"),
    [REASON_SUPERSEDED] = LEFT("superseded"), [REASON_EVICTED] = LEFT("evicted"),
    [REASON_FILTERED] = LEFT("filtered"),     [REASON_ERRORED] = LEFT("errored"),
    [REASON_LINEAGE] = LEFT("lineage"),       [REASON_OPERATOR] = LEFT("operator"),
    [REASON_ENDED] = LEFT("ended"),           [REASON_QUARANTINED] = LEFT("quarantined"),
};

static struct metric disk_free =
    METRIC_GAUGE("rlhfd_disk_free_bytes", "free where the run's directory is");
static struct metric disk_needed =
    METRIC_GAUGE("rlhfd_disk_needed_bytes", "least free bytes with which leases are granted");
static struct metric disk_used = METRIC_GAUGE("rlhfd_store_bytes", "size of the store");

#define LAG(stage)                                                                                 \
    METRIC_HISTOGRAM_LABELLED("rlhfd_group_lag_rounds", "rounds that groups are old, by stop",     \
                              "stage=\"" stage "\"", 0, 1, 2, 3, 4, 6, 8, 12, 16, 32)
static struct metric lag[LAG_STAGES] = {
    [LAG_LEASED] = LAG("leased"), [LAG_STORED] = LAG("stored"), [LAG_DRAWN] = LAG("drawn")};

static struct metric *const rows[] = {&leased,
                                      &stored,
                                      &waiting,
                                      &quarantined,
                                      &left[REASON_TRAINED],
                                      &left[REASON_STALE],
                                      &left[REASON_SUPERSEDED],
                                      &left[REASON_EVICTED],
                                      &left[REASON_FILTERED],
                                      &left[REASON_ERRORED],
                                      &left[REASON_LINEAGE],
                                      &left[REASON_OPERATOR],
                                      &left[REASON_ENDED],
                                      &left[REASON_QUARANTINED],
                                      &disk_free,
                                      &disk_needed,
                                      &disk_used,
                                      &lag[LAG_LEASED],
                                      &lag[LAG_STORED],
                                      &lag[LAG_DRAWN]};

void store_figures_register(void)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
}

void store_figures_show(const struct store_counts *counts)
{
    metric_set(&leased, (double)counts->leased);
    metric_set(&stored, (double)counts->stored);
    metric_set(&waiting, (double)counts->free);
    metric_set(&quarantined, (double)counts->quarantined);
    for (int i = REASON_TRAINED; i < REASONS; i++)
        metric_total(&left[i], (double)counts->gone[i]);
    metric_set(&disk_free, (double)counts->disk_free_bytes);
    metric_set(&disk_needed, (double)counts->disk_needed_bytes);
    metric_set(&disk_used, (double)counts->disk_used_bytes);
}

void store_figures_lag(enum lag_stage stage, uint64_t rounds)
{
    metric_observe(&lag[stage], (double)rounds);
}
