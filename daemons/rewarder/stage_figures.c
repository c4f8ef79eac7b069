#include "rewarder/stage_figures.h"
#include "base/mem.h"
#include "svc/metrics.h"

static struct metric seconds[STAGES_MAX], failures[STAGES_MAX], open[STAGES_MAX];

void stage_figures_register(const struct stage_list *list)
{
    static struct metric *rows[3 * STAGES_MAX];
    if (rows[0])
        return; // a table is borrowed for ever
    for (size_t i = 0; i < list->count; i++) {
        const char *labels =
            mem_printf("stage=\"%s\",kind=\"%s\"", list->at[i].key, list->at[i].class->name);
        seconds[i] = (struct metric)METRIC_HISTOGRAM_LABELLED(
            "rlhfd_stage_seconds", "from asking a stage to its answer, over one group", labels,
            0.0001, 0.001, 0.01, 0.1, 1, 10, 100);
        failures[i] =
            (struct metric)METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_stage_failures_total",
                                           "attempts of a stage that failed", labels);
        open[i] = (struct metric)METRIC_LABELLED(
            METRIC_KIND_GAUGE, "rlhfd_stage_open",
            "1: the stage does not answer, groups wait for it and single probes ask it", labels);
        rows[i] = &seconds[i];
        rows[list->count + i] = &failures[i];
        rows[2 * list->count + i] = &open[i];
    }
    metrics_register(rows, 3 * list->count);
}

void stage_figures_ended(size_t stage, double after_s, bool failed)
{
    if (!seconds[stage].name)
        return; // of a list that was not the first
    metric_observe(&seconds[stage], after_s);
    metric_add(&failures[stage], failed);
}

void stage_figures_open(size_t stage, bool is_open)
{
    if (open[stage].name)
        metric_set(&open[stage], is_open);
}
