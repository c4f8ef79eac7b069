/* The reward server of testing/reward_server.py, as a process of its own.
 *
 *     struct reward_server server = reward_server_start("--key", key, NULL);
 *     SCOPED_MEM char *url = reward_server_url(&server, "fault/short_list/rlhfd");
 *     assert_int_equal(reward_server_count(&server, "right"), 12);
 *     double want = reward_server_score("abc", NULL);
 */
#pragma once
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/http_get.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

struct reward_server {
    struct process process;
    int port;
};

static inline struct reward_server reward_server_start(const char *flag, const char *value,
                                                       const char *flag2, const char *value2)
{
    const char *directory = testing_directory();
    const char *announce = testing_path(directory, "port");
    struct reward_server server = {0};
    server.process = process_start(
        testing_path(directory, "server.log"), TEST_GOLDEN "/../testing/reward_server.py",
        "--announce", announce, flag ? flag : NULL, value, flag2 ? flag2 : NULL, value2, NULL);
    for (int ms = 0; !server.port; ms += 10) {
        SCOPED_MEM char *text = file_text(announce);
        server.port = (int)strtol(text, NULL, 10);
        assert_true(ms < 20000);
        clock_sleep_ms(10);
    }
    return server;
}

static inline void reward_server_stop(struct reward_server *server)
{
    process_kill(&server->process, SIGKILL);
    process_wait(&server->process, 10000);
}

static inline char *reward_server_url(const struct reward_server *server, const char *path)
{
    return mem_printf("http://127.0.0.1:%d/%s", server->port, path);
}

static inline json_t *reward_server_counts(const struct reward_server *server)
{
    SCOPED_VALUE(http_got) got = {0};
    json_t *counts;
    char address[40];
    snprintf(address, sizeof address, "127.0.0.1:%d", server->port);
    assert_ok(http_get(
        &(struct http_get_options){.address = address, .path = "/counts", .timeout_ms = 10000},
        &got));
    assert_ok(json_parse((char *)got.body.data, got.body.len, "counts", &counts));
    return counts;
}

static inline int reward_server_count(const struct reward_server *server, const char *name)
{
    SCOPED_JSON json_t *counts = reward_server_counts(server);
    return (int)json_integer_value(json_object_get(counts, name));
}

/* As the server's score. */
static inline double reward_server_score(const char *text, const char *label)
{
    const size_t len = strlen(text);
    double inorder = 0;
    for (size_t i = 1; i < len; i++)
        inorder += (unsigned char)text[i - 1] <= (unsigned char)text[i];
    return 1 + inorder / (len > 1 ? (double)(len - 1) : 1) +
           (label && *label && strcmp(text, label) == 0 ? 0.25 : 0);
}
