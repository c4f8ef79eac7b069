#include "learner/publish/publish.h"
#include "base/log.h"
#include "base/mem.h"
#include "gpu/nccl.h"
#include "svc/cell.h"
#include "svc/metrics.h"
#include "weights/broadcast/carry.h"
#include "weights/broadcast/nccl_carrier.h"
#include "weights/carriers.h"
#include "weights/publisher.h"

enum { SHOW_MS = 500, BEATS = 6 }; // in publish.relay_ms

struct publish {
    struct loop *loop;
    struct loop_timer *show;  // NULL: no NCCL
    struct loop_timer *beats; // NULL: nobody is sent on
    uint64_t beat;
    const struct recipe *recipe;
    const struct layout *layout;
    struct publisher *publisher;
    struct cell settled_ms;    // the loop's
    double last_bytes;         // of the thread that publishes
    struct editions *editions; // of the thread that publishes; NULL: nothing was published
};

/* A version on its way from the compute thread to the loop. */
struct errand {
    struct publish *publish;
    struct edition edition;
};

static struct metric published =
    METRIC_COUNTER("rlhfd_versions_published_total", "versions offered to generators");
static struct metric settled = METRIC_HISTOGRAM(
    "rlhfd_publish_seconds", "from publishing a version to its use by every generator", 0.01, 0.03,
    0.1, 0.3, 1, 3, 10, 30, 100);
static struct metric bytes_now = METRIC_GAUGE(
    "rlhfd_publish_bytes", "of the last version, from the one before it, uncompressed");
static struct metric read_now = METRIC_GAUGE(
    "rlhfd_publish_read_bytes", "from the model's memory to the host's for the last version");
static struct metric as_list = METRIC_COUNTER(
    "rlhfd_publish_lists_total", "versions of which a list of changes came to the host alone");
static struct metric changed_now = METRIC_GAUGE(
    "rlhfd_publish_changed_ratio", "share of the values that the last version changed");
static struct metric sent_bytes =
    METRIC_COUNTER("rlhfd_weights_sent_bytes_total", "to all generators");
/* full: all values; changes: of an older version; same: named to generators that had loaded it. */
#define SENT(kind)                                                                                 \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_weights_sent_total", "versions sent, by kind",     \
                    "kind=\"" kind "\"")
static struct metric sent_full = SENT("full");
static struct metric sent_changes = SENT("changes");
static struct metric sent_same = SENT("same");
static struct metric *const rows[] = {&published,    &settled,     &bytes_now,  &read_now,
                                      &as_list,      &changed_now, &sent_bytes, &sent_full,
                                      &sent_changes, &sent_same};

/* By NCCL; registered where it is used. */
static struct metric nccl_session =
    METRIC_GAUGE("rlhfd_nccl_epoch", "number of the latest group of generators");
static struct metric nccl_members = METRIC_GAUGE("rlhfd_nccl_members", "generators that are in it");
static struct metric nccl_failed =
    METRIC_COUNTER("rlhfd_nccl_failed_epochs_total", "groups that ended by a fault");
static struct metric nccl_refused =
    METRIC_COUNTER("rlhfd_nccl_refused_total", "generators with another NCCL");
static struct metric nccl_versions =
    METRIC_COUNTER("rlhfd_nccl_versions_total", "versions that all members got");
static struct metric nccl_changes = METRIC_COUNTER(
    "rlhfd_nccl_changes_total", "versions offered to NCCL as changes of an older one");
static struct metric nccl_lists =
    METRIC_COUNTER("rlhfd_nccl_lists_total", "versions offered to NCCL as lists of changes");
static struct metric nccl_device = METRIC_COUNTER(
    "rlhfd_nccl_device_total", "versions that NCCL was to read on the learner's device");
static struct metric nccl_bytes = METRIC_COUNTER(
    "rlhfd_nccl_bytes_total", "of the versions that all members got, counted once each");
static struct metric nccl_fallbacks =
    METRIC_COUNTER("rlhfd_nccl_fallbacks_total",
                   "versions, over all members, of which the rest went over gRPC after a fault");
static struct metric nccl_passed = METRIC_COUNTER(
    "rlhfd_nccl_over_grpc_total", "versions that members were sent over gRPC at once: fewer bytes");
static struct metric nccl_s = METRIC_GAUGE(
    "rlhfd_nccl_seconds", "from offering the last version to the last member's answer");
static struct metric *const nccl_rows[] = {
    &nccl_session, &nccl_members, &nccl_failed, &nccl_refused,   &nccl_versions, &nccl_changes,
    &nccl_lists,   &nccl_device,  &nccl_bytes,  &nccl_fallbacks, &nccl_passed,   &nccl_s};

static void show_nccl(void *arg)
{
    const struct publish *publish = arg;
    const struct broadcast_stats stats =
        carry_stats(publisher_carrier(publish->publisher, &carrier_nccl));
    metric_set(&nccl_session, (double)stats.transport.session);
    metric_set(&nccl_members, (double)stats.transport.members);
    metric_total(&nccl_failed, (double)stats.transport.counts.failed);
    metric_total(&nccl_refused, (double)stats.transport.refused);
    metric_total(&nccl_versions, (double)stats.transport.counts.carried);
    metric_total(&nccl_changes, (double)stats.as_changes);
    metric_total(&nccl_lists, (double)stats.as_lists);
    metric_total(&nccl_device, (double)stats.on_device);
    metric_total(&nccl_bytes, (double)stats.transport.bytes);
    metric_total(&nccl_fallbacks, (double)stats.fallbacks);
    metric_total(&nccl_passed, (double)stats.over_grpc);
    metric_set(&nccl_s, stats.last_ms / 1000);
}

static struct metric placed = METRIC_COUNTER(
    "rlhfd_weights_sent_on_total", "generators that were sent on to others for their weights");
static struct metric direct =
    METRIC_GAUGE("rlhfd_weights_direct", "generators that get their weights from the learner");
static struct metric *const relay_rows[] = {&placed, &direct};

static void beat(void *arg)
{
    struct publish *publish = arg;
    publisher_beat(publish->publisher, ++publish->beat);
    metric_total(&placed, (double)publisher_stats(publish->publisher).placed);
    metric_set(&direct, (double)publisher_holders(publish->publisher, NULL, 0));
}

static void on_note(const char *text, void *user)
{
    (void)user;
    log_info("weights", "by=nccl what=\"%s\"", text);
}

static void on_settled(const struct manifest *manifest, double ms, void *user)
{
    (void)manifest;
    struct publish *publish = user;
    const struct publisher_stats stats = publisher_stats(publish->publisher);
    cell_set(&publish->settled_ms, ms);
    metric_observe(&settled, ms / 1000);
    metric_total(&sent_bytes, (double)stats.bytes);
    metric_total(&sent_full, (double)stats.full);
    metric_total(&sent_changes, (double)(stats.deltas + stats.jumps));
    metric_total(&sent_same, (double)stats.same);
}

err_t publish_open(const struct publish_options *options, struct publish **ret)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(publish) publish = mem_new(sizeof *publish);
    static const enum publisher_compress compress[] = {[RECIPE_COMPRESS_AUTO] = PUBLISHER_AUTO,
                                                       [RECIPE_COMPRESS_NONE] = PUBLISHER_PLAIN,
                                                       [RECIPE_COMPRESS_ZSTD] = PUBLISHER_ZSTD};
    const struct recipe *recipe = options->recipe;
    publish->loop = options->loop;
    publish->recipe = recipe;
    publish->layout = options->layout;
    struct publisher_options publisher = {.run = recipe->run.name,
                                          .layout = options->layout,
                                          .compress = compress[recipe->publish.compress],
                                          .anchor_every = (uint64_t)recipe->publish.anchor_every,
                                          .full_at_once = (int)recipe->publish.full_at_once,
                                          .fanout = (int)recipe->publish.fanout,
                                          .carriers = options->carriers,
                                          .note = on_note,
                                          .settled = on_settled,
                                          .user = publish};
    TRY(publisher_new(&publisher, &publish->publisher));
    if (recipe->publish.fanout) {
        const int64_t every_ms = recipe->publish.relay_ms / BEATS + 1;
        metrics_register(relay_rows, sizeof relay_rows / sizeof *relay_rows);
        publish->beats = loop_timer_new(options->loop, beat, publish);
        loop_timer_start(publish->beats, every_ms, every_ms);
    }
    if (carriers_means(options->carriers, &carrier_nccl)) {
        metrics_register(nccl_rows, sizeof nccl_rows / sizeof *nccl_rows);
        publish->show = loop_timer_new(options->loop, show_nccl, publish);
        loop_timer_start(publish->show, SHOW_MS, SHOW_MS);
    }
    *ret = STEAL(publish);
    return OK;
}

struct rpc_service publish_service(struct publish *publish)
{
    return publisher_service(publish->publisher);
}

static void hand_over(void *arg)
{
    struct errand *errand = arg;
    const struct edition *edition = &errand->edition;
    publisher_publish_listed(errand->publish->publisher, edition->snapshot, edition->delta,
                             edition->listed);
    metric_add(&published, 1);
    mem_free(errand);
}

/* At the first version: it needs the model. */
static err_t open_editions(struct publish *publish, const struct model *model)
{
    const struct recipe_publish *recipe = &publish->recipe->publish;
    const struct editions_options options = {.delta = recipe->delta,
                                             .anchor_every = (uint64_t)recipe->anchor_every,
                                             .lists = publish->show != NULL};
    return publish->editions ? OK : editions_new(&options, model, &publish->editions);
}

err_t publish_version(struct publish *publish, const struct model *model,
                      const struct published *what)
{
    struct errand errand = {.publish = publish};
    struct edition *edition = &errand.edition;
    TRY(open_editions(publish, model));
    TRY(editions_make(publish->editions, model, what, edition));
    const double parameters = (double)publish->layout->parameters;
    publish->last_bytes = edition->delta ? (double)edition->delta->bytes
                                         : (double)publish->layout->elements * sizeof(bf16);
    metric_set(&bytes_now, publish->last_bytes);
    metric_set(&read_now, (double)edition->read_bytes);
    metric_add(&as_list, edition->by_list);
    metric_set(&changed_now, edition->delta ? (double)edition->delta->changed / parameters : 1);
    loop_post(publish->loop, hand_over, mem_copy(&errand, sizeof errand));
    return OK;
}

struct publish_figures publish_figures(const struct publish *publish)
{
    return (struct publish_figures){cell_get(&publish->settled_ms), publish->last_bytes};
}

void publish_free(struct publish *publish)
{
    if (!publish)
        return;
    loop_timer_free(publish->beats);
    loop_timer_free(publish->show);
    publisher_free(publish->publisher);
    if (!nccl_is_stuck()) // else it may still read a list, and the process ends
        editions_free(publish->editions);
    mem_free(publish);
}
