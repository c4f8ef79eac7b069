/* Orders of the command line of rlhfd-sandbox, and its answers.
 *
 *     rlhfd-sandbox --level restricted --work DIR --report 3 --memory 1073741824 -- python3 score.py
 *
 * The process restricts a child, which becomes the program, watches it, and ends with all of its
 * children. Standard input, output and error are the program's. The descriptor `report` takes one
 * line: "exit N", "signal N", "limit WHY", "failed WHY". SIGTERM, or the caller's death, ends it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* none: the program is only watched, and ends with its children.
 * restricted: no_new_privs, Landlock for files, seccomp, limits of resources.
 * strong: that, within namespaces and a control group of its own. */
enum level { LEVEL_NONE, LEVEL_RESTRICTED, LEVEL_STRONG };

enum { READS_MAX = 64 };

struct orders {
    enum level level;
    const char *work; // an empty directory, where the program runs and may write; it goes with it
    const char *read[READS_MAX];
    size_t reads;
    uint64_t memory_bytes, disk_bytes;
    int64_t processes, cpu_s; // cpu_s 0: no limit
    bool network;
    int report;
    pid_t parent; // 0: whoever it is
    bool root;    // of the caller; the program becomes nobody
    char **argv;
};

enum { NOBODY = 65534 }; // root becomes this user

/* One line to the report; cut where it is long, so that it is written whole. */
void report(const struct orders *orders, const char *word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
