/* Metrics and the two HTTP ports of a daemon, and the addresses at which it listens. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/http_ports.h"
#include "svc/metrics.h"
#include "testing/h2.h"
#include "testing/testing.h"
#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct metric stored =
    METRIC_COUNTER("test_groups_stored_total", "groups made durable: a \\ and a\nline");
static struct metric depth = METRIC_GAUGE("test_queue_depth_groups", "groups that wait");
static struct metric left_stale =
    METRIC_LABELLED(METRIC_KIND_COUNTER, "test_left_total", "groups that left", "reason=\"stale\"");
static struct metric left_trained = METRIC_LABELLED(METRIC_KIND_COUNTER, "test_left_total",
                                                    "groups that left", "reason=\"trained\"");
static struct metric waited =
    METRIC_HISTOGRAM("test_wait_seconds", "from asking to a grant", 0.01, 0.1, 1);
static struct metric *const rows[] = {&stored, &depth, &left_stale, &left_trained, &waited};

static void *add_and_observe(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10000; i++) {
        metric_add(&stored, 0.5);
        metric_observe(&waited, i % 4 * 0.05);
    }
    return NULL;
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part))
        return;
    print_error("'%s' is not in:\n%s\n", part, text);
    fail();
}

static void metrics_are_counted_by_any_thread_and_rendered(void **state)
{
    (void)state;
    metrics_register(rows, 5);
    metrics_register(rows, 5); // harmless
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_observe, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    metric_set(&depth, 3);
    metric_add(&depth, -1.75);
    metric_add(&left_stale, 2);
    metric_observe(&waited, INFINITY);
    assert_near(metric_value(&stored), 20000, 0);
    assert_near(metric_value(&waited), 40001, 0);
    SCOPED_VALUE(bytes) text = {0};
    metrics_render(&text);
    has((char *)text.data,
        "# HELP test_groups_stored_total groups made durable: a \\\\ and a\\nline\n"
        "# TYPE test_groups_stored_total counter\n"
        "test_groups_stored_total 20000\n"
        "# HELP test_queue_depth_groups groups that wait\n"
        "# TYPE test_queue_depth_groups gauge\n"
        "test_queue_depth_groups 1.25\n"
        "# HELP test_left_total groups that left\n"
        "# TYPE test_left_total counter\n"
        "test_left_total{reason=\"stale\"} 2\n"
        "test_left_total{reason=\"trained\"} 0\n"
        "# HELP test_wait_seconds from asking to a grant\n"
        "# TYPE test_wait_seconds histogram\n"
        "test_wait_seconds_bucket{le=\"0.01\"} 10000\n"
        "test_wait_seconds_bucket{le=\"0.1\"} 30000\n"
        "test_wait_seconds_bucket{le=\"1\"} 40000\n"
        "test_wait_seconds_bucket{le=\"+Inf\"} 40001\n"
        "test_wait_seconds_sum +Inf\n"
        "test_wait_seconds_count 40001\n");
    has((char *)text.data, "\nprocess_resident_memory_bytes ");
    metric_set(&depth, NAN);
    bytes_clear(&text);
    metrics_render(&text);
    has((char *)text.data, "\ntest_queue_depth_groups NaN\n");
}

static void see(void *arg, const char *name, double value)
{
    bytes_printf(arg, "%s=%g\n", name, value);
}

static void the_status_sees_the_same_numbers(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) text = {0};
    metric_set(&depth, 7);
    metrics_each(see, &text);
    has((char *)text.data, "test_queue_depth_groups=7\n");
    has((char *)text.data, "test_left_total{reason=\"stale\"}=2\n");
    has((char *)text.data, "test_wait_seconds_count=40001\ntest_wait_seconds_sum=inf\n");
}

/* Sends request, returns the whole answer. */
static char *ask(const char *address, const char *request)
{
    struct address at;
    assert_ok(address_parse(address, &at));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(at.port)};
    assert_int_equal(inet_pton(AF_INET, at.host, &to.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    struct bytes answer = {0};
    for (;;) {
        uint8_t *part = bytes_extend(&answer, 4096);
        ssize_t got = recv(fd, part, 4096, 0);
        answer.len -= 4096 - (size_t)(got > 0 ? got : 0);
        if (got <= 0)
            break;
    }
    close(fd);
    answer.data[answer.len] = 0;
    return (char *)answer.data;
}

static void answers(const char *address, const char *request, const char *status, const char *part)
{
    SCOPED_MEM char *line =
        mem_printf("%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", request);
    SCOPED_MEM char *answer = ask(address, line);
    has(answer, status);
    has(answer, part);
}

static err_t open_ports(const char *probes, const char *metrics, struct http_ports **ret)
{
    return http_ports_open(&(struct http_ports_options){.probes = probes, .metrics = metrics}, ret);
}

/* A kubelet shows no certificate, so whoever asks learns one word. */
static void probes_say_one_word(void **state)
{
    (void)state;
    SCOPED(http_ports) ports = NULL;
    assert_ok(open_ports("127.0.0.1:0", "127.0.0.1:0", &ports));
    const char *at = http_ports_probes(ports);
    assert_string_not_equal(at, "127.0.0.1:0");
    assert_string_not_equal(at, http_ports_metrics(ports));
    answers(at, "GET /livez", "HTTP/1.1 200 ", "\r\n\r\nok\n");
    answers(at, "GET /readyz", "HTTP/1.1 503 ", "\r\n\r\nnot ready\n");
    http_ports_set_ready(ports, "disk of /secret/path is full");
    answers(at, "GET /readyz?verbose", "HTTP/1.1 503 ", "\r\n\r\nnot ready\n");
    http_ports_set_waiting(ports, "groups of 10.0.0.7");
    answers(at, "GET /readyz", "HTTP/1.1 200 ", "\r\n\r\nok\n");
    answers(at, "HEAD /livez", "HTTP/1.1 200 ", "Content-Length: 3\r\n");
    answers(at, "GET /metrics", "HTTP/1.1 404 ", "there are /livez /readyz\n");
    answers(at, "DELETE /livez", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n");
    SCOPED_MEM char *by_name = // a kubelet asks by any name or address
        ask(at, "GET /livez HTTP/1.1\r\nHost: learner-0.svc:7103\r\nConnection: close\r\n\r\n");
    has(by_name, "HTTP/1.1 200 ");
}

static void reasons_stand_beside_the_metrics(void **state)
{
    (void)state;
    SCOPED(http_ports) ports = NULL;
    assert_ok(open_ports("127.0.0.1:0", "127.0.0.1:0", &ports));
    const char *at = http_ports_metrics(ports);
    answers(at, "GET /readyz", "HTTP/1.1 503 ", "\r\n\r\nstarting\n");
    http_ports_set_ready(ports, NULL);
    answers(at, "GET /readyz", "HTTP/1.1 200 ", "\r\n\r\nok\n");
    http_ports_set_ready(ports, "disk is\nfull");
    answers(at, "GET /readyz?verbose", "HTTP/1.1 503 ", "\r\n\r\ndisk is full\n");
    http_ports_set_waiting(ports, "groups");
    answers(at, "GET /readyz", "HTTP/1.1 200 ", "\r\n\r\nok: groups\n");
    answers(at, "GET /metrics", "HTTP/1.1 200 ",
            "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    answers(at, "GET /metrics", "HTTP/1.1 200 ", "\ntest_groups_stored_total 20000\n");
    answers(at, "GET /nothing", "HTTP/1.1 404 ", "/metrics /readyz");
    answers(at, "GET /../metrics", "HTTP/1.1 404 ", "/metrics /readyz");
    answers(at, "GET http://localhost/metrics", "HTTP/1.1 404 ", "/metrics /readyz");
    SCOPED_MEM char *bad = ask(at, "nonsense\r\n\r\n");
    assert_null(strstr(bad, " 200 "));
    answers(at, "GET /readyz", "HTTP/1.1 200 ", "ok"); // the server still lives
}

/* Clients that send a byte now and then hold connections, and not the port. */
static void probes_are_answered_beside_clients_that_trickle(void **state)
{
    enum { CLIENTS = 4 * HTTP_CONNECTIONS, ROUNDS = 20 };
    static const char begin[] = "GET /livez HTTP/1.1\r\nHost: x\r\nX: ";
    (void)state;
    SCOPED(http_ports) ports = NULL;
    assert_ok(open_ports("127.0.0.1:0", "127.0.0.1:0", &ports));
    const char *at = http_ports_probes(ports);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = tcp_connect(at);
        tcp_send(fds[i], begin, strlen(begin));
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            if (!tcp_send(fds[i], "x", 1) || !tcp_is_open(fds[i])) {
                close(fds[i]); // and again, at once
                fds[i] = tcp_connect(at);
                tcp_send(fds[i], begin, strlen(begin));
            }
        answers(at, "GET /livez", "HTTP/1.1 200 ", "\r\n\r\nok\n");
    }
    const int64_t end = clock_ms() + 60000; // no byte prolongs what has its time
    while (tcp_send(fds[0], "x", 1) && tcp_is_open(fds[0]) && clock_ms() < end)
        clock_sleep_ms(50);
    assert_false(tcp_is_open(fds[0]));
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
}

static void a_port_in_use_is_a_clear_error(void **state)
{
    (void)state;
    SCOPED(http_ports) ports = NULL, *second = NULL;
    assert_ok(open_ports("127.0.0.1:0", "127.0.0.1:0", &ports));
    SCOPED_MEM char *probes = mem_string(http_ports_probes(ports));
    SCOPED_MEM char *metrics = mem_string(http_ports_metrics(ports));
    SCOPED_MEM char *message =
        mem_printf("cannot listen at %s for HTTP: Address already in use", metrics);
    assert_err(ERR_UNAVAILABLE, "Address already in use",
               open_ports(probes, "127.0.0.1:0", &second));
    assert_err(ERR_UNAVAILABLE, message, open_ports("127.0.0.1:0", metrics, &second));
    http_ports_free(STEAL(ports));
    assert_ok(open_ports(probes, metrics, &second)); // at once, when the first is gone
    assert_err(ERR_INVALID, "HTTP: 'x': no port", open_ports("x", "127.0.0.1:0", &ports));
    assert_err(ERR_UNAVAILABLE, "cannot listen at 192.0.2.1:0 for HTTP",
               open_ports("192.0.2.1:0", "127.0.0.1:0", &ports));
    assert_err(ERR_DENIED, "metrics: address '0.0.0.0:0'",
               open_ports("0.0.0.0:0", "0.0.0.0:0", &ports));
}

static void addresses_are_parsed_and_derived(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool loopback;
    } good[] = {
        {"127.0.0.1:7003", "127.0.0.1", 7003, true},
        {"127.9.9.9:0", "127.9.9.9", 0, true},
        {"[::1]:65535", "::1", 65535, true},
        {"[::]:1", "::", 1, false},
        {"localhost:1", "localhost", 1, true},
        {"LOCALHOST:1", "LOCALHOST", 1, true},
        {"0.0.0.0:1", "0.0.0.0", 1, false},
        {"learner-0.rlhfd.svc:7003", "learner-0.rlhfd.svc", 7003, false},
        {"127.0.0.1.evil.org:1", "127.0.0.1.evil.org", 1, false},
    };
    struct address address;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_ok(address_parse(good[i].text, &address));
        assert_string_equal(address.host, good[i].host);
        assert_int_equal(address.port, good[i].port);
        assert_int_equal(address_is_loopback(good[i].text), good[i].loopback);
        SCOPED_MEM char *text = address_text(address.host, address.port);
        assert_string_equal(text, good[i].text);
    }
    static const char *const bad[] = {
        "",      ":",     ":1",    "x",        "x:",    "x:65536",    "x:-1",
        "x:1x",  "::1:1", "[::1]", "[::1:1",   "[x]:1", "1.2.3:1",    "1.2.3.4.5:1",
        "a b:1", "a/b:1", "-x:1",  "x:000001", "[]:1",  "[1.2.3.4]:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_err(ERR_INVALID, "an address is host:port", address_parse(bad[i], &address));
        assert_false(address_is_loopback(bad[i]));
    }
    SCOPED_MEM char *admin = NULL, *any = NULL, *none = NULL, *own = NULL, *beside = NULL;
    assert_ok(address_derive("[::1]:7003", ADDRESS_ADMIN, &admin));
    assert_string_equal(admin, "[::1]:7013");
    assert_ok(address_derive("127.0.0.1:0", ADDRESS_METRICS, &any));
    assert_string_equal(any, "127.0.0.1:0");
    assert_ok(address_beside("10.0.0.7:1", "[::1]:7003", ADDRESS_PROBES, &own));
    assert_string_equal(own, "10.0.0.7:1");
    assert_ok(address_beside("", "[::1]:7003", ADDRESS_METRICS, &beside));
    assert_string_equal(beside, "[::1]:7203");
    assert_err(ERR_INVALID, "no port", address_beside("x", "[::1]:7003", ADDRESS_PROBES, &none));
    assert_err(ERR_RANGE, "over 65535", address_derive("127.0.0.1:65530", ADDRESS_ADMIN, &none));
}

TESTS(cmocka_unit_test(metrics_are_counted_by_any_thread_and_rendered),
      cmocka_unit_test(the_status_sees_the_same_numbers), cmocka_unit_test(probes_say_one_word),
      cmocka_unit_test(reasons_stand_beside_the_metrics),
      cmocka_unit_test(probes_are_answered_beside_clients_that_trickle),
      cmocka_unit_test(a_port_in_use_is_a_clear_error),
      cmocka_unit_test(addresses_are_parsed_and_derived))
