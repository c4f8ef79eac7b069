/* A ring whose ports all speak TLS: the weights are those of a ring in plaintext, and whoever has
 * the wrong certificate is refused with a line that says why. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "learner/round/trainee.h"
#include "learner/settings.h"
#include "learner/store/store.h"
#include "testing/certificates.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 8, WAIT_MS = 120000 };

/* A directory of keys for all that the tests start, of run "test". */
static char *keys_of(const struct authority *ca, const char *name)
{
    static const struct {
        const char *role, *name;
    } holders[] = {
        {"learner", "learner"},       {"rewarder", "rewarder"}, {"generator", "generator"},
        {"generator", "generator-1"}, {"generator", "other"},   {"admin", "admin"},
        {"viewer", "viewer"},         {"generator", "g0"},      {"generator", "g1"}};
    char *directory = testing_path(testing_directory(), name);
    for (size_t i = 0; i < sizeof holders / sizeof *holders; i++) {
        SCOPED_MEM char *at = file_join(directory, holders[i].name);
        authority_issue_to(ca, "test", holders[i].role, holders[i].name, at);
    }
    return directory;
}

static char *text_of_log(const struct ring *ring, const char *daemon)
{
    SCOPED_MEM char *path = mem_printf("%s/%s.log", ring->run, daemon);
    return file_text(path);
}

/* Waits for a part of a daemon's log. */
static void wait_log(const struct ring *ring, const char *daemon, const char *part)
{
    for (const int64_t until = clock_ms() + WAIT_MS;; clock_sleep_ms(50)) {
        SCOPED_MEM char *text = text_of_log(ring, daemon);
        if (strstr(text, part))
            return;
        if (clock_ms() > until)
            fail_msg("the %s never says '%s':\n%s", daemon, part, text);
    }
}

/* ---- the same weights */

static void digests_of(const struct ring *ring, struct trainee_digests ret[ROUNDS])
{
    SCOPED(recipe) r = NULL;
    struct recipe_source source = {.file = ring->recipe, .run = ring->run};
    assert_ok(recipe_read(&source, &r));
    SCOPED(jsonl) data = NULL;
    assert_ok(jsonl_open(r->data.train.at[0].path, &data));
    struct store_options options = {.run = r->run.name,
                                    .data = jsonl_digest(data),
                                    .rows = jsonl_rows(data),
                                    .seed = (uint64_t)r->run.seed,
                                    .shuffle = r->data.shuffle};
    struct store_rules rules = settings_store(r);
    SCOPED_MEM char *directory = file_join(ring->run, "store");
    SCOPED(store) store = NULL;
    assert_ok(store_open(directory, &options, &rules, 0, &store));
    assert_int_equal(store_last_version(store), ROUNDS);
    for (uint64_t v = 1; v <= ROUNDS; v++)
        assert_ok(store_digests_of(store, v, &ret[v - 1]));
}

static struct ring run_up(const char *extra)
{
    struct ring ring = ring_prepare(
        &(struct ring_options){.rounds = ROUNDS, .groups = 8, .lag = 0, .extra = extra});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    const int status = process_wait(&up, WAIT_MS);
    if (status)
        file_print_end("up", ring.log);
    assert_int_equal(status, 0);
    return ring;
}

static void weights_are_those_of_plaintext(void **)
{
    static struct trainee_digests plain[ROUNDS], secure[ROUNDS];
    struct authority *ca = authority_new("ring");
    SCOPED_MEM char *extra = mem_printf("net: {tls: %s}", keys_of(ca, "same"));
    struct ring without = run_up("net: {insecure: false}"), with = run_up(extra);
    digests_of(&without, plain);
    digests_of(&with, secure);
    for (int v = 0; v < ROUNDS; v++)
        assert_null(trainee_digests_differ(&plain[v], &secure[v]));
    SCOPED_MEM char *log = mem_printf("%s/logs/learner.log", with.run);
    SCOPED_MEM char *text = file_text(log);
    assert_non_null(strstr(text, "TLS as spiffe://testing/run/test/learner/learner until "));
    assert_null(strstr(text, "connection refused"));
    ring_audit(&with);
    authority_free(ca);
}

/* ---- who may do what */

struct guarded {
    struct authority *ca;
    struct ring ring;
    struct daemons daemons;
    char *keys, settings[256];
};

static void guarded_open(struct guarded *g, const char *name)
{
    *g = (struct guarded){.ca = authority_new(name)};
    g->keys = keys_of(g->ca, name);
    g->ring = ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 2});
    snprintf(g->settings, sizeof g->settings, "net.tls=%s", g->keys);
    g->daemons = daemons_start(&g->ring, g->settings);
}

static void guarded_close(struct guarded *g)
{
    process_kill(&g->daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&g->daemons, WAIT_MS), 0);
    authority_free(g->ca);
}

/* rlhfctl WORD... with the keys of a holder; its exit status. */
static int ctl(const struct guarded *g, const char *holder, char **ret, const char *command,
               const char *word)
{
    SCOPED_MEM char *keys = file_join(g->keys, holder);
    return process_run(ret, WAIT_MS, "rlhfctl", command, "--address", g->daemons.admin[LEARNER],
                       "--tls", keys, word, NULL);
}

static void viewers_look_and_admins_change(void **)
{
    struct guarded g;
    SCOPED_MEM char *looked = NULL, *refused = NULL, *changed = NULL, *changes = NULL,
                    *foreign = NULL;
    guarded_open(&g, "roles");
    assert_int_equal(ctl(&g, "viewer", &looked, "get", "lag.max"), 0);
    assert_true(ctl(&g, "viewer", &refused, "set", "lag.max=1") != 0);
    assert_non_null(strstr(refused, "spiffe://testing/run/test/viewer/viewer may not call this; "
                                    "allowed are: admin"));
    assert_int_equal(ctl(&g, "admin", &changed, "set", "lag.max=1"), 0);
    assert_int_equal(ctl(&g, "viewer", &changes, "changes", "--limit=5"), 0);
    assert_non_null(strstr(changes, "admin/admin"));
    /* A generator is no viewer. */
    assert_true(ctl(&g, "generator", &foreign, "status", "--numbers") != 0);
    assert_non_null(strstr(foreign, "spiffe://testing/run/test/generator/generator may not call"));
    guarded_close(&g);
}

/* The second generator gets its weights from the first or the third: peers of one role. */
static void generators_pass_weights_on(void **)
{
    struct guarded g = {.ca = authority_new("chain")};
    struct extra more[2];
    g.keys = keys_of(g.ca, "chain");
    g.ring = ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 2});
    snprintf(g.settings, sizeof g.settings, "net.tls=%s publish.fanout=1", g.keys);
    g.daemons = daemons_start(&g.ring, g.settings);
    for (int i = 0; i < 2; i++)
        more[i] = daemons_extra(&g.daemons, i ? "g1" : "g0", "");
    const int64_t until = clock_ms() + WAIT_MS;
    for (bool all = false; !all; clock_sleep_ms(50)) {
        all = daemons_metric(&g.daemons, LEARNER, "rlhfd_weights_direct") == 1;
        for (int i = 0; i < 2; i++)
            all &= daemons_metric_at(more[i].metrics, "rlhfd_weights_version") >= 2;
        if (clock_ms() > until)
            fail_msg("the weights are not passed on");
    }
    for (int i = 0; i < 2; i++) {
        process_kill(&more[i].process, SIGKILL);
        process_wait(&more[i].process, WAIT_MS);
    }
    guarded_close(&g);
}

/* ---- starts that are refused, and one that is told */

/* A learner of this ring with two settings; what it says before it ends. */
static char *learner_says(const struct ring *ring, const char *one, const char *other)
{
    char *said = NULL;
    assert_true(process_run(&said, WAIT_MS, "rlhfd-learner", ring->recipe, "--run", ring->run,
                            "--set", "learner.listen=127.0.0.1:0", "--set", one, "--set", other,
                            NULL) != 0);
    return said;
}

static void starts_that_cannot_be_secure_are_refused(void **)
{
    struct authority *ca = authority_new("starts");
    char *keys = keys_of(ca, "starts");
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    SCOPED_MEM char *tls = mem_printf("net.tls=%s", keys);
    SCOPED_MEM char *wrong = mem_printf("net.tls=%s/rewarder", keys);
    SCOPED_MEM char *none = mem_printf("net.tls=%s/nobody", keys);
    SCOPED_MEM char *role = learner_says(&ring, wrong, "lag.max=0");
    assert_non_null(strstr(role, "is of spiffe://testing/run/test/rewarder/rewarder; this is a "
                                 "learner"));
    SCOPED_MEM char *run = learner_says(&ring, tls, "run.name=other");
    assert_non_null(strstr(run, "this is run 'other' (run.name)"));
    SCOPED_MEM char *missing = learner_says(&ring, none, "lag.max=0");
    assert_non_null(strstr(missing, "net.tls: "));
    assert_non_null(strstr(missing, "nobody/tls.crt"));
    SCOPED_MEM char *nccl = learner_says(&ring, tls, "publish.transport=nccl");
    assert_non_null(strstr(nccl, "with net.tls it needs publish.nccl_plaintext: true"));
    /* A connection with TLS is three descriptors: what is enough in plaintext is too few. */
    SCOPED_MEM char *files = NULL;
    assert_true(process_run(&files, WAIT_MS, "/bin/sh", "-c",
                            "ulimit -n 700 && exec " TEST_BIN "/rlhfd-learner \"$@\"", "sh",
                            ring.recipe, "--run", ring.run, "--set", "learner.listen=127.0.0.1:0",
                            "--set", tls, NULL) != 0);
    assert_non_null(strstr(files, "limited to 700; at least "));
    assert_non_null(strstr(files, " for files and peers, 480 for connections"));
    authority_free(ca);
}

static void plaintext_beyond_loopback_is_told(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 2});
    struct daemons daemons = daemons_start(&ring, "net.insecure=true");
    SCOPED_MEM char *status = NULL;
    wait_log(&ring, "learner", "\"insecure\"");
    assert_int_equal((int)daemons_metric(&daemons, LEARNER, "rlhfd_insecure"), 1);
    assert_int_equal((int)daemons_metric(&daemons, GENERATOR, "rlhfd_insecure"), 1);
    assert_int_equal(process_run(&status, WAIT_MS, "rlhfctl", "status", "--address",
                                 daemons.admin[REWARDER], NULL),
                     0);
    assert_non_null(strstr(status, "is insecure: plaintext beyond this machine"));
    process_kill(&daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&daemons, WAIT_MS), 0);
}

static void strangers_are_refused(void **)
{
    struct guarded g;
    char settings[512];
    guarded_open(&g, "strangers");
    struct authority *other = authority_new("elsewhere");
    char *stranger = testing_path(testing_directory(), "stranger");
    /* A generator of another CA which trusts this ring's. */
    authority_issue(other,
                    &(struct certificate){.uri = "spiffe://testing/run/test/generator/stranger",
                                          .roots = {g.ca}},
                    stranger);
    snprintf(settings, sizeof settings, "net.tls=%s", stranger);
    struct extra one = daemons_extra(&g.daemons, "stranger", settings);
    wait_log(&g.ring, "learner",
             "the certificate is of a CA that is not in ca.crt (issuer /CN=elsewhere)");
    process_kill(&one.process, SIGKILL);
    process_wait(&one.process, WAIT_MS);
    /* One with a good certificate, which claims to be another, ends with the line. */
    snprintf(settings, sizeof settings, "net.tls=%s/other", g.keys);
    struct process two = process_start(g.ring.log, "rlhfd-generator", g.ring.recipe, "--set",
                                       "generator.listen=127.0.0.1:0", "--set", settings, "--set",
                                       "generator.name=generator", NULL);
    assert_true(process_wait(&two, WAIT_MS) != 0);
    SCOPED_MEM char *said = file_text(g.ring.log);
    assert_non_null(strstr(said, "this is generator.name 'generator'"));
    daemons_assert_running(&g.daemons, LEARNER);
    authority_free(other);
    guarded_close(&g);
}

TESTS(cmocka_unit_test(weights_are_those_of_plaintext),
      cmocka_unit_test(viewers_look_and_admins_change), cmocka_unit_test(strangers_are_refused),
      cmocka_unit_test(generators_pass_weights_on),
      cmocka_unit_test(starts_that_cannot_be_secure_are_refused),
      cmocka_unit_test(plaintext_beyond_loopback_is_told))
