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

/* Names the process in its log, ignores SIGPIPE and SIGXFSZ (writes fail instead), and raises the
 * limit of open files to what
 * it may be. RLHFD_LOG=debug|info|warning|error sets what is logged. */
void svc_open(const char *program);

/* The process is about to end, with why (borrowed) or OK. A teardown that is not done in ms is cut
 * off: the error is logged and the process exits as svc_exit has it. For what waits for a
 * computation, a disk or a library that may never come back. */
void svc_end_within(err_t why, int64_t ms);

enum {
    EXIT_STATUS_USAGE = 2,   // INVALID: the recipe, the command line
    EXIT_STATUS_REFUSED = 4, // svc_refused: starting it again in the same way does not help
};

/* 0 for OK if standard output took all that was printed; else logs the error, frees it, and returns
 * one of these, 1 for others. */
int svc_exit(err_t e);

/* A peer refuses this process for good: the error that svc_exit then gives its own status. Takes e
 * and returns it. */
err_t svc_refused(err_t e, const char *peer);
