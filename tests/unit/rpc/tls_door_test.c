/* The door of a port with TLS, and clients that are none of gRPC's. Some never finish a handshake,
 * some show nothing, do not read, or speak something else. */
#include "svc/metrics.h"
#include "testing/h2.h"
#include "tls_rig.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

enum { MIB = 1 << 20, PEER_MOST = 96 };

/* ---- a TLS client by hand, which waits */

struct client {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
};

/* keys: a directory; NULL: it shows no certificate. The server's is not verified. */
static struct client client_of(const char *target, const char *keys, const char *alpn, int version)
{
    signal(SIGPIPE, SIG_IGN); // the server closes first
    struct client c = {.fd = tcp_connect(target), .context = SSL_CTX_new(TLS_client_method())};
    SSL_CTX_set_max_proto_version(c.context, version);
    if (keys) {
        SCOPED_MEM char *certificate = mem_printf("%s/tls.crt", keys);
        SCOPED_MEM char *key = mem_printf("%s/tls.key", keys);
        assert_int_equal(SSL_CTX_use_certificate_chain_file(c.context, certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(c.context, key, SSL_FILETYPE_PEM), 1);
    }
    c.ssl = SSL_new(c.context);
    SSL_set_fd(c.ssl, c.fd);
    SSL_set_alpn_protos(c.ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    struct timeval patience = {.tv_sec = 30};
    setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return c;
}

static void client_done(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    close(c->fd);
    ERR_clear_error();
}

/* Preface and the beginning of a call. */
static void client_calls(struct client *c)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t out[600];
    size_t len = strlen(preface);
    memcpy(out, preface, len);
    len += h2_put(out + len, H2_SETTINGS, 0, 0, "", 0);
    len += h2_put_call(out + len, 1, GET_STATUS);
    assert_int_equal(SSL_write(c->ssl, out, (int)len), (int)len);
}

/* All that the server sends until it closes. */
static void client_reads(struct client *c, struct bytes *ret)
{
    char data[4096];
    int got;
    while ((got = SSL_read(c->ssl, data, sizeof data)) > 0)
        bytes_put(ret, data, (size_t)got);
    assert_int_equal(SSL_get_error(c->ssl, got), SSL_ERROR_ZERO_RETURN); // an orderly end
}

static bool holds(const struct bytes *bytes, const char *text)
{
    return bytes->len && memmem(bytes->data, bytes->len, text, strlen(text));
}

/* The server says why, and nothing of the call has come. */
static void is_refused(struct rig *rig, const char *keys, const char *why)
{
    SCOPED_VALUE(bytes) answer = {0};
    struct client c = client_of(rig->lo.target, keys, "\2h2", TLS1_3_VERSION);
    assert_int_equal(SSL_connect(c.ssl), 1); // in TLS 1.3 a client learns of it later
    client_calls(&c);
    client_reads(&c, &answer);
    assert_true(holds(&answer, why));
    assert_int_equal(rig->lo.received, 0);
    client_done(&c);
}

static void without_a_certificate(void **)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    is_refused(&rig, NULL, "no certificate was shown");
    asks(&rig, ERR_NONE, "");
    rig_done(&rig);
}

static void of_another_domain(void **)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    const char *keys = testing_path(testing_directory(), "elsewhere");
    authority_issue(
        rig.ca, &(struct certificate){.uri = "spiffe://elsewhere/run/sort/generator/one"}, keys);
    is_refused(&rig, keys, "the certificate is of domain 'elsewhere'; this is domain 'testing'");
    asks(&rig, ERR_NONE, "");
    rig_done(&rig);
}

static void older_tls_and_other_protocols(void **)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    struct client old = client_of(rig.lo.target, rig.client, "\2h2", TLS1_2_VERSION);
    assert_true(SSL_connect(old.ssl) != 1);
    client_done(&old);
    struct client other = client_of(rig.lo.target, rig.client, "\10http/1.1", TLS1_3_VERSION);
    assert_true(SSL_connect(other.ssl) != 1);
    client_done(&other);
    /* TLS without HTTP/2 inside. */
    struct client mute = client_of(rig.lo.target, rig.client, "\2h2", TLS1_3_VERSION);
    char unused;
    assert_int_equal(SSL_connect(mute.ssl), 1);
    assert_int_equal(SSL_write(mute.ssl, "PRI * HTTP/1.0\r\n", 16), 16);
    assert_true(SSL_read(mute.ssl, &unused, 1) <= 0);
    client_done(&mute);
    asks(&rig, ERR_NONE, "");
    rig_done(&rig);
}

static void http_in_plaintext_is_answered(void **)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    struct rig rig;
    char answer[1024] = "";
    size_t len = 0;
    rig_init(&rig);
    rig_start(&rig);
    const int fd = tcp_connect(rig.lo.target);
    assert_true(tcp_send(fd, request, strlen(request)));
    for (ssize_t got = 1; got > 0 && len<sizeof answer - 1; len += got> 0 ? (size_t)got : 0)
        got = recv(fd, answer + len, sizeof answer - 1 - len, 0);
    assert_non_null(strstr(answer, "HTTP/1.1 400 Bad Request"));
    assert_non_null(strstr(answer, "this port takes TLS alone"));
    close(fd);
    rig_done(&rig);
}

/* ---- hands that are never shaken */

static int count_open(const int *fds, int count)
{
    int open = 0;
    for (int i = 0; i < count; i++)
        open += tcp_is_open(fds[i]);
    return open;
}

/* Half of them send the beginning of a handshake. */
static void half_open_connections_give_way(void **)
{
    enum { FLOOD = 160 };
    static const char begins[] = {22, 3, 1, 2, 0, 1, 0};
    struct rig rig;
    struct call_outcome out = {0};
    int fds[FLOOD];
    rig_init(&rig);
    rig_start(&rig);
    struct rpc_call *call = open_append(&rig.lo, NULL, &out);
    until(&rig.lo, is_set, &out.opened);
    for (int i = 0; i < FLOOD; i++) {
        fds[i] = tcp_connect(rig.lo.target);
        if (i % 2)
            tcp_send(fds[i], begins, sizeof begins);
    }
    while (count_open(fds, FLOOD) > PEER_MOST)
        run_for(&rig.lo, 10);
    assert_int_equal(count_open(fds, FLOOD - PEER_MOST), 0); // the oldest have gone
    rpc_channel_free(rig.lo.channel);
    connect_to(&rig.lo, 0);
    asks_in_the_end(&rig);
    while (count_open(fds, FLOOD)) // their time is over
        run_for(&rig.lo, 50);
    assert_false(out.closed);
    for (int i = 0; i < FLOOD; i++)
        close(fds[i]);
    rpc_call_cancel(call);
    until(&rig.lo, is_set, &out.closed);
    outcome_done(&out);
    rig_done(&rig);
}

/* ---- a good certificate is no licence */

static void sum_named(void *arg, const char *name, double value)
{
    struct {
        const char *name;
        double value;
    } *wanted = arg;
    if (strcmp(name, wanted->name) == 0)
        wanted->value = value;
}

static double closed_for(const char *name)
{
    struct {
        const char *name;
        double value;
    } wanted = {name, 0};
    metrics_each(sum_named, &wanted);
    return wanted.value;
}

static void resets_are_bounded(void **)
{
    static const char reason[] = "rlhfd_connections_closed_total{reason=\"resets\"}";
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    enum { RESETS = 200000 };
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    asks_in_the_end(&rig);
    const double before = closed_for(reason);
    struct client c = client_of(rig.lo.target, rig.client, "\2h2", TLS1_3_VERSION);
    assert_int_equal(SSL_connect(c.ssl), 1);
    client_calls(&c);
    uint32_t stream = 3;
    for (size_t len = 1; len && stream < 2 * RESETS; stream += 2) {
        uint8_t out[400];
        len = h2_put_call(out, stream, GET_STATUS);
        len += h2_put(out + len, H2_RST, 0, stream, cancel, 4);
        if (SSL_write(c.ssl, out, (int)len) <= 0 || !tcp_is_open(c.fd))
            break;
    }
    assert_true(stream < 2 * RESETS);
    assert_true(closed_for(reason) > before);
    client_done(&c);
    asks_in_the_end(&rig);
    rig_done(&rig);
}

static void silence_ends_a_connection(void **)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct rig rig;
    struct call_outcome out = {0};
    rig_init(&rig);
    rig.idle_ms = 2000; // a handshake of a busy machine is done by then
    rig_start(&rig);
    struct rpc_call *call = open_append(&rig.lo, NULL, &out); // open, though it says nothing
    until(&rig.lo, is_set, &out.opened);
    struct client c = client_of(rig.lo.target, rig.client, "\2h2", TLS1_3_VERSION);
    assert_int_equal(SSL_connect(c.ssl), 1);
    assert_int_equal(SSL_write(c.ssl, preface, sizeof preface - 1), sizeof preface - 1);
    while (tcp_is_open(c.fd))
        run_for(&rig.lo, 50);
    assert_false(out.closed);
    client_done(&c);
    rpc_call_cancel(call);
    until(&rig.lo, is_set, &out.closed);
    outcome_done(&out);
    rig_done(&rig);
}

/* ---- back-pressure */

/* A server that does not read stops its client: all but some buffers stays there. */
static void a_server_that_does_not_read(void **)
{
    enum { MESSAGES = 48 };
    struct rig rig;
    struct call_outcome out = {0};
    rig_init(&rig);
    rig_start(&rig);
    rig.lo.hold = true;
    struct rpc_call *call = open_append(&rig.lo, NULL, &out);
    until(&rig.lo, is_set, &out.opened);
    for (int i = 0; i < MESSAGES; i++) {
        SCOPED(rpc_message) group = group_message((uint64_t)i, MIB);
        assert_true(rpc_call_send_message(call, group));
    }
    size_t queued = 0;
    for (int still = 0; still < 10; run_for(&rig.lo, 50)) { // until nothing moves any more
        still = rpc_call_queued(call) == queued ? still + 1 : 0;
        queued = rpc_call_queued(call);
    }
    assert_true(queued > (MESSAGES - 16) * (size_t)MIB);
    assert_int_equal(rig.lo.received, 0);
    rpc_call_resume(rig.lo.held);
    until_count(&rig.lo, &out.messages, MESSAGES);
    rpc_call_half_close(call);
    until(&rig.lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    outcome_done(&out);
    rig_done(&rig);
}

/* Nor does a client that reads nothing hold up others. */
static void a_client_that_does_not_read(void **)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    struct client deaf = client_of(rig.lo.target, rig.client, "\2h2", TLS1_3_VERSION);
    assert_int_equal(SSL_connect(deaf.ssl), 1);
    client_calls(&deaf);
    const struct timeval briefly = {.tv_usec = 300000};
    setsockopt(deaf.fd, SOL_SOCKET, SO_SNDTIMEO, &briefly, sizeof briefly);
    uint8_t pings[4096];
    size_t len = 0;
    while (len + 17 <= sizeof pings)
        len += h2_put(pings + len, 6, 0, 0, "01234567", 8);
    for (int i = 0; i < 4000 && SSL_write(deaf.ssl, pings, (int)len) > 0; i++)
        ;                  // each is to be answered
    asks_in_the_end(&rig); // core reads the pings first
    client_done(&deaf);
    rig_done(&rig);
}

TESTS(cmocka_unit_test(without_a_certificate), cmocka_unit_test(of_another_domain),
      cmocka_unit_test(older_tls_and_other_protocols),
      cmocka_unit_test(http_in_plaintext_is_answered),
      cmocka_unit_test(half_open_connections_give_way), cmocka_unit_test(resets_are_bounded),
      cmocka_unit_test(silence_ends_a_connection), cmocka_unit_test(a_server_that_does_not_read),
      cmocka_unit_test(a_client_that_does_not_read))
