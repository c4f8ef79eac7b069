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

/* Names the process in its log and ignores SIGPIPE. RLHFD_LOG=debug|info|warning|error sets what is logged. */
void svc_open(const char *program);

/* 0 for OK; else logs the error, frees it, and returns 2 if it is INVALID (the recipe, the command line), 1 otherwise. */
int svc_exit(err_t e);
