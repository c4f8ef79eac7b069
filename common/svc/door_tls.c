/* TLS at the door: hands are shaken here, and bytes go through tunnels (tls/tunnel.h). The mutex is
 * free while a tunnel computes: only this thread forgets connections, and others that cut one do no
 * more than shut its descriptors down. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/door_inside.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    SHAKE_MS = 5000,
    LINGER_MS = 5000,   // from one side's end to the other's
    BUDGET = 256 << 10, // bytes of one connection, before it is another's turn
    REFUSALS = 20,      // lines a minute
};

static enum tunnel_state step(struct door *door, struct connection *c)
{
    struct tunnel *tunnel = c->tunnel;
    bool more;
    pthread_mutex_unlock(&door->mutex);
    const enum tunnel_state state = tunnel_step(tunnel, BUDGET, &more);
    pthread_mutex_lock(&door->mutex);
    c->more = more;
    door->busy |= more;
    return state;
}

void tls_refused(struct door *door, struct connection *c, const char *why, int64_t now)
{
    SCOPED_MEM char *peer = table_peer_text(c);
    table_count(door, CUT_REFUSED);
    c->refused = true;
    log_limited(LOG_WARNING, REFUSALS, "connection refused", "port=%u peer=%s why=\"%s\"",
                door->port, peer, why);
    table_refused(door, c->peer, now);
}

/* ---- shaking hands */

static bool begin(struct door *door, struct connection *c, int64_t now)
{
    if (!table_take_token(door, c->peer, now))
        return false;
    const struct tunnel_options options = {.alpn = door->options.tls.alpn,
                                           .client = door->options.tls.client,
                                           .optional = door->options.tls.optional,
                                           .run = door->security.run,
                                           .greeting = door->options.greeting};
    struct tls_set *set = security_set(&door->security);
    c->tunnel = tunnel_new(set, c->fd, &options);
    c->idle_since_ms = now;
    tls_set_unref(set);
    return c->tunnel != NULL;
}

static void serve(struct door *door, struct connection *c, int64_t now)
{
    const int fd = tunnel_join(c->tunnel);
    if (fd < 0) {
        tls_refused(door, c, strerrordesc_np(errno), now);
        table_forget(door, c);
        return;
    }
    table_handed(door, c, fd);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.fd = tunnel_end(c->tunnel)};
    epoll_ctl(door->epoll, EPOLL_CTL_ADD, tunnel_end(c->tunnel), &event);
    c->state = SERVED;
    c->idle_since_ms = now;
    pthread_mutex_unlock(&door->mutex); // the server may ask for its ticket in there
    door->options.hand(door->options.arg, fd);
    pthread_mutex_lock(&door->mutex);
    tls_carry(door, c);
}

void tls_shake(struct door *door, struct connection *c, int64_t now)
{
    if (!c->tunnel && !begin(door, c, now))
        return;
    const enum tunnel_state state = step(door, c);
    const char *why = tunnel_why(c->tunnel);
    if (*why && !c->refused)
        tls_refused(door, c, why, now);
    if (state == TUNNEL_OVER)
        table_forget(door, c);
    else if (state == TUNNEL_READY)
        serve(door, c, now);
}

/* ---- carrying */

void tls_carry(struct door *door, struct connection *c)
{
    if (step(door, c) == TUNNEL_OVER)
        table_over(door, c);
}

void tls_carry_all(struct door *door)
{
    door->busy = false;
    for (size_t i = 0; i < door->count; i++)
        if (door->live[i]->more && door->live[i]->tunnel && door->live[i]->state != WAITING)
            tls_carry(door, door->live[i]);
}

/* ---- what time brings */

static void cut_certificate(struct door *door, struct connection *c, const char *why, int64_t now)
{
    char text[IDENTITY_TEXT] = "";
    SCOPED_MEM char *peer = table_peer_text(c);
    if (c->identity)
        identity_print(c->identity, text);
    log_limited(LOG_WARNING, REFUSALS, "connection closed",
                "port=%u peer=%s identity=\"%s\" why=\"%s\"", door->port, peer, text, why);
    table_cut(door, c, CUT_CERTIFICATE, now);
}

static bool tick_waiting(struct door *door, struct connection *c, int64_t now, bool *ret_hurry)
{
    if (c->tunnel && now - c->idle_since_ms > SHAKE_MS) {
        if (!c->refused)
            tls_refused(door, c, "hands were not shaken in 5 s", now);
        table_forget(door, c);
    } else if (!c->tunnel || tunnel_leaves(c->tunnel)) { // its turn has not come, or is nearly over
        *ret_hurry = true;
        tls_shake(door, c, now);
    }
    return false;
}

bool tls_tick(struct door *door, struct connection *c, int64_t now, bool *ret_hurry)
{
    if (c->state == WAITING)
        return tick_waiting(door, c, now, ret_hurry);
    if (!c->tunnel)
        return true;
    if (c->state == SERVED && clock_wall_ms() / 1000 >= tunnel_good_until_s(c->tunnel))
        cut_certificate(door, c, "its certificate has expired", now);
    if (!tunnel_leaves(c->tunnel))
        c->leaves_ms = 0;
    else if (!c->leaves_ms)
        c->leaves_ms = now;
    else if (now - c->leaves_ms > LINGER_MS)
        tunnel_cut(c->tunnel, true);
    tls_carry(door, c);
    return c->state == SERVED;
}

/* Newer keys may have other roots: who does not verify by them has to go. */
void tls_renew(struct door *door, int64_t now)
{
    struct tls_set *set = security_set(&door->security);
    if (tls_set_generation(set) != door->generation) {
        door->generation = tls_set_generation(set);
        for (size_t i = 0; i < door->count; i++) {
            struct connection *c = door->live[i];
            if (c->state != SERVED || !c->tunnel)
                continue;
            pthread_mutex_unlock(&door->mutex);
            const err_t why = tunnel_verify(c->tunnel, set);
            pthread_mutex_lock(&door->mutex);
            if (err_failed(why))
                cut_certificate(door, c, err_message(why), now);
            err_free(why);
        }
    }
    tls_set_unref(set);
}
