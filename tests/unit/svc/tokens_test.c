/* Bearer tokens, and who may read the pages of a port. */
#include "base/file.h"
#include "base/mem.h"
#include "svc/http_ports.h"
#include "svc/tokens.h"
#include "testing/h2.h"
#include "testing/testing.h"
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VIEWER "viewer-token-0123456789"
#define ADMIN  "admin.token~+/0123456789=="

static char *path;

static int new_file(void **state)
{
    (void)state;
    path = testing_path(testing_directory(), "tokens");
    return 0;
}

static void write_tokens(const char *text)
{
    assert_ok(file_write_private(path, text, strlen(text)));
}

static void lines_are_tokens(void **state)
{
    (void)state;
    SCOPED(tokens) tokens = NULL;
    write_tokens("# of Prometheus\nviewer " VIEWER "\n\nadmin   " ADMIN "\r\n");
    assert_ok(tokens_open(path, &tokens));
    assert_int_equal(tokens_role(tokens, VIEWER), CALLER_VIEWER);
    assert_int_equal(tokens_role(tokens, ADMIN), CALLER_ADMIN);
    static const char *const unknown[] = {"",
                                          "x",
                                          VIEWER "x",
                                          "viewer-token-012345678",
                                          ADMIN " ",
                                          "Viewer-token-0123456789",
                                          "# of Prometheus"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_int_equal(tokens_role(tokens, unknown[i]), 0);
    SCOPED_MEM char *longest = mem_new(TOKEN_LEN_MAX + 2);
    memset(longest, 'a', TOKEN_LEN_MAX + 1);
    assert_int_equal(tokens_role(tokens, longest), 0);
    SCOPED_MEM char *text = mem_printf("viewer %.*s", TOKEN_LEN_MAX, longest);
    write_tokens(text); // without a line break
    longest[TOKEN_LEN_MAX] = 0;
    assert_int_equal(tokens_role(tokens, longest), CALLER_VIEWER);
}

/* A token that is taken out counts no more; a faulty file lets nobody in. */
static void a_changed_file_counts_at_once(void **state)
{
    (void)state;
    SCOPED(tokens) tokens = NULL;
    write_tokens("viewer " VIEWER "\n");
    assert_ok(tokens_open(path, &tokens));
    assert_int_equal(tokens_role(tokens, VIEWER), CALLER_VIEWER);
    write_tokens("admin " ADMIN "\n");
    assert_int_equal(tokens_role(tokens, VIEWER), 0);
    assert_int_equal(tokens_role(tokens, ADMIN), CALLER_ADMIN);
    write_tokens("admin " ADMIN "\nviewer short\n");
    assert_int_equal(tokens_role(tokens, ADMIN), 0);
    write_tokens("admin " ADMIN "\nviewer " VIEWER "\n");
    assert_int_equal(tokens_role(tokens, ADMIN), CALLER_ADMIN);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(tokens_role(tokens, ADMIN), 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(tokens_role(tokens, ADMIN), CALLER_ADMIN);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(tokens_role(tokens, ADMIN), 0);
    write_tokens("admin " ADMIN "\n");
    assert_int_equal(tokens_role(tokens, ADMIN), CALLER_ADMIN);
}

static void refuse(const char *text, enum err_code code, const char *part)
{
    SCOPED(tokens) tokens = NULL;
    write_tokens(text);
    assert_err(code, part, tokens_open(path, &tokens));
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    SCOPED(tokens) tokens = NULL;
    assert_err(ERR_NOT_FOUND, "no such file", tokens_open("/nowhere", &tokens));
    refuse("\nlearner " VIEWER, ERR_INVALID,
           "tokens:2: no such role; allowed: ROLE TOKEN, ROLE is");
    refuse("viewer", ERR_INVALID, ":1: the token is too short");
    refuse("viewer    \n", ERR_INVALID, ":1: the token is too short");
    refuse("viewer 0123456789012345678", ERR_INVALID, ":1: the token is too short");
    refuse("viewer " VIEWER " " VIEWER, ERR_INVALID, ":1: the token has other characters");
    refuse("viewer \x80" VIEWER, ERR_INVALID, ":1: the token has other characters");
    refuse(" viewer " VIEWER, ERR_INVALID, ":1: no such role");
    SCOPED_VALUE(bytes) many = {0};
    for (int i = 0; i <= TOKENS_MAX; i++)
        bytes_printf(&many, "viewer " VIEWER "%d\n", i);
    refuse((char *)many.data, ERR_INVALID, ":65: more than 64 tokens");
    bytes_clear(&many);
    bytes_put(&many, "viewer \0token-0123456789-0123456789", 35);
    assert_ok(file_write_private(path, many.data, many.len));
    assert_err(ERR_INVALID, "other characters", tokens_open(path, &tokens));
    write_tokens("viewer " VIEWER);
    assert_int_equal(chmod(path, 0644), 0);
    assert_err(ERR_DENIED, "is open to others (mode 644)", tokens_open(path, &tokens));
}

/* ---- the port */

/* Status of the answer; headers end with line breaks. */
static int ask(const struct http_ports *ports, const char *line, const char *headers,
               const char *part)
{
    SCOPED_MEM char *request =
        mem_printf("%s HTTP/1.1\r\nConnection: close\r\n%s\r\n", line, headers);
    struct bytes answer = {0};
    int fd = tcp_connect(http_ports_metrics(ports)), status = 0;
    assert_true(tcp_send(fd, request, strlen(request)));
    for (char piece[4096]; true;) {
        const ssize_t got = recv(fd, piece, sizeof piece, 0);
        if (got <= 0)
            break;
        bytes_put(&answer, piece, (size_t)got);
    }
    close(fd);
    if (answer.len)
        sscanf((char *)answer.data, "HTTP/1.1 %d", &status);
    if (part && (!answer.len || !strstr((char *)answer.data, part)))
        fail_msg("'%s' is not in: %s", part, answer.len ? (char *)answer.data : "");
    if (answer.len && strstr((char *)answer.data, "process_resident"))
        assert_int_equal(status, 200);
    bytes_done(&answer);
    return status;
}
#define HOST                             "Host: localhost\r\n"
#define ASK(status, line, headers, part) assert_int_equal(ask(ports, line, headers, part), status)

static void a_port_with_tokens_asks_for_one(void **state)
{
    (void)state;
    SCOPED(http_ports) ports = NULL;
    write_tokens("viewer " VIEWER "\nadmin " ADMIN "\n");
    assert_ok(http_ports_open(&(struct http_ports_options){.probes = "127.0.0.1:0",
                                                           .metrics = "127.0.0.1:0",
                                                           .tokens = path},
                              &ports));
    ASK(200, "GET /metrics", HOST "Authorization: Bearer " VIEWER "\r\n", "process_resident");
    ASK(200, "GET /metrics", HOST "authorization: bearer   " ADMIN "\r\n", "process_resident");
    ASK(503, "GET /readyz", HOST "Authorization: Bearer " ADMIN "\r\n", "starting");
    ASK(401, "GET /metrics", HOST, "WWW-Authenticate: Bearer realm=\"rlhfd\"\r\n");
    ASK(401, "GET /nothing", HOST, "Authorization: Bearer TOKEN is needed");
    ASK(401, "GET /metrics", HOST "Authorization: Bearer " VIEWER "x\r\n", "not known");
    ASK(401, "GET /metrics", HOST "Authorization: Bearer\r\n", "WWW-Authenticate: Bearer");
    ASK(401, "GET /metrics", HOST "Authorization: Basic dmlld2VyOng=\r\n", "WWW-Authenticate");
    ASK(401, "GET /metrics", HOST "Authorization: " VIEWER "\r\n", "WWW-Authenticate");
    ASK(401, "GET /metrics", HOST "Cookie: token=" VIEWER "\r\n", "WWW-Authenticate");
    ASK(400, "GET /metrics", HOST "Authorization: Bearer " VIEWER "\r\nAuthorization: Bearer x\r\n",
        "twice");
    static const char *const urls[] = {"GET /metrics?access_token=" VIEWER,
                                       "GET /metrics?token=x",
                                       "GET /metrics?a=b&Token",
                                       "GET /metrics?" VIEWER,
                                       "GET /metrics?x=viewer%2dtoken-0123456789",
                                       "GET /nothing?access_token=x"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        ASK(400, urls[i], HOST, "does not belong into the URL");
        ASK(400, urls[i], HOST "Authorization: Bearer " VIEWER "\r\n", "make a new one");
    }
    SCOPED_VALUE(bytes) many = {0};
    bytes_text(&many, "GET /metrics?");
    for (int i = 0; i < 100; i++)
        bytes_printf(&many, "a%d&", i);
    ASK(400, (char *)many.data, HOST "Authorization: Bearer " VIEWER "\r\n", "too many arguments");
    write_tokens("admin " ADMIN "\n"); // the viewer's is withdrawn
    ASK(401, "GET /metrics", HOST "Authorization: Bearer " VIEWER "\r\n", "not known");
}

/* A web page whose name leads to 127.0.0.1 would read what is there. */
static void a_loopback_port_answers_to_its_own_name(void **state)
{
    (void)state;
    SCOPED(http_ports) ports = NULL;
    assert_ok(http_ports_open(
        &(struct http_ports_options){.probes = "127.0.0.1:0", .metrics = "127.0.0.1:0"}, &ports));
    static const char *const good[] = {"localhost",      "LocalHost:80", "127.0.0.1",
                                       "127.0.0.1:7203", "[::1]:7203",   "[::1]"};
    static const char *const bad[] = {"",
                                      "evil.org",
                                      "evil.org:7203",
                                      "127.0.0.1.evil.org",
                                      "localhost.evil.org",
                                      "10.0.0.7:7203",
                                      "[::]:1",
                                      "::1",
                                      "x:"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        SCOPED_MEM char *host = mem_printf("Host: %s\r\n", good[i]);
        ASK(200, "GET /metrics", host, "process_resident");
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        SCOPED_MEM char *host = mem_printf("Host: %s\r\n", bad[i]);
        ASK(403, "GET /metrics", host, "localhost and the loopback addresses alone");
    }
    ASK(200, "GET /metrics", "", NULL); // no browser leaves it out
    ASK(400, "GET /metrics", HOST HOST, "twice");
}

static void tokens_that_are_wrong_end_the_start(void **state)
{
    (void)state;
    SCOPED(http_ports) ports = NULL;
    write_tokens("nobody " VIEWER);
    assert_err(ERR_INVALID, "metrics.tokens: ",
               http_ports_open(&(struct http_ports_options){.probes = "127.0.0.1:0",
                                                            .metrics = "127.0.0.1:0",
                                                            .tokens = path},
                               &ports));
}

#define TEST(name) cmocka_unit_test_setup(name, new_file)
TESTS(TEST(lines_are_tokens), TEST(a_changed_file_counts_at_once), TEST(what_is_wrong_is_named),
      TEST(a_port_with_tokens_asks_for_one), TEST(a_loopback_port_answers_to_its_own_name),
      TEST(tokens_that_are_wrong_end_the_start))
