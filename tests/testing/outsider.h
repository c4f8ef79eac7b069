/* A client that the product's own would not be: TLS with any certificate or none, or no TLS, and
 * HTTP/2 by hand (testing/h2.h).
 *
 *     struct outsider o = outsider_connect(address, &(struct outsider_options){.tls = true, .from = "127.0.0.9"});
 *     outsider_asks(&o, "/rlhfd.v1.Prompts/Lease", "may not");      -- o.answer: what came back, as text
 *     outsider_pours(&o, "/rlhfd.v1.Prompts/Lease", 200 << 20);   -- a message without an end; how much was taken
 *     outsider_done(&o);
 *
 * The client believes every server. Owner: the test's thread. */
#pragma once
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/h2.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

enum { OUTSIDER_MS = 30000, OUTSIDER_ANSWER = 4096 };

struct outsider_options {
    bool tls;
    const char *keys; // a directory with tls.crt and tls.key; NULL: no certificate
    const char *from; // address of its own; NULL: any
    const char *alpn; // NULL: "h2"; "": none
};

struct outsider {
    int fd;
    SSL *ssl;
    char answer[OUTSIDER_ANSWER]; // bytes that are no text are '.'
    size_t len;
};

static inline int outsider_socket(const char *address, const char *from)
{
    struct address at;
    assert_ok(address_parse(address, &at));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(at.port)}, own = to;
    assert_int_equal(inet_pton(AF_INET, at.host, &to.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    own.sin_port = 0;
    if (from) {
        assert_int_equal(inet_pton(AF_INET, from, &own.sin_addr), 1);
        assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    const struct timeval patience = {.tv_sec = OUTSIDER_MS / 1000};
    const int at_once = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static inline void outsider_show(SSL_CTX *context, const char *keys)
{
    SCOPED_MEM char *certificate = mem_printf("%s/tls.crt", keys);
    SCOPED_MEM char *key = mem_printf("%s/tls.key", keys);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM), 1);
}

/* A handshake that fails leaves ssl NULL and the reason as the answer. */
static inline void outsider_shake(struct outsider *o, const struct outsider_options *options)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (options->keys)
        outsider_show(context, options->keys);
    o->ssl = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_fd(o->ssl, o->fd);
    if (!options->alpn)
        SSL_set_alpn_protos(o->ssl, (const uint8_t *)"\2h2", 3);
    if (SSL_connect(o->ssl) == 1)
        return;
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    o->len = (size_t)snprintf(o->answer, sizeof o->answer, "no handshake: %s",
                              reason ? reason : "closed");
    ERR_clear_error();
    SSL_free(STEAL(o->ssl));
}

static inline struct outsider outsider_connect(const char *address,
                                               const struct outsider_options *options)
{
    struct outsider o = {.fd = outsider_socket(address, options->from)};
    signal(SIGPIPE, SIG_IGN); // OpenSSL writes without MSG_NOSIGNAL
    if (options->tls)
        outsider_shake(&o, options);
    return o;
}

static inline void outsider_done(struct outsider *o)
{
    SSL_free(o->ssl);
    close(o->fd);
}

static inline bool outsider_send(struct outsider *o, const void *data, size_t len)
{
    if (!o->ssl)
        return tcp_send(o->fd, data, len);
    const bool sent = SSL_write(o->ssl, data, (int)len) == (int)len;
    ERR_clear_error();
    return sent;
}

/* Adds to the answer until a part is in it, the server closes, or says nothing for long. */
static inline void outsider_listen(struct outsider *o, const char *part)
{
    uint8_t data[4096];
    while (!*o->answer || !strstr(o->answer, part)) {
        const ssize_t got =
            o->ssl ? SSL_read(o->ssl, data, sizeof data) : recv(o->fd, data, sizeof data, 0);
        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got && o->len + 1 < sizeof o->answer; i++)
            o->answer[o->len++] = data[i] < ' ' || data[i] > '~' ? '.' : (char)data[i];
        o->answer[o->len] = '\0';
    }
    ERR_clear_error();
}

/* HTTP/2's preface, then the head of one call. */
static inline bool outsider_begins(struct outsider *o, const char *path)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t out[1024];
    size_t len = sizeof preface - 1;
    memcpy(out, preface, len);
    len += h2_put(out + len, H2_SETTINGS, 0, 0, "", 0);
    len += h2_put_call(out + len, 1, path);
    return outsider_send(o, out, len);
}

static inline void outsider_asks(struct outsider *o, const char *path, const char *part)
{
    if (o->len)
        return; // there was no handshake
    outsider_begins(o, path);
    outsider_listen(o, part);
}

/* Sends a message of len bytes, whatever the server says; how many were taken. */
static inline size_t outsider_pours(struct outsider *o, const char *path, size_t len)
{
    enum { BLOCK = 16384 };
    static uint8_t frame[9 + BLOCK];
    static const uint8_t block[BLOCK];
    size_t sent = 0;
    if (!outsider_begins(o, path))
        return 0;
    const uint8_t head[5] = {0, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                             (uint8_t)len};
    if (!outsider_send(o, frame, h2_put(frame, H2_DATA, 0, 1, head, sizeof head)))
        return 0;
    for (; sent < len; sent += BLOCK)
        if (!outsider_send(o, frame, h2_put(frame, H2_DATA, 0, 1, block, BLOCK)))
            break;
    return sent;
}
