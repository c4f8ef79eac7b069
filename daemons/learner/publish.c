#include "learner/publish.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "svc/metrics.h"
#include "weights/publisher.h"

struct publish {
    struct loop *loop;
    const struct recipe *recipe;
    const struct layout *layout;
    struct publisher *publisher;
    /* The thread that publishes: the version before, whose values the publisher sends too. */
    uint32_t lineage;
    const uint16_t *base;
    struct rpc_message *base_owner; // NULL: none yet
};

/* A version on its way from the compute thread to the loop. */
struct parcel {
    struct publish *publish;
    struct snapshot *snapshot;
    struct delta *delta;
};

static struct metric published =
    METRIC_COUNTER("rlhfd_versions_published_total", "versions offered to generators");
static struct metric settled_ms = METRIC_GAUGE(
    "rlhfd_publish_milliseconds", "from publishing the last version to its use by every generator");
static struct metric bytes_now = METRIC_GAUGE(
    "rlhfd_publish_bytes", "of the last version, from the one before it, uncompressed");
static struct metric changed_now = METRIC_GAUGE(
    "rlhfd_publish_changed_ratio", "share of the values that the last version changed");
static struct metric sent_bytes =
    METRIC_GAUGE("rlhfd_weights_sent_bytes", "to all generators since the start");
static struct metric sent_full =
    METRIC_GAUGE("rlhfd_weights_sent_full", "versions sent as all values");
static struct metric sent_changes =
    METRIC_GAUGE("rlhfd_weights_sent_changes", "versions sent as changes of an older one");
static struct metric sent_same = METRIC_GAUGE(
    "rlhfd_weights_sent_same", "versions named to generators that had loaded them themselves");
static struct metric *const rows[] = {&published,  &settled_ms, &bytes_now,    &changed_now,
                                      &sent_bytes, &sent_full,  &sent_changes, &sent_same};

static void on_settled(const struct manifest *manifest, double ms, void *user)
{
    (void)manifest;
    const struct publish *publish = user;
    const struct publisher_stats stats = publisher_stats(publish->publisher);
    metric_set(&settled_ms, ms);
    metric_set(&sent_bytes, (double)stats.bytes);
    metric_set(&sent_full, (double)stats.full);
    metric_set(&sent_changes, (double)(stats.deltas + stats.jumps));
    metric_set(&sent_same, (double)stats.same);
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
                                          .settled = on_settled,
                                          .user = publish};
    TRY(publisher_new(&publisher, &publish->publisher));
    *ret = STEAL(publish);
    return OK;
}

struct rpc_service publish_service(struct publish *publish)
{
    return publisher_service(publish->publisher);
}

static void hand_over(void *arg)
{
    struct parcel *parcel = arg;
    publisher_publish(parcel->publish->publisher, parcel->snapshot, parcel->delta);
    metric_add(&published, 1);
    mem_free(parcel);
}

/* What changed since the version before, which makes way for this one; NULL: not wanted, or there is none. */
static struct delta *compare(struct publish *publish, const struct snapshot *snapshot)
{
    const uint16_t *now = snapshot_values(snapshot);
    const uint32_t lineage = snapshot_manifest(snapshot)->lineage;
    if (!publish->recipe->publish.delta)
        return NULL;
    struct delta *delta = NULL;
    if (publish->base_owner && publish->lineage == lineage)
        delta = delta_encode(publish->layout, publish->base, now);
    rpc_message_free(publish->base_owner);
    publish->base_owner = snapshot_values_owner(snapshot);
    publish->base = now;
    publish->lineage = lineage;
    return delta;
}

void publish_version(struct publish *publish, const struct model *model,
                     const struct published *what)
{
    struct manifest manifest = {.lineage = what->lineage,
                                .version = what->version,
                                .round = what->round,
                                .elements = publish->layout->elements,
                                .digest = what->digest};
    struct parcel parcel = {publish, snapshot_new(&manifest, model->values), NULL};
    parcel.delta = compare(publish, parcel.snapshot);
    const double parameters = (double)publish->layout->parameters;
    metric_set(&bytes_now, parcel.delta ? (double)parcel.delta->bytes
                                        : (double)publish->layout->elements * sizeof(bf16));
    metric_set(&changed_now, parcel.delta ? (double)parcel.delta->changed / parameters : 1);
    loop_post(publish->loop, hand_over, mem_copy(&parcel, sizeof parcel));
}

double publish_last_ms(void)
{
    return metric_value(&settled_ms);
}

double publish_last_bytes(void)
{
    return metric_value(&bytes_now);
}

void publish_free(struct publish *publish)
{
    if (!publish)
        return;
    publisher_free(publish->publisher);
    rpc_message_free(publish->base_owner);
    mem_free(publish);
}
