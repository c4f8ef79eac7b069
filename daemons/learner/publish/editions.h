/* Editions, the versions as they go out: their values on the host, their changes since the version
 * before, and the checks that no weight is another than training made.
 *
 *     TRY(editions_new(&options, model, &editions));
 *     TRY(editions_make(editions, model, &what, &edition));
 *     publisher_publish_listed(publisher, edition.snapshot, edition.delta, edition.listed);
 *
 * Where the model's memory is not the host's, the optimizer's marks say what changed, and lists of
 * elements and values come to the host (listing.h). Else, and where too much changed, all values
 * come, and are compared with those of the version before.
 *
 * Owner: the thread that owns the model. The parts of an edition are the loop's. */
#pragma once
#include "base/hash.h"
#include "model/model.h"

struct delta;
struct listed;
struct editions;
struct snapshot;

struct editions_options {
    bool delta;            // publish.delta
    uint64_t anchor_every; // publish.anchor_every
    bool lists;            // a carrier may send lists
};
struct published {
    uint32_t lineage;
    uint64_t version, round; // round: the number of rounds trained into the version
    struct digest digest;
    /* optimizer_marks: a mark for each value that may be another than in the version published
     * before. NULL: not known. */
    const uint32_t *marks;
};
struct edition {
    struct snapshot *snapshot;
    struct delta *delta;   // NULL: not wanted, or there is no version before
    struct listed *listed; // NULL: none
    size_t read_bytes;     // bytes that came from the model's memory to the host
    bool by_list;          // they were a list's
};

/* EXHAUSTED: no memory for lists. */
err_t editions_new(const struct editions_options *options, const struct model *model,
                   struct editions **ret);

/* DATA_LOSS: the values are not those of what->digest. */
err_t editions_make(struct editions *editions, const struct model *model,
                    const struct published *what, struct edition *ret);
size_t editions_bytes(const struct model *model); // in its backend's memory: marks and lists
void editions_free(struct editions *editions);    // once no list is being sent
DEFINE_SCOPED(editions)
