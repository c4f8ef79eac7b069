/* The metrics port beyond loopback: TLS, and a viewer's certificate or a token. The client is
 * curl. */
#include "base/file.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/http_ports.h"
#include "testing/certificates.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

#define TOKEN "viewer-token-0123456789"
enum { CURL_MS = 60000 };

struct stage {
    const char *directory;
    struct authority *ca;
    struct tls_keys *keys;
    struct http_ports *ports;
    char *url, *tokens;
};

static char *keys_of(const struct stage *stage, const char *role)
{
    return testing_path(stage->directory, role);
}

static struct stage new_stage(bool tokens)
{
    struct stage stage = {.directory = testing_directory(), .ca = authority_new("testing")};
    struct address at;
    char *own = keys_of(&stage, "learner");
    authority_issue(stage.ca,
                    &(struct certificate){.uri = "spiffe://testing/run/sort/learner/learner",
                                          .dns = "localhost"},
                    own);
    stage.tokens = testing_path(stage.directory, "tokens");
    assert_ok(file_write_private(stage.tokens, "viewer " TOKEN "\n", strlen("viewer " TOKEN "\n")));
    assert_ok(tls_keys_open(own, &stage.keys));
    const struct security security = {.keys = stage.keys, .run = "sort"};
    assert_ok(http_ports_open(&(struct http_ports_options){.probes = "127.0.0.1:0",
                                                           .metrics = "0.0.0.0:0",
                                                           .tokens = tokens ? stage.tokens : NULL,
                                                           .security = &security},
                              &stage.ports));
    assert_ok(address_parse(http_ports_metrics(stage.ports), &at));
    stage.url = mem_printf("https://localhost:%u/metrics", at.port);
    return stage;
}

static void stage_done(struct stage *stage)
{
    http_ports_free(stage->ports);
    tls_keys_free(stage->keys);
    authority_free(stage->ca);
    mem_free(stage->url);
}

/* curl's output: the body, then "STATUS" and curl's own message. role: the certificate shown; NULL:
 * none. */
static char *ask(const struct stage *stage, const char *role, const char *header)
{
    char *output = NULL, *keys = role ? keys_of(stage, role) : NULL;
    SCOPED_MEM char *roots = mem_printf("%s/learner/ca.crt", stage->directory);
    SCOPED_MEM char *certificate = mem_printf("%s/tls.crt", keys ? keys : "");
    SCOPED_MEM char *key = mem_printf("%s/tls.key", keys ? keys : "");
    const char *const with = role ? "--cert" : "--no-progress-meter";
    process_run(&output, CURL_MS, "/usr/bin/curl", "-q", "-sS", "-4", "-m", "30", "--cacert", roots,
                "-w", "STATUS %{http_code} %{http_version}\n", "-H", header ? header : "X: y",
                stage->url, with, role ? certificate : "-sS", role ? "--key" : "-sS",
                role ? key : "-sS", NULL);
    return output;
}

static void answers(const struct stage *stage, const char *role, const char *header,
                    const char *status, const char *part)
{
    SCOPED_MEM char *output = ask(stage, role, header);
    SCOPED_MEM char *line = mem_printf("STATUS %s", status);
    if (!strstr(output, line) || !strstr(output, part))
        fail_msg("no '%s' or '%s' in: %s", line, part, output);
    if (strcmp(status, "200 1.1") != 0)
        assert_null(strstr(output, "process_resident"));
}

static void a_viewer_reads(void **state)
{
    (void)state;
    struct stage stage = new_stage(false);
    static const char *const roles[] = {"viewer", "admin", "generator", "rewarder"};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        authority_issue_to(stage.ca, "sort", roles[i], "x", keys_of(&stage, roles[i]));
    answers(&stage, "viewer", NULL, "200 1.1", "process_resident_memory_bytes");
    answers(&stage, "admin", NULL, "200 1.1", "process_resident_memory_bytes");
    answers(&stage, "generator", NULL, "403 1.1", "neither a viewer's nor an admin's");
    answers(&stage, "rewarder", NULL, "403 1.1", "neither a viewer's nor an admin's");
    answers(&stage, NULL, NULL, "401 1.1", "a viewer's or admin's certificate is needed");
    /* Without a file of tokens there is no token. */
    answers(&stage, NULL, "Authorization: Bearer " TOKEN, "401 1.1", "certificate is needed");
    stage_done(&stage);
}

static void a_token_will_do(void **state)
{
    (void)state;
    struct stage stage = new_stage(true);
    authority_issue_to(stage.ca, "sort", "viewer", "x", keys_of(&stage, "viewer"));
    authority_issue_to(stage.ca, "sort", "generator", "x", keys_of(&stage, "generator"));
    answers(&stage, NULL, "Authorization: Bearer " TOKEN, "200 1.1", "process_resident");
    answers(&stage, "generator", "Authorization: Bearer " TOKEN, "200 1.1", "process_resident");
    answers(&stage, "viewer", NULL, "200 1.1", "process_resident");
    answers(&stage, NULL, "Authorization: Bearer " TOKEN "x", "401 1.1", "not known");
    answers(&stage, "generator", "Authorization: Bearer " TOKEN "x", "401 1.1", "not known");
    answers(&stage, NULL, NULL, "401 1.1", "or Authorization: Bearer TOKEN");
    stage_done(&stage);
}

/* A certificate that is shown is a good one of this run, whatever comes with it. */
static void a_bad_certificate_is_no_certificate(void **state)
{
    (void)state;
    struct stage stage = new_stage(true);
    struct authority *other = authority_new("other");
    authority_issue_to(other, "sort", "viewer", "x", keys_of(&stage, "foreign"));
    authority_issue_to(stage.ca, "sum", "viewer", "x", keys_of(&stage, "elsewhere"));
    authority_issue(stage.ca,
                    &(struct certificate){.uri = "spiffe://testing/run/sort/viewer/x",
                                          .from_s = -7200,
                                          .until_s = -3600},
                    keys_of(&stage, "expired"));
    authority_issue(stage.ca, &(struct certificate){.dns = "viewer"}, keys_of(&stage, "nameless"));
    static const char *const bad[] = {"foreign", "elsewhere", "expired", "nameless"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        SCOPED_MEM char *output = ask(&stage, bad[i], "Authorization: Bearer " TOKEN);
        if (strstr(output, "STATUS 200") || strstr(output, "process_resident"))
            fail_msg("%s came in: %s", bad[i], output);
    }
    answers(&stage, NULL, "Authorization: Bearer " TOKEN, "200 1.1", "process_resident");
    authority_free(other);
    stage_done(&stage);
}

/* Neither the port nor the token is to be had in plaintext. */
static void plaintext_is_refused(void **state)
{
    (void)state;
    struct stage stage = new_stage(true);
    memmove(stage.url + strlen("http"), stage.url + strlen("https"),
            strlen(stage.url + strlen("https")) + 1);
    SCOPED_MEM char *output = ask(&stage, NULL, "Authorization: Bearer " TOKEN);
    assert_null(strstr(output, "STATUS 200"));
    assert_null(strstr(output, "process_resident"));
    stage_done(&stage);
}

TESTS(cmocka_unit_test(a_viewer_reads), cmocka_unit_test(a_token_will_do),
      cmocka_unit_test(a_bad_certificate_is_no_certificate), cmocka_unit_test(plaintext_is_refused))
