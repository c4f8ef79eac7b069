#include "generator/deliver.h"
#include "base/log.h"
#include "base/mem.h"
#include "hop/courier.h"
#include "svc/metrics.h"
#include "svc/security.h"
#include "svc/stations.h"
#include "wire/failed_group.h"

struct deliver {
    struct deliver_options options;
    struct courier *courier;
};

#define DELIVERED(what)                                                                            \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_groups_delivered_total",                           \
                    "groups that got their disposition, by what it was", "outcome=\"" what "\"")
static struct metric delivered[] = {
    [OUTCOME_STORED] = DELIVERED("stored"),         [OUTCOME_DUPLICATE] = DELIVERED("duplicate"),
    [OUTCOME_SUPERSEDED] = DELIVERED("superseded"), [OUTCOME_STALE] = DELIVERED("stale"),
    [OUTCOME_REJECTED] = DELIVERED("rejected"),
};
#define ENDED(how)                                                                                 \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_completions_total",                                \
                    "completions decoded for training, by how they ended", "finish=\"" how "\"")
static struct metric completions[] = {
    [FINISH_EOS] = ENDED("eos"), [FINISH_LENGTH] = ENDED("length"), [FINISH_STOP] = ENDED("stop")};
static struct metric lengths =
    METRIC_HISTOGRAM("rlhfd_completion_tokens", "length of each completion decoded for training", 8,
                     16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384);
static struct metric sent_again =
    METRIC_COUNTER("rlhfd_groups_sent_again_total", "groups sent again after a lost stream");
static struct metric unsettled =
    METRIC_GAUGE("rlhfd_groups_unsettled", "finished groups without a disposition");
static struct metric *const rows[] = {&delivered[OUTCOME_STORED],
                                      &delivered[OUTCOME_DUPLICATE],
                                      &delivered[OUTCOME_SUPERSEDED],
                                      &delivered[OUTCOME_STALE],
                                      &delivered[OUTCOME_REJECTED],
                                      &completions[FINISH_EOS],
                                      &completions[FINISH_LENGTH],
                                      &completions[FINISH_STOP],
                                      &lengths,
                                      &sent_again,
                                      &unsettled};

static void on_settled(void *arg, const struct disposition *disposition, struct rpc_message *answer,
                       void *tag)
{
    (void)answer, (void)tag;
    struct deliver *deliver = arg;
    if (disposition->outcome != OUTCOME_STORED)
        log_limited(LOG_INFO, 1, "group not stored", "outcome=%s why=\"%s\"",
                    outcome_name(disposition->outcome),
                    disposition->reason ? disposition->reason : "");
    metric_add(&delivered[disposition->outcome], 1);
    station_note(&disposition->id, &(struct station){.name = "delivered",
                                                     .detail = outcome_name(disposition->outcome)});
    metric_set(&unsettled, (double)courier_waiting(deliver->courier));
    deliver->options.settled(deliver->options.arg, disposition);
}

static void on_up(void *arg, size_t again)
{
    struct deliver *deliver = arg;
    metric_add(&sent_again, (double)again);
    deliver->options.up(deliver->options.arg);
}

static void on_down(void *arg, err_t why)
{
    struct deliver *deliver = arg;
    deliver->options.down(deliver->options.arg, why);
}

err_t deliver_open(const struct deliver_options *options, struct deliver **ret)
{
    static const struct rpc_method score = {.path = "/rlhfd.v1.Rewards/Score", .kind = RPC_BIDI};
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(deliver) deliver = mem_new(sizeof *deliver);
    deliver->options = *options;
    struct courier_options courier = {.rpc = options->rpc,
                                      .peer = options->rewarder,
                                      .security = options->security,
                                      .servers = CALLER_REWARDER,
                                      .method = &score,
                                      .settled = on_settled,
                                      .up = on_up,
                                      .down = on_down,
                                      .arg = deliver};
    TRY(courier_open(&courier, &deliver->courier));
    *ret = STEAL(deliver);
    return OK;
}

static void count_completions(const struct group *group)
{
    for (uint32_t i = 0; !group->evaluation && i < group->completions; i++) {
        metric_add(&completions[group->completion[i].finish], 1);
        metric_observe(&lengths, group->completion[i].tokens);
    }
}

void deliver_group(struct deliver *deliver, struct group *group)
{
    count_completions(group);
    trace_parent(&group->id, "generator", group->traceparent);
    station_note(&group->id, &(struct station){.name = "sent"});
    SCOPED_VALUE(bytes) out = {0};
    struct digest id = group->id;
    group_encode_within(group, GROUP_MAX_BYTES, &out);
    group_free(group);
    courier_send(deliver->courier, &id, rpc_message_copy(out.data, out.len), NULL);
    metric_set(&unsettled, (double)courier_waiting(deliver->courier));
}

size_t deliver_waiting(const struct deliver *deliver)
{
    return courier_waiting(deliver->courier);
}

void deliver_free(struct deliver *deliver)
{
    if (!deliver)
        return;
    courier_close(deliver->courier, NULL);
    mem_free(deliver);
}
