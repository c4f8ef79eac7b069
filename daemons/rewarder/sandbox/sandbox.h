/* A program of others' in a sandbox: started, talked to through pipes, ended with its children.
 *
 *     TRY(sandbox_probe(&level, &why));                  -- once: what this machine gives
 *     struct sandbox_orders orders = {.level = level, .argv = argv, .processes = 16};
 *     TRY(sandbox_run(&orders, &(struct sandbox_input){.text = code, .len = len, .deadline_s = until}, &result));
 *     if (result.fate == SANDBOX_EXITED && result.number == 0) ...      -- result.out has what it wrote
 *
 * The program rlhfd-sandbox beside this one restricts and watches (daemons/sandbox/orders.h). A
 * program has an empty directory of its own, which goes with it. Of the file system a program reads
 * the system's directories and `read`. No descriptor and, but at NONE, no variable of our
 * environment reaches a program. Any thread; a sandbox belongs to one, which must live as long. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cell;

/* NONE: only watched, and ended with its children. RESTRICTED: no_new_privs, Landlock, seccomp,
 * limits. STRONG: that, in namespaces and a control group of its own. */
enum sandbox_level { SANDBOX_NONE, SANDBOX_RESTRICTED, SANDBOX_STRONG };
const char *sandbox_level_name(enum sandbox_level level);

struct sandbox_orders {
    enum sandbox_level level;
    const char *const *argv; // ends with NULL; argv[0] without a slash is looked up in PATH
    const char *const *read; // files and directories; (read_count)
    size_t read_count;
    uint64_t memory_bytes, disk_bytes; // 0: 2 GiB, 256 MiB
    int64_t processes;                 // with threads; 0: 64
    int64_t cpu_s;                     // of one process; 0: no limit
    bool network;
};

/* The highest level at which a program starts here and all that must be denied is denied. *ret_why:
 * what higher levels lack, "" for none; the caller's. PRECONDITION: not even RESTRICTED. */
err_t sandbox_probe(enum sandbox_level *ret, char **ret_why);

/* A stage's key `sandbox`, in the order of its words "auto|strong|restricted|none". */
enum sandbox_choice {
    SANDBOX_CHOICE_AUTO, // the highest that holds
    SANDBOX_CHOICE_STRONG,
    SANDBOX_CHOICE_RESTRICTED,
    SANDBOX_CHOICE_NONE
};

/* The level for that key, never a lower one than it says. This machine is probed once, by the
 * thread that opens stages. *ret_why: as sandbox_probe has it, the caller's. PRECONDITION. */
err_t sandbox_choose(enum sandbox_choice choice, enum sandbox_level *ret, char **ret_why);

/* ---- one run */

struct sandbox_input {
    const void *text; // its standard input
    size_t len;
    size_t out_max;          // bytes of its output that are kept, and more ends it; 0: 1 MiB
    double deadline_s;       // clock_s()
    const struct cell *stop; // other than 0 ends it; NULL: never
};

enum sandbox_fate {
    SANDBOX_EXITED,    // number: its status
    SANDBOX_SIGNALLED, // number: the signal
    SANDBOX_LIMITED,   // by a limit that it broke, or by too much output
    SANDBOX_LATE,      // by the deadline, or by stop
};

struct sandbox_result {
    enum sandbox_fate fate;
    int number;
    struct bytes out; // whole where it exited
    char why[320];    // one line for a person, with the end of its standard error
};
void sandbox_result_done(struct sandbox_result *result);

/* Runs it to its end. UNAVAILABLE: it could not be started. Whatever the program does is no
 * error. */
err_t sandbox_run(const struct sandbox_orders *orders, const struct sandbox_input *input,
                  struct sandbox_result *ret);

/* ---- one that stays */

struct sandbox;
err_t sandbox_start(const struct sandbox_orders *orders, struct sandbox **ret);

/* Writes the line and a newline, and reads its next line into ret, without newline. Lines that come
 * unasked are an error. UNAVAILABLE: it has ended, or breaks this; RANGE: a line of more than max
 * bytes; DEADLINE; CANCELLED: stop. After an error the sandbox is of no more use. */
struct sandbox_line {
    const void *text; // NULL: none is sent
    size_t len;
    size_t max;
    double deadline_s;
    const struct cell *stop;
};
err_t sandbox_ask(struct sandbox *sandbox, const struct sandbox_line *line, struct bytes *ret);

/* Closes its input, waits so long for its end, and ends it. */
void sandbox_leave(struct sandbox *sandbox, int64_t wait_ms);
void sandbox_free(struct sandbox *sandbox); // ends it at once; NULL is allowed
DEFINE_SCOPED(sandbox)
