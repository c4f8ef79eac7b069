#include "learner/publish.h"
#include "base/mem.h"
#include "svc/metrics.h"
#include "weights/publisher.h"

struct publish {
    struct loop *loop;
    struct publisher *publisher;
};

/* A snapshot on its way from the compute thread to the loop. */
struct parcel {
    struct publish *publish;
    struct snapshot *snapshot;
};

static struct metric published =
    METRIC_COUNTER("rlhfd_versions_published_total", "versions offered to generators");
static struct metric settled_ms = METRIC_GAUGE(
    "rlhfd_publish_milliseconds", "from publishing the last version to its use by every generator");
static struct metric *const rows[] = {&published, &settled_ms};

static void on_settled(const struct manifest *manifest, double ms, void *user)
{
    (void)manifest, (void)user;
    metric_set(&settled_ms, ms);
}

err_t publish_open(const struct publish_options *options, struct publish **ret)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(publish) publish = mem_new(sizeof *publish);
    publish->loop = options->loop;
    struct publisher_options publisher = {.run = options->run,
                                          .layout = layout_digest(options->layout),
                                          .elements = options->layout->elements,
                                          .settled = on_settled};
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
    publisher_publish(parcel->publish->publisher, parcel->snapshot);
    metric_add(&published, 1);
    mem_free(parcel);
}

void publish_version(struct publish *publish, const struct model *model,
                     const struct published *what)
{
    struct manifest manifest = {.lineage = what->lineage,
                                .version = what->version,
                                .round = what->round,
                                .kind = WEIGHTS_FULL,
                                .elements = model->params->layout->elements,
                                .digest = what->digest};
    struct parcel parcel = {publish, snapshot_new(&manifest, model->values)};
    loop_post(publish->loop, hand_over, mem_copy(&parcel, sizeof parcel));
}

double publish_last_ms(void)
{
    return metric_value(&settled_ms);
}

void publish_free(struct publish *publish)
{
    if (!publish)
        return;
    publisher_free(publish->publisher);
    mem_free(publish);
}
