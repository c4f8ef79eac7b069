#include "base/clock.h"
#include "rpc/call.h"
#include "weights/stream/publisher_inside.h"
#include "weights/stream/relay_wire.h"
#include <stdio.h>
#include <string.h>

enum { SUSPECT_S = 60 };

static bool is_served(const struct peer *peer, const struct peer *but)
{
    return peer != but && peer->generator && !peer->dismissed && clock_s() >= peer->suspect_until_s;
}

/* Who failed another is not sent any more, and takes nobody's place here, for a while. */
static void suspect(const struct publisher *publisher, const char *address)
{
    for (struct peer *peer = publisher->peers; peer && address; peer = peer->next)
        if (peer->serves && strcmp(peer->serves, address) == 0)
            peer->suspect_until_s = clock_s() + SUSPECT_S;
}

/* In turn; each of them does the same with those that are too many for it. */
static const struct peer *choose(struct publisher *publisher, const struct peer *but,
                                 uint64_t serve)
{
    uint64_t turn = publisher->placings++ % serve;
    for (const struct peer *peer = publisher->peers; peer; peer = peer->next)
        if (is_served(peer, but) && peer->serves && turn-- == 0)
            return peer;
    return NULL;
}

bool publisher_place(struct peer *peer, const struct subscription *hello)
{
    struct publisher *publisher = peer->publisher;
    uint64_t here = 0, serve = 0;
    if (!publisher->options.fanout)
        return false;
    suspect(publisher, hello->lost);
    for (const struct peer *other = publisher->peers; other; other = other->next) {
        here += is_served(other, peer);
        serve += is_served(other, peer) && other->serves;
    }
    if (here < (uint64_t)publisher->options.fanout || !serve)
        return false; // nobody else can: better one too many than one without
    const struct peer *to = choose(publisher, peer, serve);
    struct relay_message message = {0};
    snprintf(message.address, sizeof message.address, "%s", to->serves);
    SCOPED(rpc_message) packed = relay_message_pack(&message);
    rpc_call_send_message(peer->call, packed);
    publisher->stats.placed++;
    publisher_dismiss(peer, OK);
    return true;
}

/* Whose queue is full sees by what is in it that we are alive. */
void publisher_beat(struct publisher *publisher, uint64_t beat)
{
    SCOPED(rpc_message) message = relay_message_pack(&(struct relay_message){.beat = beat});
    for (struct peer *peer = publisher->peers; peer; peer = peer->next)
        if (peer->generator && !peer->dismissed && !rpc_call_full(peer->call))
            rpc_call_send_message(peer->call, message);
}
