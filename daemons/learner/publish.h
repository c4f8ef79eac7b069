/* New versions out to the generators: a snapshot of the bf16 weights, handed from the compute thread to the loop's publisher.
 *
 *     TRY(publish_open(&options, &publish));
 *     services[n++] = publish_service(publish);
 *     publish_version(publish, model, &version);      -- compute thread: copies the values; the loop sends them
 *
 * Bytes and the time until every connected generator has applied a version are metrics, which the round report reads. */
#pragma once
#include "base/hash.h"
#include "model/model.h"
#include "rpc/server.h"
#include "svc/loop.h"

struct publish;
struct publish_options {
    struct loop *loop;
    const char *run;
    const struct layout *layout; // borrowed
};
struct published {
    uint32_t lineage;
    uint64_t version, round; // round: how many have been trained into it
    struct digest digest;
};
err_t publish_open(const struct publish_options *options, struct publish **ret);
struct rpc_service publish_service(struct publish *publish);

/* Any thread that owns the model. Returns once the values are copied. */
void publish_version(struct publish *publish, const struct model *model,
                     const struct published *what);

double publish_last_ms(void); // of the last version that every generator applied; any thread
void publish_free(struct publish *publish);
DEFINE_SCOPED(publish)
