/* Publishes new versions to the generators. The compute thread hands the loop's publisher a
 * snapshot of the bf16 weights, and their changes since the version published before.
 *
 *     TRY(publish_open(&options, &publish));
 *     services[n++] = publish_service(publish);
 *     publish_version(publish, model, &version);      -- compute thread; the loop sends
 *
 * Bytes and the time until every connected generator has applied a version are figures for the
 * round's report, and metrics. */
#pragma once
#include "learner/publish/editions.h"
#include "rpc/server.h"
#include "svc/loop.h"
#include "svc/recipe/recipe.h"

struct publish;
struct carriers;
struct publish_options {
    struct loop *loop;
    const struct recipe *recipe;     // run.name and publish, borrowed
    const struct layout *layout;     // borrowed
    const struct carriers *carriers; // borrowed for the call
};
err_t publish_open(const struct publish_options *options, struct publish **ret);
struct rpc_service publish_service(struct publish *publish);

/* The one thread that owns the model. Returns once the host has the values. DATA_LOSS: the values
 * are not those of what->digest, and nothing was published. Between two anchors
 * (publish.anchor_every) the changes since the version before show that, and on a device the sum of
 * all values there. At an anchor, or without changes, all values that go out are summed up. */
err_t publish_version(struct publish *publish, const struct model *model,
                      const struct published *what);

/* The thread that publishes. */
struct publish_figures {
    /* Time from publishing a version until every generator used it, for the last such version. */
    double ms;
    double bytes; // size of the last version's changes from the one before, uncompressed
};
struct publish_figures publish_figures(const struct publish *publish);
/* Before the model goes: what carriers still send lies in its memory. */
void publish_free(struct publish *publish); // before the model that it published
DEFINE_SCOPED(publish)
