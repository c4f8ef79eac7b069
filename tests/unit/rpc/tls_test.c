/* Mutual TLS: who calls is known, who has no good certificate is told why, on both sides. */
#include "loopback.h"
#include "testing/certificates.h"

struct rig {
    struct loopback lo;
    struct authority *ca, *other;
    char *server, *client; // directories of keys
    struct security at_server, at_client;
};

static void issue(const struct authority *ca, const char *role, const char *directory)
{
    authority_issue_to(ca, "sort", role, "one", directory);
}

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){.ca = authority_new("first"), .other = authority_new("second")};
    rig->server = testing_path(testing_directory(), "server");
    rig->client = testing_path(testing_directory(), "client");
    issue(rig->ca, "learner", rig->server);
    issue(rig->ca, "generator", rig->client);
}

/* Reads the keys of both, and starts. */
static void rig_start(struct rig *rig)
{
    rig->at_server.run = rig->at_client.run = "sort";
    assert_ok(tls_keys_open(rig->server, &rig->at_server.keys));
    if (rig->client)
        assert_ok(tls_keys_open(rig->client, &rig->at_client.keys));
    struct loopback *lo = &rig->lo;
    *lo = (struct loopback){.half_close_ok = true,
                            .security = &rig->at_server,
                            .client_security = &rig->at_client,
                            .servers = CALLER_LEARNER};
    assert_ok(loop_new(&lo->loop));
    assert_ok(rpc_new(lo->loop, &lo->rpc));
    serve(lo, 0, 0);
    connect_to(lo, 0);
}

static void rig_done(struct rig *rig)
{
    loopback_done(&rig->lo);
    tls_keys_free(rig->at_server.keys);
    tls_keys_free(rig->at_client.keys);
    authority_free(rig->ca);
    authority_free(rig->other);
}

/* Asks once; the code, and a part of the text. */
static void asks(struct rig *rig, enum err_code code, const char *part)
{
    struct call_outcome out = {0};
    ask_status(&rig->lo, 20000, &out);
    until(&rig->lo, is_set, &out.closed);
    if (out.code != code || !strstr(out.text, part))
        fail_msg("code %d, text '%s'", out.code, out.text);
    outcome_done(&out);
}

static void caller_is_known(void **)
{
    struct rig rig;
    struct call_outcome out = {0};
    rig_init(&rig);
    rig_start(&rig);
    asks(&rig, ERR_NONE, "");
    assert_string_equal(rig.lo.caller, "spiffe://testing/run/sort/generator/one");
    /* And bytes in both directions, more than any buffer holds. */
    struct rpc_call *call = open_append(&rig.lo, NULL, &out);
    for (int i = 0; i < 20; i++) {
        SCOPED(rpc_message) group = group_message((uint64_t)i, 1 << 20);
        assert_true(rpc_call_send_message(call, group));
    }
    rpc_call_half_close(call);
    until(&rig.lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    assert_int_equal(out.messages, 20);
    outcome_done(&out);
    rig_done(&rig);
}

/* ---- clients that are refused */

static void client_of_another_ca(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue(
        rig.other,
        &(struct certificate){.uri = "spiffe://testing/run/sort/generator/one", .roots = {rig.ca}},
        rig.client);
    rig_start(&rig);
    asks(&rig, ERR_DENIED, "the certificate is of a CA that is not in ca.crt (issuer /CN=second)");
    rig_done(&rig);
}

static void client_of_another_run(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue_to(rig.ca, "other", "generator", "one", rig.client);
    rig_start(&rig);
    rig.at_client.run = "other";
    asks(&rig, ERR_DENIED, "the certificate is of run 'other'; this is run 'sort'");
    rig_done(&rig);
}

static void client_in_plaintext(void **)
{
    struct rig rig;
    rig_init(&rig);
    rig.client = NULL;
    rig_start(&rig);
    asks(&rig, ERR_DENIED, "the client speaks plaintext");
    rig_done(&rig);
}

/* ---- servers that are refused */

static void server_of_another_ca(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue(
        rig.other,
        &(struct certificate){.uri = "spiffe://testing/run/sort/learner/one", .roots = {rig.ca}},
        rig.server);
    rig_start(&rig);
    asks(&rig, ERR_UNAVAILABLE,
         "the certificate is of a CA that is not in ca.crt (issuer /CN=second)");
    rig_done(&rig);
}

static void server_of_another_role(void **)
{
    struct rig rig;
    rig_init(&rig);
    issue(rig.ca, "rewarder", rig.server);
    rig_start(&rig);
    asks(&rig, ERR_UNAVAILABLE,
         "the server is spiffe://testing/run/sort/rewarder/one, not a learner");
    rig_done(&rig);
}

static void server_of_another_run(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue_to(rig.ca, "other", "learner", "one", rig.server);
    rig_start(&rig);
    asks(&rig, ERR_UNAVAILABLE, "of run 'other'; this is run 'sort'");
    rig_done(&rig);
}

TESTS(cmocka_unit_test(caller_is_known), cmocka_unit_test(client_of_another_ca),
      cmocka_unit_test(client_of_another_run), cmocka_unit_test(client_in_plaintext),
      cmocka_unit_test(server_of_another_ca), cmocka_unit_test(server_of_another_role),
      cmocka_unit_test(server_of_another_run))
