/* Daemons with wrong keys, clients that claim to be others, and what none of them can do: each is
 * refused, and both sides say why in one line. Nothing of what it sends is kept. */
#include "base/json.h"
#include "model/files/identity.h"
#include "svc/recipe/recipe_shared.h"
#include "svc/svc.h"
#include "testing/asker.h"
#include "testing/guarded.h"
#include "testing/lease_client.h"
#include "testing/outsider.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const struct ring_options endless = {.rounds = 1000000, .groups = 8, .lag = 1};

/* ---- a generator of ours with wrong keys */

struct stranger {
    const char *name, *uri; // uri NULL: plaintext
    const char *run;        // run.name
    bool other_ca, other_roots;
    int64_t until_s;
    const char *says, *learner_says; // NULL: it never gets as far
};

static const struct stranger strangers[] = {
    {"g-plain", NULL, "test", .says = "the client speaks plaintext; this port takes TLS alone",
     .learner_says = "the client speaks plaintext; this port takes TLS alone"},
    {"g-other-ca", "spiffe://testing/run/test/generator/g-other-ca", "test", .other_ca = true,
     .says = "the certificate is of a CA that is not in ca.crt (issuer /CN=second)",
     .learner_says = "the certificate is of a CA that is not in ca.crt (issuer /CN=second)"},
    {"g-other-roots", "spiffe://testing/run/test/generator/g-other-roots", "test",
     .other_roots = true,
     .says = "the certificate is of a CA that is not in ca.crt (issuer /CN=first)",
     .learner_says = "the client left after the handshake: it refuses this server, or gave up"},
    {"g-other-run", "spiffe://testing/run/other/generator/g-other-run", "other",
     .says = "of run 'test'; this is run 'other'",
     .learner_says = "the client left after the handshake: it refuses this server, or gave up"},
    {"g-runs-differ", "spiffe://testing/run/other/generator/g-runs-differ", "test",
     .says = "g-runs-differ; this is run 'test' (run.name)"},
    {"g-no-generator", "spiffe://testing/run/test/rewarder/g-no-generator", "test",
     .says = "g-no-generator; this is a generator"},
    {"g-named", "spiffe://testing/run/test/generator/g-else", "test",
     .says = "g-else; this is generator.name 'g-named'"},
    {"g-expired", "spiffe://testing/run/test/generator/g-expired", "test", .until_s = -60,
     .says = "expired on "},
};
enum { STRANGERS = sizeof strangers / sizeof *strangers, JOIN_S = 10 };

static struct process start_stranger(const struct guarded *g, const struct stranger *s)
{
    SCOPED_MEM char *directory = file_join(g->keys, s->name);
    SCOPED_MEM char *log = mem_printf("%s/%s.log", g->ring.run, s->name);
    SCOPED_MEM char *tls = mem_printf("net.tls=%s", s->uri ? directory : "");
    SCOPED_MEM char *name = mem_printf("generator.name=%s", s->name);
    SCOPED_MEM char *run = mem_printf("run.name=%s", s->run);
    SCOPED_MEM char *join = mem_printf("net.join_timeout_s=%d", JOIN_S);
    SCOPED_MEM char *learner = mem_printf("generator.learner=%s", g->daemons.address[LEARNER]);
    SCOPED_MEM char *rewarder = mem_printf("generator.rewarder=%s", g->daemons.address[REWARDER]);
    if (s->uri)
        authority_issue(s->other_ca ? g->other : g->ca,
                        &(struct certificate){.uri = s->uri,
                                              .from_s = s->until_s ? -3600 : 0,
                                              .until_s = s->until_s,
                                              .roots = {s->other_roots ? g->other : g->ca}},
                        directory);
    return process_start(log, "rlhfd-generator", g->ring.recipe, "--set", tls, "--set", name,
                         "--set", run, "--set", join, "--set", learner, "--set", rewarder, "--set",
                         "generator.listen=127.0.0.1:0", NULL);
}

static void it_ended_with_a_line(const struct guarded *g, const struct stranger *s,
                                 struct process *process)
{
    SCOPED_MEM char *log = mem_printf("%s/%s.log", g->ring.run, s->name);
    const int status = process_wait(process, GUARDED_MS);
    if (status != 1 && status != EXIT_STATUS_USAGE && status != EXIT_STATUS_REFUSED)
        file_print_end(s->name, log);
    assert_int_not_equal(status, 0);
    guarded_log_wait(g, s->name, (const char *const[]){" error ", s->says, NULL});
    if (s->learner_says)
        guarded_log_wait(g, "learner",
                         (const char *const[]){"\"connection refused\"", s->learner_says, NULL});
}

static void strangers_end(void **)
{
    struct process processes[STRANGERS];
    struct guarded g;
    guarded_start(&g, &endless, "");
    ring_wait_rounds(&g.ring, 2, GUARDED_MS);
    for (size_t i = 0; i < STRANGERS; i++)
        processes[i] = start_stranger(&g, &strangers[i]);
    for (size_t i = 0; i < STRANGERS; i++)
        it_ended_with_a_line(&g, &strangers[i], &processes[i]);
    guarded_goes_on(&g);
    guarded_end(&g);
}

/* ---- a good certificate, and a claim to be another */

static struct hello hello_of(const struct ring *ring)
{
    struct hello hello = {0};
    SCOPED(recipe) recipe = NULL;
    assert_ok(
        recipe_read(&(struct recipe_source){.file = ring->recipe, .run = ring->run}, &recipe));
    recipe_of_samples(recipe, hello_put, &hello);
    assert_ok(model_identity(recipe->model.path, hello_put, &hello));
    return hello;
}

static void claims_are_checked(const struct guarded *g)
{
    static const struct {
        const char *run, *name, *why; // why NULL: it is its own name
    } rows[] = {{"test", "generator",
                 "a caller that is spiffe://testing/run/test/generator/g-2 may not speak for "
                 "'generator' of run 'test'"},
                {"other", "g-2", "this learner trains run 'test', not 'other'"},
                {"test", "g-2", NULL}};
    SCOPED_MEM char *keys = guarded_keys(g, "generator", "g-2");
    SCOPED(tls_keys) opened = NULL;
    assert_ok(tls_keys_open(keys, &opened));
    SCOPED_VALUE(hello) hello = hello_of(&g->ring);
    const struct security security = {.keys = opened, .run = GUARDED_RUN};
    for (size_t i = 0; i < 3; i++) {
        struct lease_client client;
        lease_client_open_with(&client, g->daemons.address[LEARNER], &security,
                               &(struct lease_request){.run = (char *)rows[i].run,
                                                       .generator = (char *)rows[i].name,
                                                       .incarnation = 7,
                                                       .hello = hello});
        lease_client_answered(&client);
        if (rows[i].why ? client.term || !strstr(client.why, rows[i].why) : !client.term)
            fail_msg("%s of %s: %d '%s'", rows[i].name, rows[i].run, client.code, client.why);
        lease_client_close(&client);
    }
}

static void refused_streams_are_told_why(const struct guarded *g)
{
    enum { TIMES = 60 };
    SCOPED_MEM char *keys = file_join(g->keys, "elsewhere");
    authority_issue(
        g->other,
        &(struct certificate){.uri = "spiffe://testing/run/test/viewer/anna", .roots = {g->ca}},
        keys);
    struct asker asker = asker_new(keys, GUARDED_RUN);
    for (int i = 0; i < TIMES; i++) {
        asker_connect(&asker, g->daemons.address[i % DAEMON_KINDS]);
        if (asker_call(&asker, "/grpc.health.v1.Health/Check", "", 0) != ERR_DENIED ||
            !strstr(asker.text, "(issuer /CN=second)"))
            fail_msg("%d: %d '%s'", i, asker.code, asker.text);
    }
    asker_done(&asker);
}

/* ---- TLS at a port that speaks plaintext */

static void tls_at_a_plaintext_port(const struct guarded *g)
{
    SCOPED_MEM char *file = mem_printf("%s/plain.json", g->ring.run);
    SCOPED_MEM char *log = mem_printf("%s/plain.log", g->ring.run);
    SCOPED_MEM char *learner = mem_printf("rewarder.learner=%s", g->daemons.address[LEARNER]);
    SCOPED_MEM char *keys = guarded_keys(g, "viewer", "anna");
    SCOPED_JSON json_t *ends = NULL;
    const char *address;
    struct process plain =
        process_start(log, "rlhfd-rewarder", g->ring.recipe, "--announce", file, "--set", learner,
                      "--set", "rewarder.listen=127.0.0.1:0", NULL);
    for (const int64_t until = clock_ms() + GUARDED_MS; !file_exists(file); clock_sleep_ms(5))
        assert_true(clock_ms() < until);
    assert_ok(json_read_file(file, 1 << 16, &ends));
    assert_ok(json_get_text(ends, file, "listen", &address));
    struct asker asker = asker_new(keys, GUARDED_RUN);
    asker_connect(&asker, address);
    asker.at_once = true;
    asker_call(&asker, "/grpc.health.v1.Health/Check", "", 0);
    if (asker.code != ERR_UNAVAILABLE || !strstr(asker.text, "does the server have net.tls?"))
        fail_msg("%d '%s'", asker.code, asker.text);
    asker_done(&asker);
    guarded_log_wait(g, "plain",
                     (const char *const[]){"\"connection refused\"",
                                           "the client speaks TLS; this port takes plaintext",
                                           NULL});
    process_kill(&plain, SIGKILL);
    process_wait(&plain, GUARDED_MS);
}

/* ---- nothing that they send is kept */

enum { MESSAGE = 200 << 20, SLACK_KIB = 12 << 10 };

static void forget_peak(pid_t pid)
{
    SCOPED_MEM char *path = mem_printf("/proc/%d/clear_refs", (int)pid);
    SCOPED_FD fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "5", 1), 1);
}

static long peak_kib(pid_t pid)
{
    SCOPED_MEM char *path = mem_printf("/proc/%d/status", (int)pid);
    SCOPED_MEM char *text = file_text(path);
    const char *line = strstr(text, "VmHWM:");
    assert_non_null(line);
    return strtol(line + 6, NULL, 10);
}

/* One with a good certificate of the wrong role sends by the product's own client. */
static void pour_as(const struct guarded *g, const char *role, const char *name, const char *path)
{
    SCOPED_MEM char *keys = guarded_keys(g, role, name);
    struct asker asker = asker_new(keys, GUARDED_RUN);
    void *zeros = mem_array(MESSAGE, 1);
    SCOPED(rpc_message) message = rpc_message_borrow(zeros, MESSAGE, mem_free, zeros);
    asker_connect(&asker, g->daemons.address[LEARNER]);
    if (asker_send(&asker, path, message) != ERR_DENIED || !strstr(asker.text, "may not call this"))
        fail_msg("%d '%s'", asker.code, asker.text);
    rpc_message_free(STEAL(message)); // before the runtime
    asker_done(&asker);
}

static void memory_stays(const struct guarded *g)
{
    const pid_t pid = g->daemons.process[LEARNER].pid;
    const struct outsider_options kinds[] = {{.tls = false, .from = "127.0.2.1"},
                                             {.tls = true, .from = "127.0.2.2"}};
    forget_peak(pid);
    const long before = peak_kib(pid);
    for (size_t i = 0; i < 2; i++) {
        struct outsider o = outsider_connect(g->daemons.address[LEARNER], &kinds[i]);
        const size_t taken = outsider_pours(&o, "/rlhfd.v1.Replay/Append", MESSAGE);
        print_message("%s: %zu KiB were taken\n", kinds[i].tls ? "TLS" : "plaintext", taken >> 10);
        assert_true(taken < MESSAGE);
        outsider_done(&o);
    }
    pour_as(g, "generator", "g-2", "/rlhfd.v1.Replay/Append");
    pour_as(g, "viewer", "anna", "/rlhfd.v1.Prompts/Lease");
    const long grown = peak_kib(pid) - before;
    print_message("the learner grew by %ld KiB\n", grown);
    assert_true(grown < SLACK_KIB);
}

static void outsiders_are_refused(void **)
{
    struct guarded g;
    guarded_start(&g, &endless, "");
    ring_wait_rounds(&g.ring, 2, GUARDED_MS);
    claims_are_checked(&g);
    refused_streams_are_told_why(&g);
    tls_at_a_plaintext_port(&g);
    guarded_goes_on(&g);
    daemons_kill(&g.daemons, GENERATOR); // from here on the learner has nothing else to do
    memory_stays(&g);
    daemons_start_one(&g.daemons, GENERATOR, "");
    daemons_announced(&g.daemons, GENERATOR);
    guarded_goes_on(&g);
    guarded_end(&g);
}

TESTS(cmocka_unit_test(strangers_end), cmocka_unit_test(outsiders_are_refused))
