/* The first and the last thing a program does.
 *
 *     int main(int argc, char **argv)
 *     {
 *         svc_open("learner");
 *         return svc_exit(run(argc, argv));   -- the one place an error is logged and becomes an exit status
 *     }
 *
 * Owner: the main thread. */
#pragma once
#include "base/err.h"
#include <stdint.h>

/* Names the process in its log. SIGPIPE and SIGXFSZ are ignored, so writes fail instead. The limit
 * of open files is raised as far as allowed. RLHFD_LOG=debug|info|warning|error sets the least
 * level that is logged. */
void svc_open(const char *program);

/* The process is about to end, with why (borrowed) or OK. A teardown that is not done in ms is cut
 * off: the error is logged and the process exits as svc_exit has it. For teardowns that wait for a
 * computation, a disk or a library that may never return. */
void svc_end_within(err_t why, int64_t ms);

enum {
    EXIT_STATUS_USAGE = 2,   // INVALID: the recipe, the command line
    EXIT_STATUS_REFUSED = 4, // svc_refused: starting it again in the same way does not help
};

/* Returns 0 for OK if all output has arrived at standard output. Else logs the error, frees it, and
 * returns one of these statuses, or 1. */
int svc_exit(err_t e);

/* A peer refuses this process for good: the error that svc_exit then gives its own status. Takes e
 * and returns it. */
err_t svc_refused(err_t e, const char *peer);
