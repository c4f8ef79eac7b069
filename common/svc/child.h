/* A child process of the loop: started with its output in a log file, watched until it ends; it
 * dies with us.
 *
 *     const char *argv[] = {"build/bin/rlhfd-learner", "recipe.yaml", NULL};
 *     struct child_options options = {.argv = argv, .log = "RUN/logs/learner.log", .on_exit = ended, .arg = up};
 *     TRY(child_start(loop, &options, &child));       -- a program that cannot be executed is an error here
 *     child_signal(child, SIGTERM);
 *
 * Owner: the loop's thread. The thread must live as long as its children: the kernel kills them
 * when it ends. Children are in process groups of their own, so Ctrl-C in a terminal reaches only
 * the parent. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "svc/loop.h"
#include <stdbool.h>
#include <sys/types.h>

struct child;

/* How it ended: status >= 0 if by itself, else killed by that signal. */
struct child_end {
    int status; // exit status, -1 if a signal ended it
    int signal; // 0 if none
};

struct child_options {
    const char *const *argv; // ends with NULL; argv[0] is looked up in PATH if it has no slash
    const char *log;         // standard output and error are appended to it; NULL: as ours
    const int *keep;         // descriptors that the child inherits under their numbers
    size_t keep_count;
    /* Once, in the loop's thread; may free it */
    void (*on_exit)(void *arg, struct child *child, struct child_end end);
    void *arg;
};

/* NOT_FOUND, DENIED: no such program, or the log cannot be written. Borrows options during the call
 * only. */
err_t child_start(struct loop *loop, const struct child_options *options, struct child **ret);

void child_signal(struct child *child, int signal); // nothing once it has ended

/* "ended with status 1", "killed by signal 9 (Killed)"; ret holds at least CHILD_END_TEXT bytes;
 * returns ret. */
enum { CHILD_END_TEXT = 80 };
const char *child_end_text(struct child_end end, char ret[CHILD_END_TEXT]);

/* Kills it with SIGKILL if it still runs, and waits for its end; on_exit is not called. */
void child_free(struct child *child);
DEFINE_SCOPED(child)
