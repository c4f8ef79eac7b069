/* A ring with the certificates that `rlhfctl certs` makes: daemons, operators and contexts. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000 };

static char *directory;

/* rlhfctl with words; its status, and what it prints. */
#define CTL(ret, ...) process_run((ret), RUN_MS, "rlhfctl", __VA_ARGS__, NULL)

static void ctl_says(int status, const char *part, const char *const *words)
{
    char *log = testing_path(directory, "ctl.log");
    struct process p = process_start_words(log, "rlhfctl", words);
    const int got = process_wait(&p, RUN_MS);
    SCOPED_MEM char *text = file_text(log);
    if (got != status || !strstr(text, part))
        fail_msg("%s %s: status %d, not %d with '%s': %s", words[0], words[1], got, status, part,
                 text);
}
#define SAYS(status, part, ...) ctl_says((status), (part), (const char *const[]){__VA_ARGS__, NULL})

/* The first generator alone trains rounds before the second has come. */
static void wait_for_worker(const struct ring *ring, const char *name)
{
    for (const int64_t until = clock_ms() + RUN_MS;; clock_sleep_ms(100)) {
        SCOPED_MEM char *text = NULL;
        CTL(&text, "workers", "--run", ring->run);
        if (strstr(text, name))
            return;
        if (clock_ms() > until)
            fail_msg("there is no %s: %s", name, text);
    }
}

static void a_ring_of_issued_certificates(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
    directory = testing_path(ring.directory, "");
    char *certs = testing_path(ring.directory, "certs");
    char *viewer = testing_path(certs, "viewer"), *admin = testing_path(certs, "admin");
    char *stranger = testing_path(certs, "stranger"), *bare = testing_path(ring.directory, "bare");
    setenv("XDG_CONFIG_HOME", testing_path(ring.directory, "config"), 1);
    assert_int_equal(CTL(NULL, "certs", "init", certs), 0);
    assert_int_equal(CTL(NULL, "certs", "issue", certs, "--recipe", ring.recipe, "--set",
                         "generator.count=2", "--set", "rewarder.count=2"),
                     0);
    assert_int_equal(CTL(NULL, "certs", "issue", certs, "--role", "viewer", "--run", "other",
                         "--name", "stranger"),
                     0);
    SCOPED_MEM char *tls = mem_printf("net.tls=%s", certs);
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set", tls,
                      "--set", "generator.count=2", "--set", "rewarder.count=2", NULL);
    ring_wait_rounds(&ring, 3, RUN_MS);
    wait_for_worker(&ring, "generator-2");

    /* --run finds the keys by the run's recipe, an address by a context, the environment or a
     * flag. */
    SAYS(0, "TRAINING", "status", "--run", ring.run);
    SAYS(0, "generator-2", "workers", "--run", ring.run, "--tls", viewer);
    SAYS(4, "viewer", "pause", "--run", ring.run, "--tls", viewer);
    SCOPED_VALUE(bytes) endpoints = {0};
    SCOPED_MEM char *path = file_join(ring.run, "endpoints.json");
    assert_ok(file_read(path, 1 << 16, &endpoints));
    const char *learner = strstr((char *)endpoints.data, "\"learner\"");
    char address[64];
    assert_int_equal(sscanf(strstr(learner, "\"admin\""), "\"admin\": \"%63[^\"]", address), 1);
    SAYS(0, "", "context", "add", "far", "--address", address, "--tls", admin);
    SAYS(0, "admin", "context", "list");
    SAYS(0, "", "pause", "--reason", "a look");
    SAYS(0, "", "resume");
    SAYS(6, "run 'test'", "workers", "--tls", stranger);
    assert_int_equal(setenv("RLHFD_TLS", viewer, 1), 0);
    SAYS(4, "viewer", "pause");
    assert_int_equal(setenv("RLHFD_TLS", bare, 1), 0);
    SAYS(3, "bare", "workers");
    unsetenv("RLHFD_TLS");

    process_kill(&up, SIGINT);
    assert_int_equal(process_wait(&up, RUN_MS), 0);
    ring_audit(&ring);
}

TESTS(cmocka_unit_test(a_ring_of_issued_certificates))
