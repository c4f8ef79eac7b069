#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "svc/door_inside.h"
#include "svc/metrics.h"
#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A cut connection costs its peer so many new ones, so that a flood becomes slower with each. A
 * connection with MUCH_UNUSED, or those with MANY_CALLS together, took memory that is worth giving
 * back when they close. */
enum {
    CUT_COST = 100,
    BURST_S = 4,
    TRIM_AFTER_MS = 1000,
    REFUSED_COST = 4, // a handshake that comes to nothing
    MANY_CALLS = 1000,
    MUCH_UNUSED = 8 << 20,
    SHAKING = 128, // hands at a time, of all peers and of one
    SHAKING_PEER = 96,
};

#define CLOSED(why)                                                                                \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_connections_closed_total",                         \
                    "incoming connections that were closed, and why", "reason=\"" why "\"")
static struct metric closed[CUT_REASONS] = {
    [CUT_FULL] = CLOSED("full"),       [CUT_SILENT] = CLOSED("silent"),
    [CUT_RESETS] = CLOSED("resets"),   [CUT_UNUSED] = CLOSED("unfinished"),
    [CUT_REFUSED] = CLOSED("refused"), [CUT_CERTIFICATE] = CLOSED("certificate"),
};

void table_metrics(void)
{
    static struct metric *const rows[] = {&closed[CUT_FULL],    &closed[CUT_SILENT],
                                          &closed[CUT_RESETS],  &closed[CUT_UNUSED],
                                          &closed[CUT_REFUSED], &closed[CUT_CERTIFICATE]};
    metrics_register(rows, CUT_REASONS);
}

static ino_t inode_of(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) ? 0 : stat.st_ino;
}

struct connection *table_find(struct door *door, struct door_ticket ticket)
{
    if (!ticket.serial || (size_t)ticket.fd >= door->slots)
        return NULL;
    struct connection *found = door->by_fd[ticket.fd];
    return found && found->serial == ticket.serial ? found : NULL;
}

unsigned table_peer(const union door_address *from)
{
    const uint64_t hash = from->any.sa_family == AF_INET6
                              ? hash64(&from->six.sin6_addr, sizeof from->six.sin6_addr, 0)
                              : hash64(&from->four.sin_addr, sizeof from->four.sin_addr, 0);
    return (unsigned)(hash % DOOR_PEERS);
}

void table_own(struct door *door, int fd, struct connection *c)
{
    if ((size_t)fd >= door->slots) {
        size_t slots = (size_t)fd + 64;
        door->by_fd = mem_grow(door->by_fd, slots, sizeof(struct connection *));
        memset(door->by_fd + door->slots, 0, (slots - door->slots) * sizeof *door->by_fd);
        door->slots = slots;
    }
    door->by_fd[fd] = c; // who had the number before is closed
}

static void disown(struct door *door, int fd, const struct connection *c)
{
    if (fd >= 0 && door->by_fd[fd] == c)
        door->by_fd[fd] = NULL;
}

/* Its socket is the door's with TLS alone: closes it. */
static void end_tunnel(struct door *door, struct connection *c)
{
    if (!c->tunnel)
        return;
    disown(door, tunnel_socket(c->tunnel), c);
    disown(door, tunnel_end(c->tunnel), c);
    tunnel_free(STEAL(c->tunnel));
}

void table_remove(struct door *door, size_t at)
{
    struct connection *gone = door->live[at];
    end_tunnel(door, gone);
    disown(door, gone->fd, gone);
    mem_free(gone->identity);
    door->live[at] = door->live[--door->count];
    door->calls_gone += gone->calls_made;
    if (door->calls_gone >= MANY_CALLS || gone->unused >= MUCH_UNUSED) {
        door->trim_ms = clock_ms() + TRIM_AFTER_MS;
        door->calls_gone = 0;
    }
    mem_free(gone);
}

void table_sweep(struct door *door)
{
    for (size_t i = door->count; i-- > 0;) {
        struct connection *c = door->live[i];
        const bool closed = door->by_fd[c->fd] != c || inode_of(c->fd) != c->inode;
        if (c->state != WAITING && !c->tunnel && closed)
            table_remove(door, i);
    }
}

static bool is_older(const struct connection *x, const struct connection *y)
{
    return x->serial - y->serial > UINT32_MAX / 2;
}

static int by_age(const void *a, const void *b)
{
    const struct connection *x = *(struct connection *const *)a,
                            *y = *(struct connection *const *)b;
    return is_older(x, y) ? -1 : x->serial != y->serial;
}

void table_sort(struct door *door)
{
    if (door->count)
        qsort(door->live, door->count, sizeof(struct connection *), by_age);
}

struct connection *table_add(struct door *door, int fd, const union door_address *from, int64_t now)
{
    struct connection *c = mem_new(sizeof *c);
    c->fd = fd;
    c->serial = ++door->serials ? door->serials : ++door->serials;
    c->inode = inode_of(fd);
    c->from = *from;
    c->peer = table_peer(from);
    c->accepted_ms = c->idle_since_ms = c->wasted_ms = now;
    table_own(door, fd, c);
    if (door->count == door->room) {
        door->room = door->room ? 2 * door->room : 64;
        door->live = mem_grow(door->live, door->room, sizeof(struct connection *));
    }
    door->live[door->count++] = c;
    return c;
}

void table_forget(struct door *door, struct connection *c)
{
    if (!c->tunnel)
        close(c->fd);
    for (size_t i = 0; i < door->count; i++)
        if (door->live[i] == c) {
            table_remove(door, i);
            return;
        }
}

void table_handed(struct door *door, struct connection *c, int fd)
{
    c->fd = fd;
    c->inode = inode_of(fd);
    table_own(door, fd, c);
    table_own(door, tunnel_end(c->tunnel), c);
    if (tunnel_identity(c->tunnel))
        c->identity = mem_copy(tunnel_identity(c->tunnel), sizeof *c->identity);
}

void table_over(struct door *door, struct connection *c)
{
    end_tunnel(door, c);
    c->state = CUT; // the server has an end of the pair, and closes it
}

char *table_peer_text(const struct connection *c)
{
    char host[INET6_ADDRSTRLEN] = "";
    const bool six = c->from.any.sa_family == AF_INET6;
    if (six)
        inet_ntop(AF_INET6, &c->from.six.sin6_addr, host, sizeof host);
    else
        inet_ntop(AF_INET, &c->from.four.sin_addr, host, sizeof host);
    return six ? mem_printf("ipv6:[%s]:%u", host, ntohs(c->from.six.sin6_port))
               : mem_printf("ipv4:%s:%u", host, ntohs(c->from.four.sin_port));
}

/* ---- who goes */

/* The number may be another's by now: what is shut down is a duplicate that was seen to be the
 * socket. At once: what it received is thrown away, for the server would still read it all, and
 * what its peer sends is answered by a reset. */
static void shut_down(const struct connection *c, bool at_once)
{
    if (c->tunnel) {
        tunnel_cut(c->tunnel, at_once);
        return;
    }
    SCOPED_FD fd = dup(c->fd);
    if (fd < 0 || inode_of(fd) != c->inode)
        return;
    const struct linger none = {.l_onoff = 1};
    if (at_once)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    shutdown(fd, SHUT_RDWR);
    while (at_once && recv(fd, NULL, INT_MAX, MSG_TRUNC | MSG_DONTWAIT) > 0)
        ;
}

static struct peer_bucket *bucket_now(struct door *door, unsigned peer, int64_t now)
{
    struct peer_bucket *bucket = &door->peers[peer];
    bucket->spent -= (double)(now - bucket->at_ms) * door->options.per_s / 1000;
    if (bucket->spent < 0)
        bucket->spent = 0;
    bucket->at_ms = now;
    return bucket;
}

bool table_take_token(struct door *door, unsigned peer, int64_t now)
{
    if (!door->options.per_s)
        return true;
    struct peer_bucket *bucket = bucket_now(door, peer, now);
    if (bucket->spent + 1 > door->options.per_s * BURST_S)
        return false;
    bucket->spent++;
    return true;
}

void table_refused(struct door *door, unsigned peer, int64_t now)
{
    if (door->options.per_s)
        bucket_now(door, peer, now)->spent += REFUSED_COST;
}

void table_count(struct door *door, enum cut why)
{
    door->cuts[why]++;
    metric_add(&closed[why], 1);
}

void table_cut(struct door *door, struct connection *c, enum cut why, int64_t now)
{
    if (c->state == CUT)
        return;
    table_count(door, why);
    const bool flood = why == CUT_RESETS || why == CUT_UNUSED;
    if (flood) {
        bucket_now(door, c->peer, now)->spent += CUT_COST + (double)(c->unused >> 20);
        door->trim_ms = now + TRIM_AFTER_MS;
    }
    if (c->state == WAITING) {
        table_forget(door, c);
        return;
    }
    shut_down(c, flood);
    c->state = CUT;
}

bool table_has_cut(const struct door *door)
{
    for (size_t i = 0; i < door->count; i++)
        if (door->live[i]->state == CUT)
            return true;
    return false;
}

struct crowd {
    size_t all, peers, idle, peers_idle;
    struct connection *oldest, *peers_oldest; // idle
};

static bool is_busy(const struct connection *c)
{
    return c->state == CUT || c->kept[DOOR_BUSY] > 0;
}

static struct crowd look(const struct door *door, unsigned peer)
{
    struct crowd crowd = {.all = door->count};
    for (size_t i = 0; i < door->count; i++) {
        struct connection *c = door->live[i];
        bool same = c->peer == peer;
        crowd.peers += same;
        if (is_busy(c))
            continue;
        crowd.idle++;
        crowd.peers_idle += same;
        if (!crowd.oldest || c->idle_since_ms < crowd.oldest->idle_since_ms)
            crowd.oldest = c;
        if (same && (!crowd.peers_oldest || c->idle_since_ms < crowd.peers_oldest->idle_since_ms))
            crowd.peers_oldest = c;
    }
    return crowd;
}

/* Hands that are being shaken are few: their clients have shown nothing yet. The oldest gives
 * way. */
static void limit_shaking(struct door *door, unsigned peer, int64_t now)
{
    size_t all = 0, peers = 0;
    struct connection *oldest = NULL, *peers_oldest = NULL;
    for (size_t i = 0; i < door->count; i++) {
        struct connection *c = door->live[i];
        if (c->state != WAITING)
            continue;
        all++;
        if (!oldest || is_older(c, oldest))
            oldest = c;
        if (c->peer != peer)
            continue;
        peers++;
        if (!peers_oldest || is_older(c, peers_oldest))
            peers_oldest = c;
    }
    if (peers >= SHAKING_PEER)
        table_cut(door, peers_oldest, CUT_FULL, now);
    else if (all >= SHAKING)
        table_cut(door, oldest, CUT_FULL, now);
}

/* A quarter of the places is for connections that were shut down and are not closed yet, and for
 * busy ones. One peer's leave a quarter to others; of the idle ones, those of the peer that has
 * most give way. */
bool table_make_room(struct door *door, unsigned peer, int64_t now)
{
    const size_t most = (size_t)door->options.connections, comfortable = most - most / 4;
    const size_t idle = door->options.idle ? (size_t)door->options.idle : comfortable;
    if (door->speaks_tls)
        limit_shaking(door, peer, now);
    struct crowd crowd = look(door, peer);
    if (crowd.all >= comfortable) {
        table_sweep(door);
        crowd = look(door, peer);
    }
    struct connection *gives_way = NULL;
    if (crowd.peers >= comfortable)
        gives_way = crowd.peers_oldest;
    else if (crowd.all >= comfortable || crowd.idle >= idle)
        gives_way = 2 * crowd.peers_idle >= crowd.idle && crowd.peers_oldest ? crowd.peers_oldest
                                                                             : crowd.oldest;
    if (gives_way)
        table_cut(door, gives_way, CUT_FULL, now);
    else if (crowd.peers >= comfortable)
        return false;
    return door->count < most;
}
