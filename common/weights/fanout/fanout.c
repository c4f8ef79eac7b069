#include "weights/fanout/fanout.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/call.h"
#include "rpc/message.h"
#include "weights/fanout/fanout_wire.h"
#include "weights/fanout/upstream.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUSPECT_S = 60 };

struct fanout {
    struct sending *sending;
    uint64_t placings;
};

static bool is_served(const struct peer *peer, const struct peer *but)
{
    return peer != but && peer_is_here(peer) && clock_s() >= peer->suspect_until_s;
}

/* A generator that failed another is suspect for a while. Nobody is sent there, and it does not
 * count as one that is served here. */
static void suspect(const struct sending *sending, const char *address)
{
    for (struct peer *peer = sending->peers; peer && address; peer = peer->next)
        if (peer->serves && strcmp(peer->serves, address) == 0)
            peer->suspect_until_s = clock_s() + SUSPECT_S;
}

/* Chooses in turn. Each of the chosen does the same with those that are too many for it. */
static const struct peer *choose(struct fanout *fanout, const struct peer *but, uint64_t serve)
{
    uint64_t turn = fanout->placings++ % serve;
    for (const struct peer *peer = fanout->sending->peers; peer; peer = peer->next)
        if (is_served(peer, but) && peer->serves && turn-- == 0)
            return peer;
    return NULL;
}

static bool hello(void *state, struct peer *peer, const struct subscription *hello)
{
    struct fanout *fanout = state;
    struct sending *sending = fanout->sending;
    uint64_t here = 0, serve = 0;
    if (!sending->fanout)
        return false;
    suspect(sending, hello->lost);
    for (const struct peer *other = sending->peers; other; other = other->next) {
        here += is_served(other, peer);
        serve += is_served(other, peer) && other->serves;
    }
    if (here < (uint64_t)sending->fanout || !serve)
        return false; // nobody else can: better one too many than one without
    const struct peer *to = choose(fanout, peer, serve);
    struct fanout_message message = {0};
    snprintf(message.address, sizeof message.address, "%s", to->serves);
    SCOPED(rpc_message) packed = fanout_message_pack(&message);
    rpc_call_send_message(peer->call, packed);
    sending->stats.placed++;
    return true;
}

/* A peer whose queue is full needs no beat: the messages there show that the learner is alive. */
static void beat(void *state, uint64_t beat)
{
    const struct fanout *fanout = state;
    SCOPED(rpc_message) message = fanout_message_pack(&(struct fanout_message){.beat = beat});
    for (const struct peer *peer = fanout->sending->peers; peer; peer = peer->next)
        if (peer_is_here(peer) && !rpc_call_full(peer->call))
            rpc_call_send_message(peer->call, message);
}

static err_t open_fanout(struct sending *sending, void *means, void **ret)
{
    struct fanout *fanout = mem_new(sizeof *fanout);
    (void)means;
    fanout->sending = sending;
    *ret = fanout;
    return OK;
}

static const struct carrier_send fanout_send = {
    .open = open_fanout, .hello = hello, .beat = beat, .close = free};

const struct carrier carrier_fanout = {
    .name = "fanout", .send = &fanout_send, .receive = &fanout_receive};
