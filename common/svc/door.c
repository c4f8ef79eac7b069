#include "svc/door.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/door_inside.h"
#include "svc/listening.h"
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TICK_MS = 200,
    HURRY_MS = 20, // while connections hold bytes or wait their turn
    GREETING_MS = 5000,
    GREETING_MAX = 32,
    EVENTS = 64,
    PAUSE_MS = 50, // when the system has no descriptor
    WASTED_MAX = 100,
    WASTED_FORGIVEN_PER_S = 20,
    TRIM_EVERY_MS = 3000,
    TELL_EVERY_MS = 60000,
    HURRY_BYTES = 1 << 20,
    CLOSELY_MS = 1000,
    USER_TIMEOUT_MS = 30000, // sent and never acknowledged
    LAST_MS = 1000,          // for what the server has written last
    CROWDED_MS = 2,          // until it is asked again whether there is room
};

/* ---- the door's thread, with the mutex */

/* What came so far is the beginning of a greeting; *ret_all: it is there. */
static bool greets(const struct door *door, const struct connection *c, bool *ret_all)
{
    char text[GREETING_MAX];
    size_t len = strlen(door->options.greeting);
    ssize_t got = recv(c->fd, text, len, MSG_PEEK | MSG_DONTWAIT);
    *ret_all = got == (ssize_t)len;
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return got > 0 && memcmp(text, door->options.greeting, (size_t)got) == 0;
}

/* Its first bytes are no greeting. Keys on one side alone are a mistake that both sides should hear
 * of; others are probes of the port. */
static void turn_away(struct door *door, struct connection *c, int64_t now)
{
    enum { TLS_HANDSHAKE = 22 };
    uint8_t first;
    if (recv(c->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && first == TLS_HANDSHAKE)
        tls_refused(door, c, "the client speaks TLS; this port takes plaintext alone", now);
    table_forget(door, c);
}

/* Gives a connection to the server, once it has greeted and its peer may have one more. */
static void try_hand(struct door *door, struct connection *c, int64_t now)
{
    if (door->speaks_tls) {
        tls_shake(door, c, now);
        return;
    }
    if (door->options.greeting && !c->greeted && !greets(door, c, &c->greeted)) {
        turn_away(door, c, now);
        return;
    }
    if ((door->options.greeting && !c->greeted) || !table_take_token(door, c->peer, now))
        return;
    epoll_ctl(door->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    c->state = SERVED;
    c->idle_since_ms = now;
    int fd = c->fd;
    pthread_mutex_unlock(&door->mutex); // the server may ask for its ticket in there
    door->options.hand(door->options.arg, fd);
    pthread_mutex_lock(&door->mutex);
}

/* An IPv4 client of an IPv6 socket is what it is. */
static void unmap(union door_address *from)
{
    if (from->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&from->six.sin6_addr))
        return;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = from->six.sin6_port};
    memcpy(&four.sin_addr, &from->six.sin6_addr.s6_addr[12], sizeof four.sin_addr);
    from->four = four;
}

static void admit(struct door *door, int fd, union door_address *from)
{
    unmap(from);
    const int64_t now = clock_ms();
    if (!table_make_room(door, table_peer(from), now)) {
        table_count(door, CUT_FULL);
        close(fd);
        return;
    }
    int on = 1;
    unsigned timeout = USER_TIMEOUT_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    struct connection *c = table_add(door, fd, from, now);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (door->speaks_tls)
        event.events |= EPOLLOUT;
    epoll_ctl(door->epoll, EPOLL_CTL_ADD, fd, &event);
    try_hand(door, c, now);
}

static void listen_for(struct door *door, int change, unsigned events)
{
    for (size_t i = 0; i < door->listening_count; i++) {
        struct epoll_event event = {.events = events, .data.fd = door->listening[i]};
        epoll_ctl(door->epoll, change, door->listening[i], &event);
    }
}

/* Newcomers wait in the system's queue while the server closes what was shut down; true: it has not
 * yet. Tunnels must not wait with them. */
static bool is_crowded(struct door *door)
{
    if (door->count < (size_t)door->options.connections)
        return false;
    table_sweep(door);
    if (door->count < (size_t)door->options.connections || !table_has_cut(door))
        return false;
    if (door->speaks_tls) {
        listen_for(door, EPOLL_CTL_MOD, 0);
        door->listen_ms = clock_ms() + CROWDED_MS;
        return true;
    }
    pthread_mutex_unlock(&door->mutex);
    clock_sleep_ms(1);
    pthread_mutex_lock(&door->mutex);
    return true;
}

static void accept_all(struct door *door, int listening)
{
    for (int i = 0; i < EVENTS && !is_crowded(door); i++) {
        union door_address from;
        socklen_t len = sizeof from;
        int fd = accept4(listening, &from.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            admit(door, fd, &from);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) // the plan keeps us from here
            clock_sleep_ms(PAUSE_MS);
        return;
    }
}

static void tick_one(struct door *door, struct connection *c, int64_t now, bool *ret_hurry)
{
    const int64_t idle_ms = now - c->idle_since_ms;
    if (door->speaks_tls && !tls_tick(door, c, now, ret_hurry))
        return;
    if (c->state == WAITING && !c->greeted && door->options.greeting && idle_ms > GREETING_MS)
        table_cut(door, c, CUT_SILENT, now);
    else if (c->state == WAITING) {
        *ret_hurry = true;
        try_hand(door, c, now);
    } else if (c->state == SERVED && door->options.idle_ms && !c->kept[DOOR_BUSY] &&
               !c->kept[DOOR_QUIET] && idle_ms > door->options.idle_ms)
        table_cut(door, c, CUT_SILENT, now);
    else if (c->state == SERVED)
        *ret_hurry |= c->unused > HURRY_BYTES;
}

/* One line a minute of what went on, whatever goes on. */
static void tell(struct door *door, int64_t now)
{
    if (memcmp(door->cuts, door->told, sizeof door->cuts) == 0 ||
        (door->told_ms && now - door->told_ms < TELL_EVERY_MS))
        return;
    const uint64_t *all = door->cuts, *told = door->told;
    log_warning("connections closed",
                "port=%u full=%" PRIu64 " silent=%" PRIu64 " resets=%" PRIu64 " unfinished=%" PRIu64
                " refused=%" PRIu64 " certificate=%" PRIu64,
                door->port, all[CUT_FULL] - told[CUT_FULL], all[CUT_SILENT] - told[CUT_SILENT],
                all[CUT_RESETS] - told[CUT_RESETS], all[CUT_UNUSED] - told[CUT_UNUSED],
                all[CUT_REFUSED] - told[CUT_REFUSED], all[CUT_CERTIFICATE] - told[CUT_CERTIFICATE]);
    memcpy(door->told, door->cuts, sizeof door->cuts);
    door->told_ms = now;
}

/* The allocator keeps what a flood made it take, in every thread's arena, until it is asked. */
static void give_back(struct door *door, int64_t now)
{
    if (!door->trim_ms || now < door->trim_ms || now - door->trimmed_ms < TRIM_EVERY_MS)
        return;
    door->trim_ms = 0;
    door->trimmed_ms = now;
    pthread_mutex_unlock(&door->mutex);
    malloc_trim(0);
    pthread_mutex_lock(&door->mutex);
}

/* In order of age, so that who waited longest gets its peer's next turn. Returns how soon the next
 * tick is due. */
static int tick(struct door *door)
{
    const int64_t now = clock_ms();
    bool hurry = door->trim_ms != 0 || now < door->hurry_until_ms;
    table_sweep(door);
    if (door->speaks_tls)
        tls_renew(door, now);
    bytes_measure(door, now);
    table_sort(door);
    for (size_t i = 0; i < door->count;) {
        struct connection *c = door->live[i];
        tick_one(door, c, now, &hurry);
        i += i < door->count && door->live[i] == c;
    }
    tell(door, now);
    give_back(door, now);
    return hurry ? HURRY_MS : door->count ? TICK_MS : -1;
}

static void on_event(struct door *door, int fd)
{
    if (fd == door->wake) {
        eventfd_t unused;
        eventfd_read(fd, &unused);
        door->due_ms = 0;
        return;
    }
    for (size_t i = 0; i < door->listening_count; i++)
        if (door->listening[i] == fd) {
            accept_all(door, fd);
            return;
        }
    struct connection *c = (size_t)fd < door->slots ? door->by_fd[fd] : NULL;
    if (c && c->tunnel && c->state != WAITING)
        tls_carry(door, c);
    else if (c && c->state == WAITING) // else an event of before it was handed over
        try_hand(door, c, clock_ms());
}

/* No more come from here on. */
static void close_up(struct door *door)
{
    for (size_t i = 0; i < door->listening_count; i++)
        close(door->listening[i]);
    door->listening_count = 0;
    for (size_t i = door->count; i-- > 0;)
        if (door->live[i]->state == WAITING)
            table_forget(door, door->live[i]);
    door->closed = true;
    pthread_cond_broadcast(&door->changed);
}

/* The last bytes of the server are still on their way through tunnels. */
static bool is_over(struct door *door)
{
    if (!door->stop_ms)
        return false;
    bool carries = false;
    for (size_t i = 0; i < door->count; i++)
        carries |= door->live[i]->tunnel != NULL;
    return !carries || clock_ms() >= door->stop_ms;
}

/* How long to wait for the next event. */
static int wait_ms(struct door *door)
{
    const int64_t now = clock_ms();
    if (door->pause_ms < 0 || now >= door->due_ms) {
        door->pause_ms = tick(door);
        door->due_ms = now + door->pause_ms;
    }
    if (door->busy)
        return 0;
    if (door->listen_ms)
        return CROWDED_MS;
    if (door->stop_ms && (door->pause_ms < 0 || door->pause_ms > HURRY_MS))
        return HURRY_MS;
    return door->pause_ms < 0 ? -1 : door->due_ms > now ? (int)(door->due_ms - now) : 0;
}

static void *door_thread(void *arg)
{
    struct door *door = arg;
    struct epoll_event events[EVENTS];
    pthread_setname_np(pthread_self(), "door");
    sigset_t pipe; // a client that has left is an error of write, not the end of us
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    pthread_mutex_lock(&door->mutex);
    while (!is_over(door)) {
        if (door->closing && !door->closed)
            close_up(door);
        const int left = wait_ms(door);
        pthread_mutex_unlock(&door->mutex);
        int count = epoll_wait(door->epoll, events, EVENTS, left);
        pthread_mutex_lock(&door->mutex);
        for (int i = 0; i < count && !(door->closing && !door->closed); i++)
            on_event(door, events[i].data.fd);
        if (door->busy)
            tls_carry_all(door);
        if (door->listen_ms && clock_ms() >= door->listen_ms) {
            door->listen_ms = 0;
            listen_for(door, EPOLL_CTL_MOD, EPOLLIN);
        }
    }
    pthread_mutex_unlock(&door->mutex);
    return NULL;
}

/* ---- opening and closing */

static err_t start_thread(struct door *door)
{
    door->epoll = epoll_create1(EPOLL_CLOEXEC);
    door->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (door->epoll < 0 || door->wake < 0)
        return err_errno(errno, "cannot wait for connections");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = door->wake};
    epoll_ctl(door->epoll, EPOLL_CTL_ADD, door->wake, &event);
    listen_for(door, EPOLL_CTL_ADD, EPOLLIN);
    int failed = pthread_create(&door->thread, NULL, door_thread, door);
    door->running = !failed;
    return failed ? err_errno(failed, "cannot start the door's thread") : OK;
}

err_t door_open(const struct door_options *options, struct door **ret)
{
    table_metrics();
    SCOPED(door) door = mem_new(sizeof *door);
    door->options = *options;
    door->epoll = door->wake = -1;
    pthread_mutex_init(&door->mutex, NULL);
    pthread_cond_init(&door->changed, NULL);
    if (options->tls.security)
        door->security = *options->tls.security;
    door->speaks_tls = door->security.keys != NULL;
    TRY(listen_open(options->address, door->listening, &door->listening_count));
    door->port = listen_port(door->listening[0]);
    TRY(start_thread(door));
    *ret = STEAL(door);
    return OK;
}

uint16_t door_port(const struct door *door)
{
    return door->port;
}

void door_close(struct door *door)
{
    if (!door || !door->running)
        return;
    pthread_mutex_lock(&door->mutex);
    door->closing = true;
    eventfd_write(door->wake, 1);
    while (!door->closed)
        pthread_cond_wait(&door->changed, &door->mutex);
    pthread_mutex_unlock(&door->mutex);
}

static void end_thread(struct door *door)
{
    if (!door->running)
        return;
    pthread_mutex_lock(&door->mutex);
    door->stop_ms = clock_ms() + LAST_MS;
    pthread_mutex_unlock(&door->mutex);
    eventfd_write(door->wake, 1);
    pthread_join(door->thread, NULL);
    door->running = false;
}

void door_free(struct door *door)
{
    if (!door)
        return;
    door_close(door);
    end_thread(door);
    for (size_t i = 0; i < door->listening_count; i++)
        close(door->listening[i]); // it never ran
    if (door->epoll >= 0)
        close(door->epoll);
    if (door->wake >= 0)
        close(door->wake);
    while (door->count)
        table_remove(door, door->count - 1);
    pthread_cond_destroy(&door->changed);
    pthread_mutex_destroy(&door->mutex);
    mem_free(door->live);
    mem_free(door->by_fd);
    mem_free(door);
}

/* ---- what the server says */

struct door_ticket door_ticket(struct door *door, int fd)
{
    struct door_ticket ticket = {.fd = fd};
    pthread_mutex_lock(&door->mutex);
    if (fd >= 0 && (size_t)fd < door->slots && door->by_fd[fd] && door->by_fd[fd]->state != WAITING)
        ticket.serial = door->by_fd[fd]->serial;
    pthread_mutex_unlock(&door->mutex);
    return ticket;
}

void door_used(struct door *door, struct door_ticket ticket, size_t bytes)
{
    pthread_mutex_lock(&door->mutex);
    struct connection *c = table_find(door, ticket);
    if (c) {
        c->used += bytes + PER_MESSAGE;
        c->idle_since_ms = clock_ms();
    }
    pthread_mutex_unlock(&door->mutex);
}

void door_keep(struct door *door, struct door_ticket ticket, enum door_keep keep, int change)
{
    pthread_mutex_lock(&door->mutex);
    struct connection *c = table_find(door, ticket);
    if (c) {
        c->kept[keep] += change;
        c->idle_since_ms = clock_ms();
    }
    pthread_mutex_unlock(&door->mutex);
}

/* What a new call sends is measured often for a while: a flood sends 100 MB in the time between two
 * ticks. mutex held. */
static void look_closely(struct door *door)
{
    const int64_t now = clock_ms();
    const bool wake = door->options.unused_bytes && now > door->hurry_until_ms;
    if (now > door->hurry_until_ms - CLOSELY_MS / 2)
        door->hurry_until_ms = now + CLOSELY_MS;
    if (wake)
        eventfd_write(door->wake, 1);
}

bool door_call(struct door *door, struct door_ticket ticket)
{
    pthread_mutex_lock(&door->mutex);
    struct connection *c = table_find(door, ticket);
    if (c) {
        c->calls++;
        c->calls_made++;
        look_closely(door);
        if (door->options.calls && c->calls > door->options.calls)
            table_cut(door, c, CUT_RESETS, clock_ms());
    }
    const bool open = c && c->state != CUT;
    pthread_mutex_unlock(&door->mutex);
    return open;
}

void door_call_over(struct door *door, struct door_ticket ticket, bool wasted)
{
    pthread_mutex_lock(&door->mutex);
    struct connection *c = table_find(door, ticket);
    if (c)
        c->calls--;
    if (c && wasted) {
        const int64_t now = clock_ms();
        c->wasted -= (double)(now - c->wasted_ms) * WASTED_FORGIVEN_PER_S / 1000;
        c->wasted = (c->wasted < 0 ? 0 : c->wasted) + 1;
        c->wasted_ms = now;
        if (door->options.calls && c->wasted > WASTED_MAX)
            table_cut(door, c, CUT_RESETS, now);
    }
    pthread_mutex_unlock(&door->mutex);
}

char *door_peer(struct door *door, struct door_ticket ticket)
{
    pthread_mutex_lock(&door->mutex);
    const struct connection *c = table_find(door, ticket);
    char *text = c ? table_peer_text(c) : NULL;
    pthread_mutex_unlock(&door->mutex);
    return text;
}

bool door_identity(struct door *door, struct door_ticket ticket, struct identity *ret)
{
    pthread_mutex_lock(&door->mutex);
    const struct connection *c = table_find(door, ticket);
    const bool known = c && c->identity;
    if (known)
        *ret = *c->identity;
    pthread_mutex_unlock(&door->mutex);
    return known;
}
