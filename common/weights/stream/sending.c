#include "weights/stream/sending.h"
#include "base/scoped.h"

struct peer *sending_find(const struct sending *sending, uint64_t id)
{
    for (struct peer *peer = sending->peers; peer; peer = peer->next)
        if (peer->id == id && !peer->dismissed)
            return peer;
    return NULL;
}

/* Versions above the newest, up to the one that was the newest before it: the source has lost
 * them. */
static bool is_lost(const struct sending *sending, uint32_t lineage, uint64_t version)
{
    return lineage == sending->lost_lineage && version <= sending->lost_up_to;
}

bool sending_is_newest(const struct sending *sending, uint32_t lineage, uint64_t version)
{
    const struct manifest *newest = snapshot_manifest(sending->newest);
    if (lineage != newest->lineage || version < newest->version)
        return false;
    return version == newest->version ||
           (sending->later_counts && !is_lost(sending, lineage, version));
}

bool peer_holds_newest(const struct peer *peer)
{
    return peer->holds && sending_is_newest(peer->sending, peer->lineage, peer->version);
}

bool peer_has_newest(const struct peer *peer)
{
    return peer_holds_newest(peer) ||
           (peer->has && sending_is_newest(peer->sending, peer->has_lineage, peer->has_version));
}

bool peer_is_here(const struct peer *peer)
{
    return peer->generator && !peer->dismissed;
}

void peer_has_got(struct peer *peer)
{
    const struct manifest *manifest = snapshot_manifest(peer->going);
    struct publisher_stats *stats = &peer->sending->stats;
    peer->has = true;
    peer->has_digest = false; // the digest is the publisher's own
    peer->has_lineage = manifest->lineage;
    peer->has_version = manifest->version;
    stats->sent++;
    stats->full += manifest->kind == WEIGHTS_FULL;
    stats->deltas += manifest->kind == WEIGHTS_DELTA;
    stats->jumps += manifest->kind == WEIGHTS_JUMP;
    stats->same += manifest->kind == WEIGHTS_SAME;
    snapshot_free(STEAL(peer->going));
}
