/* The one lock of a run: nothing in its directory is written before RUN/lock is held.
 *
 *     SCOPED(run_lock) lock = NULL;
 *     TRY(run_lock_take(run, "rlhfctl up", &lock));       -- EXISTS: who holds it, and what to do
 *     child.keep[0] = run_lock_hand_down(lock);           -- a child started so holds it as well
 *
 * flock(2) on an open file description: the lock lasts until the last process that has inherited
 * the description has ended. RUN/lock itself stays and says who holds it: "PID HOST PROGRAM", and a
 * second line of the learner that inherited it. Owner: the main thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"

struct run_lock;

/* Takes the lock, or uses the one that was handed down. run exists. EXISTS: another process holds
 * it; immediately if that process lives, else only after those that it started have had 10 s to
 * end. */
err_t run_lock_take(const char *run, const char *program, struct run_lock **ret);

/* The descriptor to keep open in children. This process's environment names the descriptor for
 * run_lock_inherit. */
int run_lock_hand_down(const struct run_lock *lock);

/* At a daemon's start: keeps a handed-down descriptor from being inherited further. */
void run_lock_inherit(void);

void run_lock_free(struct run_lock *lock);
DEFINE_SCOPED(run_lock)
