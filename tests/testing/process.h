/* Real processes for tests: started with their output in a file, ended with real signals.
 *
 *     struct process p = process_start("log", "rlhfctl", "up", recipe, "--run", run, NULL);
 *     process_kill(&p, SIGKILL);
 *     assert_int_equal(process_wait(&p, 60000), 0);
 *
 * Program names without a slash are those of the build (TEST_BIN). A process that is still running
 * when the test ends is killed. Owner: the test's thread. */
#pragma once
#include <signal.h>
#include <sys/types.h>

struct process {
    pid_t pid;
    char *log; // where its output goes
};

struct process process_start(const char *log, const char *program, ...) __attribute__((sentinel));

/* The same from a list that ends with NULL. */
struct process process_start_words(const char *log, const char *program, const char *const *words);
void process_kill(const struct process *p, int signal_number);

/* Exit status, 128 + signal, or -1 after timeout_ms (it goes on running). */
int process_wait(struct process *p, int timeout_ms);

/* Starts, waits, and returns the exit status; its output is at *ret_output if not NULL (owned by
 * the caller). */
int process_run(char **ret_output, int timeout_ms, const char *program, ...)
    __attribute__((sentinel));

/* A file's text, "" if there is none; owned by the caller. */
char *file_text(const char *path);

/* Prints the end of a file: cmocka cuts what is longer than a line or ten. */
void file_print_end(const char *what, const char *path);
