/* The client of HTTP pages: against servers of all manners, and against a daemon's port with
 * TLS. */
#include "base/clock.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/http_get.h"
#include "svc/http_ports.h"
#include "testing/certificates.h"
#include "testing/testing.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_MS = 30000, SHORT_MS = 200 };

/* A server that answers one request with these bytes, whatever it is, and then closes or waits. */
struct server {
    int listening;
    const char *answer;
    size_t len;
    bool waits;
    char address[32], request[4096];
    pthread_t thread;
};

static void *serve_one(void *arg)
{
    struct server *server = arg;
    size_t len = 0;
    int fd = accept(server->listening, NULL, NULL);
    while (len < sizeof server->request - 1 && !strstr(server->request, "\r\n\r\n")) {
        const ssize_t got = recv(fd, server->request + len, sizeof server->request - 1 - len, 0);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    for (size_t done = 0; done < server->len;) {
        const ssize_t put = send(fd, server->answer + done, server->len - done, MSG_NOSIGNAL);
        if (put <= 0)
            break;
        done += (size_t)put;
    }
    char unused;
    while (server->waits && recv(fd, &unused, 1, 0) > 0)
        ;
    close(fd);
    return NULL;
}

static void start(struct server *server, const void *answer, size_t len)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof at;
    *server = (struct server){.answer = answer, .len = len, .waits = server->waits};
    server->listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listening, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(server->listening, 1), 0);
    getsockname(server->listening, (struct sockaddr *)&at, &size);
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, serve_one, server), 0);
}

static void end(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->listening);
}

static err_t get_from(struct server *server, const void *answer, size_t len, int64_t timeout_ms,
                      struct http_got *ret)
{
    start(server, answer, len);
    err_t failed = http_get(&(struct http_get_options){.address = server->address,
                                                       .path = "/a/b",
                                                       .timeout_ms = timeout_ms},
                            ret);
    end(server);
    return failed;
}

static void an_answer_is_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *type, *body;
        unsigned status;
    } good[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
         "text/plain", "hello", 200},
        {"HTTP/1.0 404 Not Found\r\n\r\nnone", "", "none", 404},
        {"HTTP/1.1 503 \r\ncontent-length:   0\r\ncontent-type:\tx\r\n\r\n", "x", "", 503},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct server server = {0};
        SCOPED_VALUE(http_got) got = {0};
        assert_ok(get_from(&server, good[i].answer, strlen(good[i].answer), TIMEOUT_MS, &got));
        assert_int_equal(got.status, good[i].status);
        assert_string_equal(got.type, good[i].type);
        assert_string_equal(got.body.len ? (char *)got.body.data : "", good[i].body);
        SCOPED_MEM char *request = mem_printf(
            "GET /a/b HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", server.address);
        assert_string_equal(server.request, request);
    }
}

static void what_is_no_whole_answer_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "hello",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "HTTP/1.1 999 OK\r\n\r\n",
        "HTTP/1.1200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct server server = {0};
        SCOPED_VALUE(http_got) got = {0};
        assert_err(ERR_DATA_LOSS, ": no answer of HTTP/1.1: ",
                   get_from(&server, bad[i], strlen(bad[i]), TIMEOUT_MS, &got));
    }
    struct server server = {0};
    SCOPED_VALUE(http_got) got = {0};
    assert_err(ERR_DATA_LOSS, "its headers",
               get_from(&server, "HTTP/1.1 200 OK\r\nX: \0y\r\n\r\n", 26, TIMEOUT_MS, &got));
    SCOPED_MEM char *endless = mem_new(HTTP_GET_MAX_BYTES + 2);
    memset(endless, 'x', HTTP_GET_MAX_BYTES + 1);
    assert_err(ERR_RANGE, "longer than",
               get_from(&server, endless, HTTP_GET_MAX_BYTES + 1, TIMEOUT_MS, &got));
}

static void every_wait_ends(void **state)
{
    (void)state;
    struct server server = {.waits = true};
    SCOPED_VALUE(http_got) got = {0};
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Le";
    assert_err(ERR_DEADLINE, "127.0.0.1:", get_from(&server, "", 0, SHORT_MS, &got));
    assert_err(ERR_DEADLINE, "no answer in 200 ms",
               get_from(&server, half, strlen(half), SHORT_MS, &got));
    const struct http_get_options nobody = {
        .address = server.address, .path = "/", .timeout_ms = TIMEOUT_MS};
    assert_err(ERR_UNAVAILABLE, "Connection refused", http_get(&nobody, &got));
    const struct http_get_options nonsense = {.address = "x", .path = "/", .timeout_ms = SHORT_MS};
    assert_err(ERR_INVALID, "no port", http_get(&nonsense, &got));
}

/* ---- TLS */

struct rig {
    const char *directory;
    struct authority *ca, *other;
};

static char *keys_at(const struct rig *rig, const char *name)
{
    return testing_path(rig->directory, name);
}

/* The client has the keys of `client`, the server those of `server`. */
static err_t get_by(const struct rig *rig, const char *server, const char *client,
                    struct http_got *ret)
{
    struct security serves = {.run = NULL}, asks = {.run = "sort"};
    SCOPED(tls_keys) theirs = NULL;
    SCOPED(tls_keys) ours = NULL;
    SCOPED(http_ports) ports = NULL; // ends before the keys do
    struct address at;
    assert_ok(tls_keys_open(keys_at(rig, server), &theirs));
    assert_ok(tls_keys_open(keys_at(rig, client), &ours));
    serves.keys = theirs;
    asks.keys = ours;
    assert_ok(http_ports_open(&(struct http_ports_options){.probes = "127.0.0.1:0",
                                                           .metrics = "0.0.0.0:0",
                                                           .security = &serves},
                              &ports));
    assert_ok(address_parse(http_ports_metrics(ports), &at));
    SCOPED_MEM char *address = mem_printf("0.0.0.0:%u", at.port); // here, and no loopback address
    return http_get(
        &(struct http_get_options){
            .address = address, .path = "/metrics", .security = &asks, .timeout_ms = TIMEOUT_MS},
        ret);
}

static void a_daemon_shows_its_certificate(void **state)
{
    (void)state;
    struct rig rig = {testing_directory(), authority_new("first"), authority_new("second")};
    SCOPED_VALUE(http_got) good = {0};
    SCOPED_VALUE(http_got) role = {0};
    SCOPED_VALUE(http_got) got = {0};
    authority_issue_to(rig.ca, "sort", "viewer", "anna", keys_at(&rig, "viewer"));
    authority_issue_to(rig.ca, "sort", "generator", "g", keys_at(&rig, "generator"));
    authority_issue_to(rig.ca, "sort", "learner", "learner", keys_at(&rig, "learner"));
    authority_issue_to(rig.ca, "sum", "learner", "learner", keys_at(&rig, "elsewhere"));
    authority_issue_to(rig.other, "sort", "learner", "learner", keys_at(&rig, "foreign"));
    const struct certificate stranger = {.uri = "spiffe://other/run/sort/learner/learner"};
    authority_issue(rig.ca, &stranger, keys_at(&rig, "domain"));
    assert_ok(get_by(&rig, "learner", "viewer", &good));
    assert_int_equal(good.status, 200);
    assert_non_null(strstr((char *)good.body.data, "process_resident_memory_bytes"));
    assert_ok(get_by(&rig, "learner", "generator", &role));
    assert_int_equal(role.status, 403);
    assert_err(ERR_DENIED, "no daemon", get_by(&rig, "viewer", "viewer", &got));
    assert_err(ERR_DENIED, "this is run 'sort'", get_by(&rig, "elsewhere", "viewer", &got));
    assert_err(ERR_DENIED, "this is domain 'testing'", get_by(&rig, "domain", "viewer", &got));
    assert_err(ERR_DENIED, "the server's certificate: ", get_by(&rig, "foreign", "viewer", &got));
    authority_free(rig.ca);
    authority_free(rig.other);
}

/* A server that speaks no TLS gets no request. */
static void plaintext_is_no_answer(void **state)
{
    (void)state;
    struct rig rig = {testing_directory(), authority_new("first"), NULL};
    struct server server = {0};
    SCOPED_VALUE(http_got) got = {0};
    SCOPED(tls_keys) keys = NULL;
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    authority_issue_to(rig.ca, "sort", "viewer", "anna", keys_at(&rig, "viewer"));
    assert_ok(tls_keys_open(keys_at(&rig, "viewer"), &keys));
    const struct security security = {.keys = keys, .run = "sort"};
    start(&server, answer, strlen(answer));
    SCOPED_MEM char *address = mem_printf("0.0.0.0%s", strchr(server.address, ':'));
    server.len = 0;
    assert_err(ERR_DEADLINE, "no answer",
               http_get(&(struct http_get_options){.address = address,
                                                   .path = "/metrics",
                                                   .security = &security,
                                                   .timeout_ms = SHORT_MS},
                        &got));
    end(&server);
    assert_null(strstr(server.request, "GET"));
    authority_free(rig.ca);
}

TESTS(cmocka_unit_test(an_answer_is_taken_apart),
      cmocka_unit_test(what_is_no_whole_answer_is_refused), cmocka_unit_test(every_wait_ends),
      cmocka_unit_test(a_daemon_shows_its_certificate), cmocka_unit_test(plaintext_is_no_answer))
