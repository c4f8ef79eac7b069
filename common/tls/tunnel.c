#include "tls/tunnel.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tls/certificate.h"
#include "tls/keyset.h"
#include "tls/refusal.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RECORD = 16384,
    GREETING_MAX = 32,
    HANDSHAKE = 22, // first byte of a TLS handshake
    LEAVE_MS = 500,
    DROPPED_MAX = 1 << 20,
};

/* A turn costs time, however few bytes a record has: as much as so many. */
enum { TURN = 512 };

/* Bytes on their way: [at, len) are not delivered. */
struct stretch {
    size_t at, len;
    uint8_t data[RECORD];
};

struct tunnel {
    struct tls_set *set;
    SSL *ssl;
    int fd, end; // the socket, and our end of the pair; -1: none yet
    enum tunnel_state state;
    struct tunnel_options options;
    struct shaking shaking;
    bool begun, shaken, plain; // plain: the client speaks no TLS, and is told so without
    char why[REFUSAL_TEXT];
    struct refusal refusal;
    struct bytes answer; // to who is refused
    size_t answered;
    int64_t leave_ms; // until then a refused client may go by itself; 0: not answered yet
    X509 *peer;
    struct identity identity;
    bool identified;
    int64_t good_until_s;
    struct stretch *in, *out; // from the socket, and to it; made when hands are shaken
    /* The socket: read to its end, closed for writing by us, of no more use. */
    bool net_ended, net_closed, net_dead;
    bool end_ended, end_closed; // the pair likewise
    size_t dropped;
    uint64_t received, sent;
    atomic_bool cut;
};

/* ---- the socket: TLS, or plain for who speaks none. > 0: bytes; 0: not now; -1: no more */

static ssize_t after_ssl(struct tunnel *t, int got)
{
    const int why = SSL_get_error(t->ssl, got);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return 0;
    if (why != SSL_ERROR_ZERO_RETURN)
        t->net_dead = true;
    ERR_clear_error();
    return -1;
}

static ssize_t after_call(struct tunnel *t, ssize_t got)
{
    if (got > 0)
        return got;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    t->net_dead |= got < 0;
    return -1;
}

static ssize_t net_read(struct tunnel *t, void *to, size_t len)
{
    if (t->plain)
        return after_call(t, recv(t->fd, to, len, MSG_DONTWAIT));
    const int got = SSL_read(t->ssl, to, (int)len);
    return got > 0 ? got : after_ssl(t, got);
}

static ssize_t net_write(struct tunnel *t, const void *data, size_t len)
{
    if (t->plain)
        return after_call(t, send(t->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL));
    const int put = SSL_write(t->ssl, data, (int)len);
    return put > 0 ? put : after_ssl(t, put);
}

/* Says that nothing more comes. */
static void net_close(struct tunnel *t)
{
    if (t->net_closed || t->net_dead)
        return;
    const int said = t->plain ? 1 : SSL_shutdown(t->ssl);
    if (said < 0 && SSL_get_error(t->ssl, said) == SSL_ERROR_WANT_WRITE)
        return;
    ERR_clear_error();
    shutdown(t->fd, SHUT_WR);
    t->net_closed = true;
}

/* Reads bytes that nobody wants: a reset would overtake our last ones. A peer that sends on and
 * on does not wait for those. True: some came. */
static bool net_drop(struct tunnel *t)
{
    uint8_t unused[4096];
    if (t->net_ended || t->net_dead)
        return false;
    const ssize_t got = net_read(t, unused, sizeof unused);
    t->net_ended |= got < 0;
    t->dropped += got > 0 ? (size_t)got : 0;
    t->net_dead |= t->dropped > DROPPED_MAX;
    return got > 0;
}

/* ---- refusing */

static enum tunnel_state refuse(struct tunnel *t, const char *why)
{
    snprintf(t->why, sizeof t->why, "%s", why);
    t->refusal = refusal_of(why);
    return TUNNEL_REFUSES;
}

static bool refuse_take(struct tunnel *t)
{
    uint8_t data[4096];
    const ssize_t got = net_read(t, data, sizeof data);
    if (got > 0)
        refusal_take(&t->refusal, data, (size_t)got, &t->answer);
    t->net_ended |= got < 0;
    return got > 0;
}

static bool refuse_say(struct tunnel *t)
{
    if (t->answered == t->answer.len || t->net_dead)
        return false;
    const ssize_t put = net_write(t, t->answer.data + t->answered, t->answer.len - t->answered);
    t->answered += put > 0 ? (size_t)put : 0;
    return put > 0;
}

/* Whose call was answered goes by itself once it has read that no other will be. Core's own client
 * loses the answer if the end of the connection comes with it. */
static bool is_leaving(struct tunnel *t)
{
    if (!t->refusal.stream)
        return false;
    if (!t->leave_ms)
        t->leave_ms = clock_ms() + LEAVE_MS;
    return clock_ms() < t->leave_ms;
}

static enum tunnel_state refusing(struct tunnel *t)
{
    bool more = true;
    while (more && !t->net_dead) {
        const bool done = t->refusal.done;
        more = done ? net_drop(t) : !t->net_ended && refuse_take(t);
        more |= refuse_say(t);
        if (t->refusal.done && t->answered == t->answer.len && !is_leaving(t))
            net_close(t);
    }
    return t->net_dead || t->net_ended ? TUNNEL_OVER : TUNNEL_REFUSES;
}

/* ---- shaking hands */

static enum tunnel_state over(struct tunnel *t, const char *why)
{
    snprintf(t->why, sizeof t->why, "%s", why);
    return TUNNEL_OVER;
}

/* Whether the peer may come in: fails closed. */
static err_t judge(struct tunnel *t)
{
    t->peer = SSL_get1_peer_certificate(t->ssl);
    if (!t->peer && (!t->options.client || t->options.optional))
        return OK;
    if (!t->peer)
        return err_new(ERR_DENIED, "no certificate was shown");
    if (t->shaking.faults)
        return err_new(ERR_DENIED, "%s", t->shaking.why);
    if (SSL_get_verify_result(t->ssl) != X509_V_OK)
        return certificate_fault((int)SSL_get_verify_result(t->ssl), t->peer);
    TRY(certificate_identity(t->peer, &t->identity));
    TRY(identity_belongs(&t->identity, "the certificate is", tls_set_identity(t->set),
                         t->options.run));
    t->identified = true;
    const int64_t own = certificate_not_after_s(t->peer);
    const int64_t chain = certificate_chain_end_s(SSL_get0_verified_chain(t->ssl));
    t->good_until_s = own < chain ? own : chain;
    return OK;
}

static enum tunnel_state shake(struct tunnel *t)
{
    const int done = SSL_accept(t->ssl);
    const int number = errno;
    if (done != 1) {
        const int why = SSL_get_error(t->ssl, done);
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
            return TUNNEL_SHAKES;
        const unsigned long first = ERR_peek_error();
        const char *reason = first ? ERR_reason_error_string(first) : NULL;
        ERR_clear_error();
        if (!reason)
            reason = number ? strerrordesc_np(number) : "the client has left";
        return over(t, reason);
    }
    t->shaken = true;
    const err_t e = judge(t);
    const enum tunnel_state next = err_failed(e) ? refuse(t, err_message(e)) : TUNNEL_SHAKES;
    err_free(e);
    t->in = mem_new(sizeof *t->in);
    t->out = mem_new(sizeof *t->out);
    return next;
}

/* The first bytes inside; they stay in `in`. */
static enum tunnel_state greet(struct tunnel *t)
{
    const char *greeting = t->options.greeting ? t->options.greeting : "";
    const size_t len = strlen(greeting);
    while (t->in->len < len) {
        const ssize_t got = net_read(t, t->in->data + t->in->len, len - t->in->len);
        if (got < 0)
            return over(t,
                        "the client left after the handshake: it refuses this server, or gave up");
        if (!got)
            return TUNNEL_SHAKES;
        t->in->len += (size_t)got;
        if (memcmp(t->in->data, greeting, t->in->len) != 0)
            return over(t, "the client speaks another protocol inside TLS");
    }
    return TUNNEL_READY;
}

/* A TLS client speaks first, and its first byte is known. */
static enum tunnel_state begin(struct tunnel *t)
{
    uint8_t first;
    const ssize_t got = recv(t->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return TUNNEL_SHAKES;
    if (got != 1)
        return TUNNEL_OVER; // a probe of the port: no reason to say anything
    t->begun = true;
    if (first == HANDSHAKE)
        return shake(t);
    t->plain = true;
    return refuse(t, "the client speaks plaintext; this port takes TLS alone");
}

static enum tunnel_state shaking(struct tunnel *t)
{
    enum tunnel_state next = t->shaken ? TUNNEL_SHAKES : t->begun ? shake(t) : begin(t);
    if (next == TUNNEL_SHAKES && t->shaken)
        next = greet(t);
    return next == TUNNEL_REFUSES ? refusing(t) : next;
}

/* ---- carrying */

static bool pull_net(struct tunnel *t)
{
    if (t->in->at < t->in->len || t->net_ended || t->net_dead)
        return false;
    const ssize_t got = net_read(t, t->in->data, RECORD);
    t->in->at = 0;
    t->in->len = got > 0 ? (size_t)got : 0;
    t->net_ended |= got < 0;
    return got > 0;
}

static bool push_end(struct tunnel *t)
{
    const size_t left = t->in->len - t->in->at;
    if (t->end_closed)
        return false;
    if (!left && (t->net_ended || t->net_dead)) {
        shutdown(t->end, SHUT_WR);
        t->end_closed = true;
    }
    if (!left)
        return false;
    const ssize_t put = send(t->end, t->in->data + t->in->at, left, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        t->end_closed = true; // the server reads no more
        t->in->at = t->in->len;
        return true;
    }
    t->in->at += put > 0 ? (size_t)put : 0;
    t->received += put > 0 ? (uint64_t)put : 0;
    return put > 0;
}

static bool pull_end(struct tunnel *t)
{
    if (t->out->at < t->out->len || t->end_ended)
        return false;
    const ssize_t got = recv(t->end, t->out->data, RECORD, MSG_DONTWAIT);
    t->out->at = 0;
    t->out->len = got > 0 ? (size_t)got : 0;
    t->end_ended |=
        got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
    return got > 0;
}

static bool push_net(struct tunnel *t)
{
    const size_t left = t->out->len - t->out->at;
    if (t->net_dead)
        return false;
    if (!left && t->end_ended)
        net_close(t);
    if (!left)
        return false;
    const ssize_t put = net_write(t, t->out->data + t->out->at, left);
    t->out->at += put > 0 ? (size_t)put : 0;
    t->sent += put > 0 ? (uint64_t)put : 0;
    return put > 0;
}

static enum tunnel_state carry(struct tunnel *t, size_t budget, bool *ret_more)
{
    const uint64_t until = t->received + t->sent + budget;
    bool more = true;
    for (size_t turns = 0; more && t->received + t->sent + turns * TURN < until; turns++) {
        more = t->end_closed ? net_drop(t) : pull_net(t);
        more |= push_end(t);
        more |= pull_end(t);
        more |= push_net(t);
    }
    *ret_more = more;
    const bool ended = t->net_ended && t->in->at == t->in->len && t->net_closed;
    return t->net_dead || ended ? TUNNEL_OVER : TUNNEL_CARRIES;
}

/* ---- from outside */

struct tunnel *tunnel_new(struct tls_set *set, int fd, const struct tunnel_options *options)
{
    SSL *ssl = SSL_new(set->server);
    if (!ssl || !SSL_set_fd(ssl, fd)) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    struct tunnel *t = mem_new(sizeof *t);
    t->set = tls_set_ref(set);
    t->ssl = ssl;
    t->fd = fd;
    t->end = -1;
    t->options = *options;
    t->shaking.alpn = options->alpn;
    t->good_until_s = INT64_MAX;
    atomic_init(&t->cut, false);
    SSL_set_app_data(ssl, &t->shaking);
    if (options->client)
        SSL_set_verify(ssl, SSL_VERIFY_PEER, SSL_get_verify_callback(ssl));
    SSL_set_accept_state(ssl);
    return t;
}

void tunnel_free(struct tunnel *t)
{
    if (!t)
        return;
    X509_free(t->peer);
    SSL_free(t->ssl);
    ERR_clear_error();
    close(t->fd);
    if (t->end >= 0)
        close(t->end);
    tls_set_unref(t->set);
    bytes_done(&t->answer);
    free(t->in);
    free(t->out);
    free(t);
}

enum tunnel_state tunnel_step(struct tunnel *t, size_t budget, bool *ret_more)
{
    *ret_more = false;
    ERR_clear_error();
    if (atomic_load(&t->cut))
        t->state = TUNNEL_OVER;
    else if (t->state == TUNNEL_SHAKES)
        t->state = shaking(t);
    else if (t->state == TUNNEL_REFUSES)
        t->state = refusing(t);
    else if (t->state == TUNNEL_CARRIES)
        t->state = carry(t, budget, ret_more);
    return t->state;
}

int tunnel_join(struct tunnel *t)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return -1;
    t->end = pair[0];
    t->state = TUNNEL_CARRIES;
    return pair[1];
}

int tunnel_end(const struct tunnel *t)
{
    return t->end;
}

int tunnel_socket(const struct tunnel *t)
{
    return t->fd;
}

void tunnel_cut(struct tunnel *t, bool reset)
{
    const struct linger none = {.l_onoff = 1};
    if (reset)
        setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    atomic_store(&t->cut, true);
    shutdown(t->fd, SHUT_RDWR);
    if (t->end >= 0)
        shutdown(t->end, SHUT_RDWR);
}

const char *tunnel_why(const struct tunnel *t)
{
    return t->why;
}

const struct identity *tunnel_identity(const struct tunnel *t)
{
    return t->identified ? &t->identity : NULL;
}

int64_t tunnel_good_until_s(const struct tunnel *t)
{
    return t->good_until_s;
}

bool tunnel_leaves(const struct tunnel *t)
{
    return t->net_ended || t->net_closed || t->end_ended || t->end_closed || t->refusal.done;
}

err_t tunnel_verify(const struct tunnel *t, const struct tls_set *set)
{
    return t->identified
               ? tls_set_verify(set, "ssl_client", t->peer, SSL_get_peer_cert_chain(t->ssl))
               : OK;
}

uint64_t tunnel_received(const struct tunnel *t)
{
    return t->received;
}

uint64_t tunnel_sent(const struct tunnel *t)
{
    return t->sent;
}
