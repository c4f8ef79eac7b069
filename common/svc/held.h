/* The cause that holds a daemon up. /readyz of the metrics port, the status RPC, a metric and a
 * line of the log a minute name the same one.
 *
 *     struct hold hold = hold_make(HOLD_NO_LEARNER, "the learner (%s) has not been reached for %.0f s", address, s);
 *     struct held *held = held_new();
 *     held_say(held, &hold, rounds, clock_s());    -- from a timer, whether it has changed or not
 *     const struct held_now *now = held_now(held); -- for a status
 *
 * A daemon's rules are a pure function of facts to one struct hold: learner_hold.h,
 * generator_hold.h, rewarder_hold.h. To add a cause: a row. Owner: the loop's thread. */
#pragma once
#include "base/scoped.h"
#include <stdbool.h>
#include <stdint.h>

/* X(name, word, ready): the word stands in the status and in rlhfd_held_up's label. Ready: the
 * daemon does its part all the same, and /readyz stays 200. */
#define HOLD_CAUSES(X)                                                                             \
    X(NONE, "", true)                                                                              \
    X(STORE, "store_silent", false)                                                                \
    X(UNUSABLE, "unusable", false)                                                                 \
    X(PAUSED, "paused", false)                                                                     \
    X(DISK, "disk_low", false)                                                                     \
    X(NO_LEARNER, "no_learner", false)                                                             \
    X(NO_GENERATOR, "no_generator", false)                                                         \
    X(NO_REWARDER, "no_rewarder", false)                                                           \
    X(STREAM, "stream_breaks", false)                                                              \
    X(WEIGHTS, "no_weights", false)                                                                \
    X(SCORER, "scorer_fails", true)                                                                \
    X(STRAGGLER, "straggler", true)                                                                \
    X(LEASES, "no_leases", true)                                                                   \
    X(GROUPS, "no_groups", true)                                                                   \
    X(ANSWERS, "no_answers", true)                                                                 \
    X(EVALUATION, "evaluation", true)

enum hold_cause {
#define HOLD_ENUM(name, word, ready) HOLD_##name,
    HOLD_CAUSES(HOLD_ENUM)
#undef HOLD_ENUM
        HOLD_COUNT
};
const char *hold_word(enum hold_cause cause); // "no_learner"; "" for HOLD_NONE
bool hold_ready(enum hold_cause cause);

enum { HOLD_TEXT = 384 };
struct hold {
    enum hold_cause cause;
    /* for people: one line of printable UTF-8, also if parts came from outside */
    char text[HOLD_TEXT];
};
struct hold hold_make(enum hold_cause cause, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct held;
struct held_now {
    struct hold hold;
    double seconds; // since this cause began
};
struct held *held_new(void); // registers the metric

/* A cause that has lasted for some seconds is logged, and then once a minute. The words may change
 * while the cause lasts. done: a count of the daemon's work. When it rises, a cause for which the
 * daemon is ready begins anew. */
void held_say(struct held *held, const struct hold *hold, double done, double now_s);
const struct held_now *held_now(const struct held *held); // as last said; never NULL
void held_free(struct held *held);
DEFINE_SCOPED(held)
