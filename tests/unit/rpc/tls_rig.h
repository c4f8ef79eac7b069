/* A loopback whose server and client have keys: directories that a test may write anew. */
#pragma once
#include "loopback.h"
#include "testing/certificates.h"

struct rig {
    struct loopback lo;
    struct authority *ca, *other;
    char *server, *client;            // directories of keys
    const struct rpc_method *methods; // NULL: loopback_methods
    int idle_ms;
    struct security at_server, at_client;
};

static inline void issue(const struct authority *ca, const char *role, const char *directory)
{
    authority_issue_to(ca, "sort", role, "one", directory);
}

static inline void rig_init(struct rig *rig)
{
    *rig = (struct rig){.ca = authority_new("first"), .other = authority_new("second")};
    rig->server = testing_path(testing_directory(), "server");
    rig->client = testing_path(testing_directory(), "client");
    issue(rig->ca, "learner", rig->server);
    issue(rig->ca, "generator", rig->client);
}

/* Reads the keys of both, and starts. */
static inline void rig_start(struct rig *rig)
{
    rig->at_server.run = rig->at_client.run = "sort";
    assert_ok(tls_keys_open(rig->server, &rig->at_server.keys));
    if (rig->client)
        assert_ok(tls_keys_open(rig->client, &rig->at_client.keys));
    struct loopback *lo = &rig->lo;
    *lo = (struct loopback){.half_close_ok = true,
                            .security = &rig->at_server,
                            .client_security = &rig->at_client,
                            .methods = rig->methods,
                            .idle_ms = rig->idle_ms,
                            .servers = CALLER_LEARNER};
    assert_ok(loop_new(&lo->loop));
    assert_ok(rpc_new(lo->loop, &lo->rpc));
    serve(lo, 0, 0);
    connect_to(lo, 0);
}

static inline void rig_done(struct rig *rig)
{
    loopback_done(&rig->lo);
    tls_keys_free(rig->at_server.keys);
    tls_keys_free(rig->at_client.keys);
    authority_free(rig->ca);
    authority_free(rig->other);
}

/* Asks once; the code, and a part of the text. */
static inline void asks(struct rig *rig, enum err_code code, const char *part)
{
    struct call_outcome out = {0};
    ask_status(&rig->lo, 20000, &out);
    until(&rig->lo, is_set, &out.closed);
    if (out.code != code || !strstr(out.text, part))
        fail_msg("code %d, text '%s'", out.code, out.text);
    outcome_done(&out);
}

/* Asks until it is answered: core gives an attempt to connect five seconds, and waits before the
 * next. */
static inline void asks_in_the_end(struct rig *rig)
{
    struct call_outcome out = {0};
    const int64_t until_ms = clock_ms() + 120000;
    do {
        if (clock_ms() > until_ms)
            fail_msg("code %d, text '%s'", out.code, out.text);
        run_for(&rig->lo, 100);
        ask_status(&rig->lo, 20000, &out);
        until(&rig->lo, is_set, &out.closed);
    } while (out.code);
    outcome_done(&out);
}
