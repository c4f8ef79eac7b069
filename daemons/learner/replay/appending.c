#include "learner/replay/appending.h"
#include "base/clock.h"
#include "base/mem.h"
#include "learner/replay/store_figures.h"
#include "learner/store/lag.h"
#include "learner/store/quarantine.h"
#include "learner/store/rounds.h"
#include "svc/metrics.h"
#include "svc/stations.h"

struct appending {
    const struct ingest_options *options;
    struct append_item *item; // (count)
    size_t count, stored;
};

#define APPENDED(what)                                                                             \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_groups_appended_total",                            \
                    "groups by what became of them", "outcome=\"" what "\"")
static struct metric outcomes[] = {
    [OUTCOME_STORED] = APPENDED("stored"),         [OUTCOME_DUPLICATE] = APPENDED("duplicate"),
    [OUTCOME_SUPERSEDED] = APPENDED("superseded"), [OUTCOME_STALE] = APPENDED("stale"),
    [OUTCOME_REJECTED] = APPENDED("rejected"),
};
#define FILTERED(why)                                                                              \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_groups_filtered_total",                            \
                    "scored groups that left as not worth training (learner.filter)",              \
                    "why=\"" why "\"")
static struct metric filtered[FILTERED_WHYS] = {
    [FILTERED_EQUAL] = FILTERED("zero_variance"), [FILTERED_TRUNCATED] = FILTERED("truncated")};
static struct metric seconds = METRIC_HISTOGRAM(
    "rlhfd_append_seconds", "one durable write of groups", 0.001, 0.005, 0.02, 0.1, 0.5, 2);
static struct metric *const rows[] = {&outcomes[OUTCOME_STORED],     &outcomes[OUTCOME_DUPLICATE],
                                      &outcomes[OUTCOME_SUPERSEDED], &outcomes[OUTCOME_STALE],
                                      &outcomes[OUTCOME_REJECTED],   &seconds,
                                      &filtered[FILTERED_EQUAL],     &filtered[FILTERED_TRUNCATED]};

void appending_register(void)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
}

static void send_disposition(struct rpc_call *call, const struct digest *id, enum outcome outcome,
                             const char *reason)
{
    station_note(id, &(struct station){.name = outcome == OUTCOME_STORED ? "stored" : "answered",
                                       .detail = outcome_name(outcome)});
    SCOPED_VALUE(bytes) out = {0};
    struct disposition disposition = {.id = *id, .outcome = outcome, .reason = (char *)reason};
    disposition_encode(&disposition, &out);
    struct rpc_message *message = rpc_message_copy(out.data, out.len);
    rpc_call_send_message(call, message); // a rewarder that is gone asks again: DUPLICATE then
    rpc_message_free(message);
    metric_add(&outcomes[outcome], 1);
}

static err_t take_evaluations(struct appending *batch)
{
    const struct ingest_options *o = batch->options;
    for (size_t i = 0; i < batch->count; i++) {
        const struct append_item *item = &batch->item[i];
        enum outcome outcome;
        char why[MISFIT_WHY];
        if (!item->group->evaluation)
            continue;
        TRY(o->evaluated(o->evaluating, item->group, &outcome, why));
        send_disposition(item->call, &item->group->id, outcome, *why ? why : NULL);
    }
    return OK;
}

static void tell_rejected(const struct appending *batch, const char *who, const char *why)
{
    if (batch->options->rejected)
        batch->options->rejected(batch->options->breaker, REASON_ERRORED, who, why);
}

static void tell_quarantined(const struct appending *batch, const char *who, const char *why)
{
    if (batch->options->rejected)
        batch->options->rejected(batch->options->breaker, REASON_QUARANTINED, who, why);
}

/* Not scored, but for a cause that may pass: kept. */
static err_t quarantine(struct appending *batch, struct append_item *item, struct store *store)
{
    struct verdict verdict;
    SCOPED_MEM char *reason = mem_printf("quarantined: %s", item->misfit);
    tell_quarantined(batch, item->judge, item->misfit);
    TRY(store_quarantine(store, item->group, &item->encoded, item->misfit, clock_ms(), &verdict));
    send_disposition(item->call, &item->group->id, verdict.outcome, reason);
    return OK;
}

/* Misfits are recorded one by one: they are rare. */
static err_t reject_misfits(struct appending *batch, struct store *store)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct append_item *item = &batch->item[i];
        struct verdict verdict;
        if (!item->misfit)
            continue;
        if (item->group->unscored) {
            TRY(quarantine(batch, item, store));
            continue;
        }
        tell_rejected(batch, item->judge, item->misfit);
        TRY(store_reject(store, item->group, clock_ms(), &verdict));
        send_disposition(item->call, &item->group->id, verdict.outcome, item->misfit);
    }
    return OK;
}

/* By the oldest version among its tokens, as rounds will count it. */
static void count_stored(struct appending *batch, const struct store *store,
                         const struct group *group)
{
    uint64_t round;
    batch->stored++;
    err_t unknown = store_round_of(store, group_oldest_version(group), &round);
    if (!err_failed(unknown))
        store_figures_lag(LAG_STORED, lag_of(store_next_round(store), round));
    err_free(unknown);
}

static err_t append_others(struct appending *batch, struct store *store)
{
    SCOPED_MEM const struct group **groups = mem_array(batch->count, sizeof *groups);
    SCOPED_MEM struct verdict *verdicts = mem_array(batch->count, sizeof *verdicts);
    SCOPED_MEM struct encoded *encoded = mem_array(batch->count, sizeof *encoded);
    SCOPED_MEM struct rpc_call **calls = mem_array(batch->count, sizeof *calls);
    size_t n = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (!batch->item[i].misfit && !batch->item[i].group->evaluation) {
            calls[n] = batch->item[i].call;
            encoded[n] = batch->item[i].encoded;
            groups[n++] = batch->item[i].group;
        }
    if (!n)
        return OK;
    double begun = clock_s();
    TRY(store_append(store, groups, encoded, n, clock_ms(), verdicts));
    metric_observe(&seconds, clock_s() - begun);
    for (size_t i = 0; i < n; i++) {
        send_disposition(calls[i], &groups[i]->id, verdicts[i].outcome, verdicts[i].why);
        if (verdicts[i].outcome == OUTCOME_STORED)
            count_stored(batch, store, groups[i]);
        metric_add(&filtered[verdicts[i].filtered], 1);
        if (verdicts[i].outcome == OUTCOME_REJECTED && !verdicts[i].filtered)
            tell_rejected(batch, "the learner", verdicts[i].why);
    }
    return OK;
}

void append_item_done(struct append_item *item)
{
    group_free(item->group);
    rpc_message_free(item->message);
    rpc_call_unref(item->call);
    mem_free(item->misfit);
}

err_t append_all(const struct ingest_options *options, struct append_item *item, size_t count,
                 struct store *store, size_t *ret_stored)
{
    struct appending batch = {options, item, count, 0};
    TRY(append_others(&batch, store));
    TRY(reject_misfits(&batch, store));
    TRY(take_evaluations(&batch));
    *ret_stored = batch.stored;
    return OK;
}
