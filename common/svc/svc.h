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

/* Names the process in its log, ignores SIGPIPE and SIGXFSZ (writes fail instead), and raises the limit of open files to what
 * it may be. RLHFD_LOG=debug|info|warning|error sets what is logged. */
void svc_open(const char *program);

/* The process is about to end, with why (borrowed) or OK. A teardown that is not done in ms is cut off: the error is logged and
 * the process exits as svc_exit has it. For what waits for a computation, a disk or a library that may never come back. */
void svc_end_within(err_t why, int64_t ms);

/* 0 for OK if standard output took all that was printed; else logs the error, frees it, and returns 2 if it is INVALID (the
 * recipe, the command line), 1 otherwise. */
int svc_exit(err_t e);
