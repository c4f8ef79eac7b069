#include "generator/relaying.h"
#include "base/mem.h"
#include "svc/metrics.h"
#include "weights/publisher.h"
#include <string.h>

struct relaying {
    struct publisher *publisher;
};

static struct metric served =
    METRIC_GAUGE("rlhfd_relay_generators", "generators that get their weights from this one");
static struct metric sent =
    METRIC_COUNTER("rlhfd_relay_sent_bytes_total", "bytes sent to these generators");
static struct metric placed =
    METRIC_COUNTER("rlhfd_relay_sent_on_total", "generators that were sent on to others");
static struct metric *const rows[] = {&served, &sent, &placed};

err_t relaying_open(const struct recipe *recipe, const struct layout *layout, struct relaying **ret)
{
    if (!recipe->publish.fanout)
        return OK;
    metrics_register(rows, sizeof rows / sizeof *rows);
    struct relaying *relay = mem_new(sizeof *relay);
    /* What was packed for the way here goes on as it is. */
    const struct publisher_options options = {
        .run = recipe->run.name,
        .layout = layout,
        .compress = PUBLISHER_PLAIN,
        .passes_on = true,
        .anchor_every = (uint64_t)recipe->publish.anchor_every,
        .full_at_once = (int)recipe->publish.full_at_once,
        .fanout = (int)recipe->publish.fanout,
    };
    err_t e = publisher_new(&options, &relay->publisher);
    if (err_failed(e)) {
        relaying_free(relay);
        return e;
    }
    *ret = relay;
    return OK;
}

struct rpc_service relaying_service(struct relaying *relay)
{
    return publisher_service(relay->publisher);
}

void relaying_forward(struct relaying *relay, const struct manifest *manifest,
                      const uint16_t *values, struct delta *delta)
{
    publisher_publish(relay->publisher, snapshot_lazy(manifest, values), delta);
}

void relaying_beat(struct relaying *relay, uint64_t beat)
{
    const struct publisher_stats stats = publisher_stats(relay->publisher);
    publisher_beat(relay->publisher, beat);
    metric_set(&served, (double)publisher_holders(relay->publisher, NULL, 0));
    metric_total(&sent, (double)stats.bytes);
    metric_total(&placed, (double)stats.placed);
}

char *relaying_address(const struct recipe *recipe, const char *listen)
{
    static const char *const wildcards[] = {"0.0.0.0:", "[::]:", ":"};
    const char *given = recipe->generator.address;
    if (!recipe->publish.fanout)
        return NULL;
    for (size_t i = 0; i < sizeof wildcards / sizeof *wildcards && !*given; i++)
        if (strncmp(listen, wildcards[i], strlen(wildcards[i])) == 0)
            return NULL;
    return mem_string(*given ? given : listen);
}

void relaying_free(struct relaying *relay)
{
    if (!relay)
        return;
    publisher_free(relay->publisher);
    mem_free(relay);
}
