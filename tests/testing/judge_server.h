/* The judge of testing/judge_server.py, as a process of its own.
 *
 *     struct judge_server server = judge_server_start("1.5");
 *     SCOPED_JSON json_t *counts = judge_server_get(&server, "/counts");
 */
#pragma once
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/http_get.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <signal.h>
#include <stdlib.h>

struct judge_server {
    struct process process;
    int port;
};

/* bias: of its liking for the first place, in nats. */
static inline struct judge_server judge_server_start(const char *bias)
{
    const char *directory = testing_directory();
    const char *announce = testing_path(directory, "port");
    struct judge_server server = {0};
    server.process =
        process_start(testing_path(directory, "log"), TEST_GOLDEN "/../testing/judge_server.py",
                      "--announce", announce, "--bias", bias, NULL);
    for (int ms = 0; !server.port; ms += 10) {
        SCOPED_MEM char *text = file_text(announce);
        server.port = (int)strtol(text, NULL, 10);
        assert_true(ms < 20000);
        clock_sleep_ms(10);
    }
    return server;
}

static inline void judge_server_stop(struct judge_server *server)
{
    process_kill(&server->process, SIGKILL);
    process_wait(&server->process, 10000);
}

static inline json_t *judge_server_get(const struct judge_server *server, const char *path)
{
    SCOPED_VALUE(http_got) got = {0};
    json_t *answer;
    char address[40];
    snprintf(address, sizeof address, "127.0.0.1:%d", server->port);
    assert_ok(http_get(
        &(struct http_get_options){.address = address, .path = path, .timeout_ms = 10000}, &got));
    assert_ok(json_parse((char *)got.body.data, got.body.len, path, &answer));
    return answer;
}

static inline int judge_server_requests(const struct judge_server *server)
{
    SCOPED_JSON json_t *counts = judge_server_get(server, "/counts");
    return (int)json_integer_value(json_object_get(counts, "requests"));
}
