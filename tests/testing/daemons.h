/* A ring whose daemons the test starts itself, so that one can be killed and started again with
 * other settings.
 *
 *     struct daemons ring = daemons_start(&prepared, "lag.max=0 learner.threads=2");  -- all three, ready
 *     daemons_kill(&ring, LEARNER);
 *     daemons_start_one(&ring, LEARNER, "learner.threads=1");                          -- at its old address
 *     assert_int_equal(daemons_wait_learner(&ring, 60000), 0);                         -- the run is over
 *
 * Settings are words KEY=VALUE as --set takes them; those of daemons_start hold for all daemons and
 * all starts. Each daemon writes RUN/NAME.log. Owner: the test's thread. */
#pragma once
#include "testing/process.h"
#include "testing/ring.h"
#include <stdint.h>

enum daemon_kind { LEARNER, REWARDER, GENERATOR, DAEMON_KINDS };

struct daemons {
    const struct ring *ring;
    const char *settings; // borrowed
    struct process process[DAEMON_KINDS];
    char address[DAEMON_KINDS][64], admin[DAEMON_KINDS][64];
    char probes[DAEMON_KINDS][64], metrics[DAEMON_KINDS][64];
    char started_with[DAEMON_KINDS][256]; // settings of the last start of each
};

struct daemons daemons_start(const struct ring *ring, const char *settings);

/* Starts one that was killed; daemons_announced waits until it listens. Fails the test if it ends
 * instead, but for a port that the system has lent to another process meanwhile: then it is started
 * again. */
void daemons_start_one(struct daemons *daemons, enum daemon_kind kind, const char *settings);
void daemons_announced(struct daemons *daemons, enum daemon_kind kind);

/* One more generator, listening; the caller ends it. The files are RUN/NAME.json and
 * RUN/NAME.log. */
struct extra {
    struct process process;
    char listen[64], metrics[64];
};
struct extra daemons_extra(const struct daemons *daemons, const char *name, const char *settings);

/* Fails the test with the daemon's log if it has ended. */
void daemons_assert_running(const struct daemons *daemons, enum daemon_kind kind);

/* SIGKILL; returns when it is dead. Fails the test if it had ended by itself. */
void daemons_kill(struct daemons *daemons, enum daemon_kind kind);

/* The learner's exit status; it must end within timeout_ms. The others are ended then. */
int daemons_wait_learner(struct daemons *daemons, int timeout_ms);

/* The answer to GET path ("/readyz") at a daemon's probes or metrics address, with its status line;
 * freed by the caller. */
char *daemons_get(const char *address, const char *path);

/* Waits until both /readyz answer with this status, and the one with reasons has this part; fails
 * the test after a minute. */
void daemons_wait_ready(const struct daemons *daemons, enum daemon_kind kind, int status,
                        const char *part);

/* A number of a daemon's /metrics, `name{label="value"}`, or of a name without labels the sum of its
 * rows; fails the test if there is none. */
double daemons_metric_at(const char *metrics, const char *name);
double daemons_metric(const struct daemons *daemons, enum daemon_kind kind, const char *name);
