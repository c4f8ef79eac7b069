/* Metrics and the HTTP port that shows them, and the addresses it listens at. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/http.h"
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

static void answers(const struct http *http, const char *request, const char *status,
                    const char *part)
{
    SCOPED_MEM char *line =
        mem_printf("%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", request);
    SCOPED_MEM char *answer = ask(http_address(http), line);
    has(answer, status);
    has(answer, part);
}

static void the_pages_answer(void **state)
{
    (void)state;
    SCOPED(http) http = NULL;
    assert_ok(http_start("127.0.0.1:0", &http));
    assert_string_not_equal(http_address(http), "127.0.0.1:0");
    answers(http, "GET /livez", "HTTP/1.1 200 ", "\r\n\r\nok\n");
    answers(http, "GET /readyz", "HTTP/1.1 503 ", "\r\n\r\nstarting\n");
    http_set_ready(http, NULL);
    answers(http, "GET /readyz", "HTTP/1.1 200 ", "\r\n\r\nok\n");
    http_set_ready(http, "disk is\nfull");
    answers(http, "GET /readyz?verbose", "HTTP/1.1 503 ", "\r\n\r\ndisk is full\n");
    http_set_waiting(http, "groups");
    answers(http, "GET /readyz", "HTTP/1.1 200 ", "\r\n\r\nok: groups\n");
    answers(http, "GET /metrics", "HTTP/1.1 200 ",
            "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    answers(http, "GET /metrics", "HTTP/1.1 200 ", "\ntest_groups_stored_total 20000\n");
    answers(http, "HEAD /livez", "HTTP/1.1 200 ", "Content-Length: 3\r\n");
    answers(http, "GET /nothing", "HTTP/1.1 404 ", "/metrics /livez /readyz");
    answers(http, "DELETE /livez", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n");
    SCOPED_MEM char *bad = ask(http_address(http), "nonsense\r\n\r\n");
    assert_null(strstr(bad, " 200 "));
    answers(http, "GET /livez", "HTTP/1.1 200 ", "ok"); // it still lives
}

/* Clients that send a byte now and then hold connections, and not the port. */
static void probes_are_answered_beside_clients_that_trickle(void **state)
{
    enum { CLIENTS = 4 * HTTP_CONNECTIONS, ROUNDS = 20 };
    static const char begin[] = "GET /livez HTTP/1.1\r\nHost: x\r\nX: ";
    (void)state;
    SCOPED(http) http = NULL;
    assert_ok(http_start("127.0.0.1:0", &http));
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = tcp_connect(http_address(http));
        tcp_send(fds[i], begin, strlen(begin));
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            if (!tcp_send(fds[i], "x", 1) || !tcp_is_open(fds[i])) {
                close(fds[i]); // it comes again at once
                fds[i] = tcp_connect(http_address(http));
                tcp_send(fds[i], begin, strlen(begin));
            }
        answers(http, "GET /livez", "HTTP/1.1 200 ", "\r\n\r\nok\n");
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
    SCOPED(http) http = NULL, *second = NULL;
    assert_ok(http_start("127.0.0.1:0", &http));
    SCOPED_MEM char *address = mem_string(http_address(http));
    SCOPED_MEM char *message =
        mem_printf("cannot listen at %s for HTTP: Address already in use", address);
    assert_err(ERR_UNAVAILABLE, message, http_start(address, &second));
    http_free(STEAL(http));
    assert_ok(http_start(address, &second)); // at once, when the first is gone
    assert_err(ERR_INVALID, "HTTP: 'x': no port", http_start("x", &http));
    assert_err(ERR_UNAVAILABLE, "cannot listen at 192.0.2.1:0 for HTTP",
               http_start("192.0.2.1:0", &http));
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
    SCOPED_MEM char *admin = NULL, *any = NULL, *none = NULL;
    assert_ok(address_derive("[::1]:7003", ADDRESS_ADMIN, &admin));
    assert_string_equal(admin, "[::1]:7013");
    assert_ok(address_derive("127.0.0.1:0", ADDRESS_HTTP, &any));
    assert_string_equal(any, "127.0.0.1:0");
    assert_err(ERR_RANGE, "over 65535", address_derive("127.0.0.1:65530", ADDRESS_ADMIN, &none));
}

TESTS(cmocka_unit_test(metrics_are_counted_by_any_thread_and_rendered),
      cmocka_unit_test(the_status_sees_the_same_numbers), cmocka_unit_test(the_pages_answer),
      cmocka_unit_test(probes_are_answered_beside_clients_that_trickle),
      cmocka_unit_test(a_port_in_use_is_a_clear_error),
      cmocka_unit_test(addresses_are_parsed_and_derived))
