/* A ring of real daemons that speak TLS, an authority of the test's own, and keys of all who might
 * call.
 *
 *     struct guarded g;
 *     guarded_start(&g, &(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1}, "");
 *     SCOPED_MEM char *directory = guarded_keys(&g, "viewer", "anna");      -- made when first asked for
 *     guarded_end(&g);                                                      -- drains; all is accounted for
 *
 * Owner: the test's thread. */
#pragma once
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/certificates.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <string.h>

enum { GUARDED_MS = 90000 };
#define GUARDED_RUN "test" // run.name of every ring_prepare

struct guarded {
    struct authority *ca, *other; // the second one: nobody trusts it
    char *keys;                   // keys/NAME of each
    char settings[700];
    struct ring ring;
    struct daemons daemons;
};

static const char *const guarded_daemons[DAEMON_KINDS] = {"learner", "rewarder", "generator"};

/* keys/NAME; owned by the caller. */
static inline char *guarded_keys(const struct guarded *g, const char *role, const char *name)
{
    char *directory = file_join(g->keys, name);
    if (!file_exists(directory))
        authority_issue_to(g->ca, GUARDED_RUN, role, name, directory);
    return directory;
}

static inline void guarded_start(struct guarded *g, const struct ring_options *options,
                                 const char *settings)
{
    *g = (struct guarded){.ca = authority_new("first"), .other = authority_new("second")};
    g->ring = ring_prepare(options);
    g->keys = testing_path(g->ring.directory, "keys");
    for (int kind = 0; kind < DAEMON_KINDS; kind++)
        mem_free(guarded_keys(g, guarded_daemons[kind], guarded_daemons[kind]));
    snprintf(g->settings, sizeof g->settings, "net.tls=%s %s", g->keys, settings);
    g->daemons = daemons_start(&g->ring, g->settings);
}

static inline void guarded_goes_on(const struct guarded *g)
{
    for (int kind = 0; kind < DAEMON_KINDS; kind++)
        daemons_assert_running(&g->daemons, (enum daemon_kind)kind);
    ring_wait_rounds(&g->ring, ring_read(&g->ring).rounds + 3, GUARDED_MS);
}

/* A drained run ends well, and every group's fate is known. */
static inline void guarded_end(struct guarded *g)
{
    process_kill(&g->daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&g->daemons, GUARDED_MS), 0);
    ring_audit(&g->ring);
    authority_free(g->ca);
    authority_free(g->other);
}

/* How often a text is in a daemon's log. */
static inline int guarded_log_count(const struct guarded *g, const char *name, const char *text)
{
    SCOPED_MEM char *path = mem_printf("%s/%s.log", g->ring.run, name);
    SCOPED_MEM char *log = file_text(path);
    int count = 0;
    for (const char *at = log; (at = strstr(at, text)); at++)
        count++;
    return count;
}

/* Waits for a line of a daemon's log that has all the parts, NULL at the end. */
static inline void guarded_log_wait(const struct guarded *g, const char *name,
                                    const char *const *parts)
{
    SCOPED_MEM char *path = mem_printf("%s/%s.log", g->ring.run, name);
    for (int64_t until = clock_ms() + GUARDED_MS; clock_ms() < until; clock_sleep_ms(20)) {
        SCOPED_MEM char *log = file_text(path);
        char *rest = NULL;
        for (char *line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            bool all = true;
            for (size_t i = 0; all && parts[i]; i++)
                all = strstr(line, parts[i]) != NULL;
            if (all)
                return;
        }
    }
    for (size_t i = 0; parts[i]; i++)
        print_error("no line with '%s'\n", parts[i]);
    file_print_end(name, path);
    fail();
}
