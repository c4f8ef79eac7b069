#include "tls/client_end.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tls/certificate.h"
#include "tls/keyset.h"
#include "tls/pem.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

struct tls_client {
    struct tls_set *set;
    SSL *ssl;
    int fd;
    int64_t until_ms;
};

static err_t wait_for(const struct tls_client *client, short events)
{
    struct pollfd one = {.fd = client->fd, .events = events};
    for (;;) {
        const int64_t left_ms = client->until_ms - clock_ms();
        if (left_ms <= 0)
            return err_new(ERR_DEADLINE, "no answer in time");
        const int ready = poll(&one, 1, left_ms < INT32_MAX ? (int)left_ms : INT32_MAX);
        if (ready > 0)
            return OK;
        if (ready < 0 && errno != EINTR)
            return err_errno(errno, "cannot wait");
    }
}

/* After a call that did not succeed: waits for what it wants, or says why it cannot go on. */
static err_t after(const struct tls_client *client, int result, bool *ret_ended)
{
    const int number = errno;
    switch (SSL_get_error(client->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(client, POLLIN);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(client, POLLOUT);
    case SSL_ERROR_ZERO_RETURN:
        *ret_ended = true;
        return OK;
    default:
        break;
    }
    const unsigned long first = ERR_peek_error();
    const char *why = first ? ERR_reason_error_string(first) : NULL;
    ERR_clear_error();
    if (!why)
        why = number ? strerrordesc_np(number) : "the server has left";
    return err_new(ERR_UNAVAILABLE, "TLS: %s", why);
}

/* ---- shaking hands */

static int on_verify(int verifies, X509_STORE_CTX *context)
{
    (void)context;
    return verifies;
}

static err_t judge(const struct tls_client *client, const char *run)
{
    struct identity who;
    char text[IDENTITY_TEXT], subject[IDENTITY_TEXT + 16];
    SCOPED_X509 X509 *peer = SSL_get1_peer_certificate(client->ssl);
    if (!peer)
        return err_new(ERR_DENIED, "the server shows no certificate");
    TRY(certificate_identity(peer, &who));
    identity_print(&who, text);
    if (!(who.role & IDENTITY_DAEMONS))
        return err_new(ERR_DENIED, "the server is %s, which is no daemon", text);
    snprintf(subject, sizeof subject, "the server is %s,", text);
    return identity_belongs(&who, subject, tls_set_identity(client->set), run);
}

static err_t shake(struct tls_client *client)
{
    for (bool ended = false; !ended;) {
        const int done = SSL_connect(client->ssl);
        if (done == 1)
            return OK;
        const long verified = SSL_get_verify_result(client->ssl);
        if (verified != X509_V_OK) {
            SCOPED_X509 X509 *peer = SSL_get1_peer_certificate(client->ssl);
            ERR_clear_error();
            return err_wrap(certificate_fault((int)verified, peer), "the server's certificate");
        }
        TRY(after(client, done, &ended));
    }
    return err_new(ERR_UNAVAILABLE, "TLS: the server has left");
}

/* ALPN's form: a length before the name. */
static bool offer(SSL *ssl, const char *alpn)
{
    uint8_t list[64];
    const size_t len = strlen(alpn);
    if (len + 1 > sizeof list)
        return false;
    list[0] = (uint8_t)len;
    memcpy(list + 1, alpn, len);
    return SSL_set_alpn_protos(ssl, list, (unsigned)len + 1) == 0;
}

err_t tls_client_open(struct tls_set *set, int fd, const struct tls_client_options *options,
                      struct tls_client **ret)
{
    SCOPED(tls_client) client = mem_new(sizeof *client);
    client->set = tls_set_ref(set);
    client->fd = fd;
    client->until_ms = options->until_ms;
    client->ssl = SSL_new(set->server);
    if (!client->ssl || !SSL_set_fd(client->ssl, fd) ||
        (options->alpn && !offer(client->ssl, options->alpn)))
        return openssl_failed("cannot begin TLS");
    SSL_set_verify(client->ssl, SSL_VERIFY_PEER, on_verify);
    SSL_set_connect_state(client->ssl);
    TRY(shake(client));
    TRY(judge(client, options->run));
    *ret = STEAL(client);
    return OK;
}

/* ---- bytes */

err_t tls_client_write(struct tls_client *client, const void *data, size_t len)
{
    bool ended = false;
    for (size_t done = 0; done < len && !ended;) {
        const int put = SSL_write(client->ssl, (const char *)data + done, (int)(len - done));
        if (put > 0)
            done += (size_t)put;
        else
            TRY(after(client, put, &ended));
    }
    return ended ? err_new(ERR_UNAVAILABLE, "TLS: the server has left") : OK;
}

err_t tls_client_read(struct tls_client *client, void *to, size_t len, size_t *ret)
{
    for (bool ended = false;;) {
        const int got = SSL_read(client->ssl, to, (int)len);
        *ret = got > 0 ? (size_t)got : 0;
        if (got > 0 || ended)
            return OK;
        TRY(after(client, got, &ended));
        if (ended)
            return OK;
    }
}

void tls_client_free(struct tls_client *client)
{
    if (!client)
        return;
    if (client->ssl)
        SSL_shutdown(client->ssl); // says the last word; nobody waits for an answer
    ERR_clear_error();
    SSL_free(client->ssl);
    tls_set_unref(client->set);
    mem_free(client);
}
