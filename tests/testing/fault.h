/* A system that fails: the n-th call of a kind on matching paths, and clocks that jump.
 *
 *     fault_begin();                                    -- base/env.h's table is ours from here on
 *     struct fault_walk walk = {.path = "checkpoints"};
 *     while (fault_next(&walk)) {                       -- each call fails in turn, in each way
 *         err_t failed = checkpoint_write(...);
 *         if (fault_stop(&walk))                        -- the call was reached
 *             fault_note(&row, walk.fault.call, err_failed(failed) ? FAULT_OLD : FAULT_PASSED);
 *         ...
 *     }
 *     fault_end();
 *
 * The same rules serve failing_calls.c, which takes the place of libc's calls and so reaches
 * RocksDB as well. Calls are counted over all threads. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum fault_call {
    /* Of all below that change something: with `lasting` the disk stays as it was before the
     * n-th */
    FAULT_ANY,
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_RENAME,
    FAULT_LINK,
    FAULT_REMOVE,
    FAULT_DIRECTORY, // made
    FAULT_RANDOM,
    FAULT_CALLS
};

enum { FAULT_STUCK = 9999 }; // of failing_calls.c alone

struct fault {
    enum fault_call call;
    const char *path; // a part of it; NULL: any. At most 127 bytes
    uint64_t nth;     // 1: the first after fault_set. 0: none
    int error;        // errno; FAULT_STUCK: the call does not return while this fault is in force
    bool half;        // a write stores the first half of its bytes and then fails as the next call
    bool lasting;     // later ones fail, too
};

/* Counts anew. NULL: nothing fails, the clocks are right. */
void fault_set(const struct fault *fault);
bool fault_hit(void); // since fault_set
const char *fault_name(enum fault_call call);
/* The place of a hit in words: "rename RUN/checkpoints/writing". "" before one. */
const char *fault_place(void);

/* All faults on matching paths: each kind of call, each way to fail, the first call of the kind,
 * the second, and so on until there is none. */
struct fault_walk {
    const char *path;   // borrowed; NULL: any
    struct fault fault; // the one in force
    uint64_t points;    // hits so far
    bool begun, reached;
};
bool fault_next(struct fault_walk *walk);
/* Nothing fails from here on; whether the call was reached */
bool fault_stop(struct fault_walk *walk);

/* The outcome at a place: the old state with an error, the new one with an error, or no error. */
enum fault_outcome { FAULT_OLD = 1, FAULT_NEW = 2, FAULT_PASSED = 4 };
struct fault_row {
    const char *place;
    unsigned seen[FAULT_CALLS]; // enum fault_outcome, by kind
};
void fault_note(struct fault_row *row, enum fault_call call, enum fault_outcome outcome);

/* Fails the test unless ARCHITECTURE.md has this row, as a line of its table. */
void fault_row_assert(const struct fault_row *row);

/* Fails the test unless the error is one line that has both parts. Frees it. */
void fault_error_assert(err_t e, const char *part, const char *other);

/* "CALL NTH ERRNO once|half|lasting PATH", as failing_calls.c reads it. False: not of this form. */
bool fault_parse(const char *text, struct fault *ret, char path[128]);

/* The fate of a call: 0 (it is made), or its errno. *len: how many bytes a write may store; NULL
 * for other calls. A call with a descriptor gives no path. */
int fault_decide(enum fault_call call, const char *path, int fd, size_t *len);

/* Added to both clocks from now on. */
void fault_clock(int64_t monotonic_ms, int64_t wall_ms);

/* The table of base/env.h, with these rules before the system's. */
void fault_begin(void);
void fault_end(void);
