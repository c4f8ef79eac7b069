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
#include "svc/exit_status.h"
#include <stdint.h>

/* Names the process in its log. From here on SIGTERM and SIGINT end it, PID 1 of a container too:
 * of that one the kernel drops signals without a handler. SIGPIPE and SIGXFSZ are ignored, and
 * writes fail. The limit of open files is raised as far as allowed. RLHFD_LOG is a list of words
 * between commas: the least level that is logged (debug, info, warning, error), json for the form
 * of lines, stdout for their place. */
void svc_open(const char *program);

/* The process is about to end, with why (borrowed) or OK. A teardown that is not done in ms is cut
 * off: the error is logged and the process exits as svc_exit has it. For teardowns that wait for a
 * computation, a disk or a library that may never return. */
void svc_end_within(err_t why, int64_t ms);

/* SIGTERM and SIGINT end the process at once: by the signal, as by default, and with the status
 * 128 + signal where it is PID 1. svc_open does so, and the loop after the first signal. */
void svc_end_by_signals(void);

/* The daemon has started. Until then an error is the cause of its status (exit_status.h); later
 * ones leave it to the next start to tell what is wrong. */
void svc_serves(void);

/* Logs where the model runs, and why there if that has a reason (backend_config.told). */
void svc_told_backend(const char *id, const char *why);

/* Returns 0 for OK if all output has arrived at standard output. Else logs the error, frees it, and
 * returns one of the statuses of exit_status.h. */
int svc_exit(err_t e);

/* These mark errors for statuses of their own. A peer refuses this process for good, or was not
 * reached in time. Files are of another run. A port is in use. Each takes e and returns it. */
err_t svc_refused(err_t e, const char *peer);
err_t svc_unreachable(err_t e);
err_t svc_mismatch(err_t e);
err_t svc_in_use(err_t e);
