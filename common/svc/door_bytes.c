/* Bytes that came and made no message: halves of messages, frames that mean nothing. The kernel
 * counts what a connection received; the server tells what it used; the rest is what its memory may
 * hold. */
#include "svc/door_inside.h"
#include <linux/tcp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* What a well-behaved client may send beside messages: frame headers, pings, headers of calls, and
 * window updates for what it receives. TOTAL: of all connections together, in limits of one. */
enum { PER_SECOND = 4096, PER_CALL = 1024, SENT_PER_BYTE = 32, USED_PER_BYTE = 64, TOTAL = 4 };

static bool counters(const struct connection *c, uint64_t *ret_received, uint64_t *ret_sent)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    int unread = 0; // is the kernel's
    if (c->state == SERVED && c->tunnel) {
        ioctl(c->fd, FIONREAD, &unread);
        *ret_received = tunnel_received(c->tunnel) - (uint64_t)unread;
        *ret_sent = tunnel_sent(c->tunnel);
        return true;
    }
    if (c->state != SERVED || getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
        len < offsetof(struct tcp_info, tcpi_segs_out))
        return false;
    ioctl(c->fd, FIONREAD, &unread);
    *ret_received = info.tcpi_bytes_received - (uint64_t)unread;
    *ret_sent = info.tcpi_bytes_acked;
    return true;
}

static void measure(struct connection *c, int64_t now)
{
    uint64_t received, sent;
    if (!counters(c, &received, &sent))
        return;
    int64_t explained = (int64_t)(c->used + c->used / USED_PER_BYTE + sent / SENT_PER_BYTE +
                                  c->calls_made * PER_CALL) +
                        (now - c->accepted_ms) * PER_SECOND / 1000;
    int64_t unused = (int64_t)received - explained - c->forgiven;
    if (unused < 0) { // an allowance that was not needed is not saved for later
        c->forgiven += unused;
        unused = 0;
    }
    c->unused = unused;
}

/* Of those that hold much, the one that was of use longest ago. */
static struct connection *worst(const struct door *door)
{
    struct connection *worst = NULL;
    for (size_t i = 0; i < door->count; i++) {
        struct connection *c = door->live[i];
        if (c->state == SERVED && c->unused * 16 > (int64_t)door->options.unused_bytes &&
            (!worst || c->idle_since_ms < worst->idle_since_ms))
            worst = c;
    }
    return worst;
}

void bytes_measure(struct door *door, int64_t now)
{
    int64_t most = (int64_t)door->options.unused_bytes;
    if (!most)
        return;
    for (size_t i = door->count; i-- > 0;) {
        struct connection *c = door->live[i];
        measure(c, now);
        if (c->unused > most)
            table_cut(door, c, CUT_UNUSED, now);
    }
    struct connection *c;
    int64_t held = 0; // a connection that was cut gives its memory back soon
    for (size_t i = 0; i < door->count; i++)
        held += door->live[i]->state == SERVED ? door->live[i]->unused : 0;
    while (held > TOTAL * most && (c = worst(door))) {
        held -= c->unused;
        table_cut(door, c, CUT_UNUSED, now);
    }
}
