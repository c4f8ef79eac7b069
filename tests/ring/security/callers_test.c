/* Callers and methods: every method of the project, on every port of every daemon, by every role
 * and by all kinds of outsiders. The rows of the daemons' own tables say what is to be seen. Bytes
 * that are no message do as a request: a caller that may call is told so, another one is denied,
 * and nothing is done. */
#include "ports.h"
#include "testing/asker.h"
#include "testing/guarded.h"
#include "testing/outsider.h"

/* ---- every role */

static const struct {
    const char *role, *name;
    unsigned bit;
} roles[] = {{"generator", "g-2", CALLER_GENERATOR},
             {"rewarder", "r-2", CALLER_REWARDER},
             {"learner", "l-2", CALLER_LEARNER},
             {"viewer", "anna", CALLER_VIEWER},
             {"admin", "olga", CALLER_ADMIN}};
enum { ROLES = sizeof roles / sizeof *roles };

struct seen {
    int allowed, refused, unknown, wrong;
};

static void wrong(struct seen *seen, const struct asker *asker, const struct port *port,
                  const char *path, const char *role, const char *wanted)
{
    seen->wrong++;
    print_error("%s %s: %s by a %s: wanted %s, got %d '%s'\n", port->name, port->address, path,
                role, wanted, asker->code, asker->text);
}

static void try_one(struct asker *asker, const struct port *port, const char *path, size_t role,
                    struct seen *seen)
{
    static const uint8_t malformed[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff};
    const struct rpc_method *row = port_find(port, path);
    const enum err_code code = asker_call(asker, path, malformed, sizeof malformed);
    if (!row) {
        seen->unknown++;
        if (code != ERR_UNIMPLEMENTED)
            wrong(seen, asker, port, path, roles[role].role, "that nobody knows it");
    } else if (row->callers & roles[role].bit) {
        seen->allowed++;
        if (code != ERR_INVALID)
            wrong(seen, asker, port, path, roles[role].role, "that the message is malformed");
    } else {
        char names[64];
        identity_roles_print(row->callers, names, sizeof names);
        SCOPED_MEM char *text =
            mem_printf("spiffe://testing/run/test/%s/%s may not call this; allowed are: %s",
                       roles[role].role, roles[role].name, names);
        seen->refused++;
        if (code != ERR_DENIED || !strstr(asker->text, text) || asker->replies)
            wrong(seen, asker, port, path, roles[role].role, "to be denied");
    }
}

static struct seen try_all(const struct guarded *g, const struct port ports[PORTS],
                           const struct methods *methods)
{
    struct seen seen = {0};
    for (size_t role = 0; role < ROLES; role++) {
        SCOPED_MEM char *keys = guarded_keys(g, roles[role].role, roles[role].name);
        struct asker asker = asker_new(keys, GUARDED_RUN);
        for (size_t port = 0; port < PORTS; port++) {
            asker_connect(&asker, ports[port].address);
            for (size_t i = 0; i < methods->count; i++)
                try_one(&asker, &ports[port], methods->path[i], role, &seen);
        }
        asker_done(&asker);
    }
    return seen;
}

static void each_row_is_kept(const struct guarded *g, const struct port ports[PORTS],
                             const struct methods *methods)
{
    const struct seen seen = try_all(g, ports, methods);
    print_message("%zu methods, %d ports, %d roles: %d allowed, %d refused, %d not served there\n",
                  methods->count, PORTS, ROLES, seen.allowed, seen.refused, seen.unknown);
    assert_int_equal(seen.wrong, 0);
    for (int kind = 0; kind < DAEMON_KINDS; kind++)
        guarded_log_wait(g, guarded_daemons[kind],
                         (const char *const[]){"\"call denied\"",
                                               "identity=\"spiffe://testing/run/test/", "method=/",
                                               "callers=\"", NULL});
}

/* ---- outsiders: none reaches a method, whatever it asks for */

enum { DAY = 86400 };
static const struct kind {
    const char *name, *uri, *second_uri; // name: of the keys' directory; uri NULL: no certificate
    bool other_ca, tls;
    int64_t from_s, until_s;
    const char *why; // in the answer and in the daemon's log
} kinds[] = {
    {"plaintext", .why = "the client speaks plaintext; this port takes TLS alone"},
    {"nothing", .tls = true, .why = "no certificate was shown"},
    {"other-ca", "spiffe://testing/run/test/admin/olga", .tls = true, .other_ca = true,
     .why = "the certificate is of a CA that is not in ca.crt (issuer /CN=second)"},
    {"expired", "spiffe://testing/run/test/admin/olga", .tls = true, .from_s = -DAY / 2,
     .until_s = -60, .why = "the certificate expired on "},
    {"early", "spiffe://testing/run/test/admin/olga", .tls = true, .from_s = 600, .until_s = DAY,
     .why = "the certificate is not valid before "},
    {"other-run", "spiffe://testing/run/other/admin/olga", .tls = true,
     .why = "the certificate is of run 'other'; this is run 'test'"},
    {"two-names", "spiffe://testing/run/test/viewer/anna", "spiffe://testing/run/test/admin/olga",
     .tls = true, .why = "the certificate has 2 URIs as alternative names; it needs exactly one"},
    {"no-role", "spiffe://testing/run/test/boss/olga", .tls = true, .why = "boss"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void issue(const struct guarded *g, const struct kind *kind)
{
    SCOPED_MEM char *directory = file_join(g->keys, kind->name);
    authority_issue(kind->other_ca ? g->other : g->ca,
                    &(struct certificate){.uri = kind->uri,
                                          .second_uri = kind->second_uri,
                                          .from_s = kind->from_s,
                                          .until_s = kind->until_s},
                    directory);
}

/* Each kind has an address of its own: of one address only so many are refused in a second. */
static void ask_as(const struct guarded *g, const struct kind *kind, const struct port *port,
                   const char *path, struct seen *seen)
{
    SCOPED_MEM char *keys = file_join(g->keys, kind->name);
    SCOPED_MEM char *from = mem_printf("127.0.1.%d", (int)(kind - kinds) + 1);
    struct outsider o = outsider_connect(
        port->address, &(struct outsider_options){
                           .tls = kind->tls, .keys = kind->uri ? keys : NULL, .from = from});
    outsider_asks(&o, path, kind->why);
    outsider_done(&o);
    seen->refused++;
    if (strstr(o.answer, "grpc-status") && strstr(o.answer, kind->why))
        return;
    seen->wrong++;
    print_error("%s %s: %s by '%s': wanted '%s', got '%s'\n", port->name, port->address, path,
                kind->name, kind->why, o.answer);
}

static void outsiders_are_told_why(const struct guarded *g, const struct port ports[PORTS],
                                   const struct methods *methods)
{
    struct seen seen = {0};
    for (size_t i = 0; i < methods->count; i++)
        for (size_t kind = 0; kind < KINDS; kind++)
            for (size_t port = 0; port < PORTS; port++)
                ask_as(g, &kinds[kind], &ports[port], methods->path[i], &seen);
    print_message("%d kinds of outsiders: %d calls refused\n", KINDS, seen.refused);
    assert_int_equal(seen.wrong, 0);
    for (size_t kind = 0; kind < KINDS; kind++)
        for (int daemon = 0; daemon < DAEMON_KINDS; daemon++)
            guarded_log_wait(g, guarded_daemons[daemon],
                             (const char *const[]){"\"connection refused\"", "peer=ipv4:127.0.1.",
                                                   kinds[kind].why, NULL});
}

/* ---- pages: probes for anybody, metrics for who has a token */

#define VIEWER "viewer-3q2-7wQmZx9LkPbT"
#define WRONG  "viewer-3q2-7wQmZx9LkPbS"
static const struct request {
    bool at_probes;
    const char *path, *headers, *status, *part;
    bool logged; // the part is in the daemon's log
} requests[] = {
    {true, "/livez", "", " 200 ", "ok"},
    {true, "/readyz", "", " 200 ", "ok"},
    {true, "/metrics", "", " 404 ", "not found"},
    {false, "/metrics", "", " 401 ", "Authorization: Bearer TOKEN is needed", true},
    {false, "/readyz", "", " 401 ", "Authorization: Bearer TOKEN is needed", true},
    {false, "/metrics", "Authorization: Bearer " WRONG "\r\n", " 401 ", "the token is not known",
     true},
    {false, "/metrics", "Authorization: Basic " VIEWER "\r\n", " 401 ",
     "Authorization: Bearer TOKEN is needed", true},
    {false, "/metrics?token=" VIEWER, "", " 400 ", "a token does not belong into the URL", true},
    {false, "/metrics", "Host: evil.example\r\nAuthorization: Bearer " VIEWER "\r\n", " 403 ",
     "this port answers to localhost and the loopback addresses alone", true},
    {false, "/metrics", "Authorization: Bearer " VIEWER "\r\n", " 200 ", "rlhfd_"},
    {false, "/readyz", "Authorization: Bearer " VIEWER "\r\n", " 200 ", "ok"},
};

static void get(const char *address, const struct request *request)
{
    struct outsider o = outsider_connect(address, &(struct outsider_options){0});
    SCOPED_MEM char *text =
        mem_printf("GET %s HTTP/1.0\r\n%s\r\n", request->path, request->headers);
    assert_true(outsider_send(&o, text, strlen(text)));
    outsider_listen(&o, "no end but the server's");
    outsider_done(&o);
    const char *status = strstr(o.answer, request->status);
    if (!status || status - o.answer > 9 || !strstr(o.answer, request->part))
        fail_msg("%s %s '%s': wanted%s'%s', got '%s'", address, request->path, request->headers,
                 request->status, request->part, o.answer);
}

static void pages_are_guarded(const struct guarded *g)
{
    for (int kind = 0; kind < DAEMON_KINDS; kind++)
        for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
            const struct request *r = &requests[i];
            get(r->at_probes ? g->daemons.probes[kind] : g->daemons.metrics[kind], r);
            if (r->logged)
                guarded_log_wait(g, guarded_daemons[kind],
                                 (const char *const[]){"\"page refused\"",
                                                       "peer=ipv4:127.0.0.1:", r->part, NULL});
            assert_int_equal(guarded_log_count(g, guarded_daemons[kind], VIEWER), 0);
        }
}

static void who_may_call_what(void **)
{
    struct guarded g;
    const char *tokens = testing_path(testing_directory(), "tokens");
    SCOPED_MEM char *settings =
        mem_printf("publish.fanout=2 eval.every=1000000 metrics.tokens=%s", tokens);
    assert_ok(file_write_private(tokens, "viewer " VIEWER "\n", strlen("viewer " VIEWER "\n")));
    guarded_start(&g, &(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1}, settings);
    for (size_t kind = 0; kind < KINDS; kind++)
        if (kinds[kind].uri)
            issue(&g, &kinds[kind]);
    ring_wait_rounds(&g.ring, 2, GUARDED_MS);
    struct port ports[PORTS];
    ports_list(&g.daemons, ports);
    struct methods methods = methods_list(ports);
    each_row_is_kept(&g, ports, &methods);
    outsiders_are_told_why(&g, ports, &methods);
    pages_are_guarded(&g);
    guarded_goes_on(&g);
    guarded_end(&g);
    methods_done(&methods);
}

TESTS(cmocka_unit_test(who_may_call_what))
