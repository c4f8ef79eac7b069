/* rlhfctl open: a browser's requests reach the daemons of a run, and nobody else's do. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/http_get.h"
#include "svc/http_ports.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 60000 };

struct stage {
    char *run, *endpoints, *log;
    struct http_ports *ports;
    struct process process;
    char address[64], path[128]; // "127.0.0.1:4711", "/SECRET/"
};

static void write_endpoints(const struct stage *stage, const char *more)
{
    SCOPED_MEM char *text =
        mem_printf("{\"learner\": {\"admin\": \"127.0.0.1:1\", \"metrics\": \"%s\"}%s}",
                   http_ports_metrics(stage->ports), more);
    assert_ok(file_write(stage->endpoints, text, strlen(text)));
}

static void open_ports(struct stage *stage)
{
    assert_ok(http_ports_open(
        &(struct http_ports_options){.probes = "127.0.0.1:0", .metrics = "127.0.0.1:0"},
        &stage->ports));
    http_ports_set_waiting(stage->ports, "<b>groups</b> & \"more\"");
}

static struct stage new_stage(const char *more)
{
    struct stage stage = {.run = testing_path(testing_directory(), "run")};
    assert_ok(file_make_directories(stage.run));
    stage.endpoints = testing_path(stage.run, "endpoints.json");
    stage.log = testing_path(stage.run, "log");
    open_ports(&stage);
    write_endpoints(&stage, more);
    stage.process = process_start(stage.log, "rlhfctl", "open", "--run", stage.run, NULL);
    for (const int64_t until = clock_ms() + TIMEOUT_MS;; clock_sleep_ms(5)) {
        SCOPED_MEM char *text = file_text(stage.log);
        const char *at = strstr(text, "http://"), *line = at ? strchr(at, '\n') : NULL;
        if (line && sscanf(at, "http://%63[^/]%127s", stage.address, stage.path) == 2)
            return stage;
        if (clock_ms() > until)
            fail_msg("no address: %s", text);
    }
}

static void stage_done(struct stage *stage)
{
    process_kill(&stage->process, SIGINT);
    assert_int_equal(process_wait(&stage->process, TIMEOUT_MS), 0);
    http_ports_free(stage->ports);
}

static void answers(const struct stage *stage, const char *path, unsigned status, const char *type,
                    const char *part)
{
    SCOPED_VALUE(http_got) got = {0};
    assert_ok(http_get(&(struct http_get_options){.address = stage->address,
                                                  .path = path,
                                                  .timeout_ms = TIMEOUT_MS},
                       &got));
    const char *body = got.body.len ? (char *)got.body.data : "";
    if (got.status != status || !strstr(body, part) || !strstr(got.type, type))
        fail_msg("%s: %u %s: %s", path, got.status, got.type, body);
    if (status == 404) {
        assert_null(strstr(body, "metrics"));
        assert_null(strstr(body, stage->path));
    }
}

static void inside(const struct stage *stage, const char *path, unsigned status, const char *type,
                   const char *part)
{
    SCOPED_MEM char *whole = mem_printf("%s%s", stage->path, path);
    answers(stage, whole, status, type, part);
}

static void a_browser_sees_the_daemons(void **state)
{
    (void)state;
    struct stage stage = new_stage("");
    assert_int_equal(strlen(stage.path), 34); // 128 bits
    inside(&stage, "", 200, "text/html", "<td>learner<td>ok: &lt;b&gt;groups&lt;/b&gt; &amp; ");
    inside(&stage, "", 200, "text/html", "<a href=\"0/metrics\">");
    inside(&stage, "0/metrics", 200, "text/plain", "\nprocess_resident_memory_bytes ");
    inside(&stage, "0/readyz", 200, "text/plain", "ok: <b>groups</b>");
    http_ports_set_ready(stage.ports, "paused");
    inside(&stage, "0/readyz", 503, "text/plain", "paused\n");
    /* The daemon is started again elsewhere, and another joins it that is gone already. */
    http_ports_free(stage.ports);
    inside(&stage, "0/metrics", 502, "text/plain", "Connection refused");
    inside(&stage, "", 200, "text/html", "Connection refused");
    open_ports(&stage);
    write_endpoints(&stage, ", \"generator<script>\": {\"admin\": \"127.0.0.1:1\"}");
    inside(&stage, "0/metrics", 200, "text/plain", "\nprocess_resident_memory_bytes ");
    inside(&stage, "", 200, "text/html", "<td>generator&lt;script&gt;<td>127.0.0.1:191: ");
    inside(&stage, "1/metrics", 502, "text/plain", "127.0.0.1:191: ");
    stage_done(&stage);
}

static void others_learn_nothing(void **state)
{
    (void)state;
    struct stage stage = new_stage("");
    static const char *const pages[] = {"",           "0",          "0/",
                                        "1/metrics",  "0/livez",    "00/metrics",
                                        "0/metrics/", "../metrics", "0/../0/metrics"};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        SCOPED_MEM char *bare = mem_printf("/%s", pages[i]);
        SCOPED_MEM char *wrong = mem_printf("/%032d/%s", 0, pages[i]);
        answers(&stage, bare, 404, "text/plain", "not found");
        answers(&stage, wrong, 404, "text/plain", "not found");
        if (i)
            inside(&stage, pages[i], 404, "text/plain", "not found");
    }
    SCOPED_MEM char *nearly = mem_string(stage.path);
    nearly[32] = nearly[32] == '0' ? '1' : '0';
    answers(&stage, nearly, 404, "text/plain", "not found");
    nearly[strlen(nearly) - 1] = 0;
    answers(&stage, nearly, 404, "text/plain", "not found");
    /* A page of another name, whose name leads here. */
    char *output = NULL;
    SCOPED_MEM char *url = mem_printf("http://%s%s", stage.address, stage.path);
    process_run(&output, TIMEOUT_MS, "/usr/bin/curl", "-qsS", "-D", "-", "-H", "Host: evil.org",
                url, NULL);
    assert_non_null(strstr(output, "HTTP/1.1 403 "));
    assert_null(strstr(output, "learner"));
    free(output);
    process_run(&output, TIMEOUT_MS, "/usr/bin/curl", "-qsS", "-D", "-", url, NULL);
    assert_non_null(strstr(output, "HTTP/1.1 200 "));
    assert_non_null(strstr(output, "Content-Security-Policy: default-src 'none'"));
    assert_non_null(strstr(output, "Referrer-Policy: no-referrer"));
    assert_null(strstr(output, "Access-Control-Allow-Origin"));
    free(output);
    stage_done(&stage);
}

static void a_run_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    char *output = NULL;
    assert_int_equal(process_run(&output, TIMEOUT_MS, "rlhfctl", "open", "--run", "/nowhere", NULL),
                     3);
    assert_non_null(strstr(output, "no run goes on there"));
    free(output);
    assert_int_equal(process_run(&output, TIMEOUT_MS, "rlhfctl", "open", "--run", "/nowhere",
                                 "--port", "70000", NULL),
                     2);
    free(output);
}

TESTS(cmocka_unit_test(a_browser_sees_the_daemons), cmocka_unit_test(others_learn_nothing),
      cmocka_unit_test(a_run_that_is_not_there_is_an_error))
