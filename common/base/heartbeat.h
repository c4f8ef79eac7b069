/* Signs of life of threads. A thread that serves in turns says so at each step of its work, however
 * deep: a message, an op of a forward pass, a write to the disk. Whoever is asked whether the
 * process lives (/livez) finds the thread that has made no step for too long.
 *
 *     heartbeat_begin("storage");      -- in the thread
 *     heartbeat_step();                -- it goes on; costs a look at the clock. In other threads: nothing
 *     heartbeat_rest();                -- it waits for others from here to its next step, as long as they like
 *     heartbeat_end();
 *
 *     struct heartbeat late;
 *     if (heartbeat_late(600000, &late)) ...       -- any thread
 *
 * A long computation needs no announcement: it makes steps. A call that gives no sign for longer
 * than the bound, to a disk that hangs or into a library, is what is looked for. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { HEARTBEATS_MAX = 32 };

/* name: a literal. Beyond HEARTBEATS_MAX threads, and for a second begin: nothing. */
void heartbeat_begin(const char *name);
void heartbeat_step(void);
void heartbeat_rest(void);
void heartbeat_end(void);

struct heartbeat {
    const char *name;
    int64_t silent_ms; // since its last step
};

/* Whether a thread that does not rest has made no step for more than bound_ms; which, of several
 * the one that has been silent longest. */
bool heartbeat_late(int64_t bound_ms, struct heartbeat *ret);
