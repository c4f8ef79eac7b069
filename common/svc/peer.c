#include "svc/peer.h"
#include "base/log.h"
#include <stdio.h>

struct peer peer_of(const char *kind, const char *address, enum hold_cause cause, double now_s)
{
    return (struct peer){.kind = kind, .address = address, .cause = cause, .since_s = now_s};
}

void peer_down(struct peer *peer, const char *why, double now_s)
{
    struct hold said = hold_make(HOLD_NONE, "%s", why);
    if (peer->up && now_s - peer->since_s >= PEER_CALM_S)
        peer->breaks = 0;
    peer->breaks += peer->up;
    if (peer->up)
        peer->since_s = now_s;
    peer->up = false;
    snprintf(peer->why, sizeof peer->why, "%.*s", PEER_WHY - 1, said.text);
    log_limited(LOG_WARNING, 4, "peer unreachable", "peer=%s address=%s why=\"%s\"", peer->kind,
                peer->address, peer->why);
}

void peer_up(struct peer *peer, double now_s)
{
    if (!peer->up)
        peer->since_s = now_s;
    peer->up = peer->joined = true;
    log_limited(LOG_INFO, 4, "peer reached", "peer=%s address=%s", peer->kind, peer->address);
}

void peer_works(struct peer *peer)
{
    peer->breaks = 0;
}

bool peer_holds(const struct peer *peer, double now_s, struct hold *ret)
{
    const double seconds = now_s - peer->since_s;
    bool breaks = peer->breaks >= PEER_BREAKS && (!peer->up || seconds < PEER_CALM_S);
    if (breaks)
        *ret = hold_make(HOLD_STREAM,
                         "the stream to the %s (%s) keeps breaking: %u times without an answer; "
                         "the last: %s",
                         peer->kind, peer->address, peer->breaks, peer->why);
    else if (!peer->up)
        *ret = hold_make(peer->cause, "the %s (%s) has not been reached for %.0f s%s%s", peer->kind,
                         peer->address, seconds, *peer->why ? ": " : "", peer->why);
    return breaks || !peer->up;
}
