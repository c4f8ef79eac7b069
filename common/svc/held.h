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

/* X(name, word, ready, calm): the word stands in the status and in rlhfd_held_up's label. Ready:
 * the daemon can do its part, or will as soon as its peers and operators let it, and /readyz stays
 * 200. Not ready is only what this process has to get over by itself. Calm: so it is in a sound
 * ring now and then; the log has it as information. */
#define HOLD_CAUSES(X)                                                                             \
    X(NONE, "", true, true)                                                                        \
    X(STORE, "store_silent", false, false)                                                         \
    X(REPLAY, "replay", false, true)                                                               \
    X(UNUSABLE, "unusable", false, false)                                                          \
    X(PAUSED, "paused", true, false)                                                               \
    X(DISK, "disk_low", false, false)                                                              \
    X(NO_LEARNER, "no_learner", true, false)                                                       \
    X(NO_GENERATOR, "no_generator", true, false)                                                   \
    X(NO_REWARDER, "no_rewarder", true, false)                                                     \
    X(STREAM, "stream_breaks", true, false)                                                        \
    X(WEIGHTS, "no_weights", true, false)                                                          \
    X(SCORER_DOWN, "scorer_down", true, false)                                                     \
    X(SCORER, "scorer_fails", true, true)                                                          \
    X(STRAGGLER, "straggler", true, true)                                                          \
    X(LEASES, "no_leases", true, true)                                                             \
    X(GROUPS, "no_groups", true, true)                                                             \
    X(ANSWERS, "no_answers", true, true)                                                           \
    X(EVALUATION, "evaluation", true, true)                                                        \
    X(COMPLETE, "complete", true, true)

enum hold_cause {
#define HOLD_ENUM(name, word, ready, calm) HOLD_##name,
    HOLD_CAUSES(HOLD_ENUM)
#undef HOLD_ENUM
        HOLD_COUNT
};
const char *hold_word(enum hold_cause cause); // "no_learner"; "" for HOLD_NONE
bool hold_ready(enum hold_cause cause);
bool hold_calm(enum hold_cause cause);

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
 * while the cause lasts. done: a count of the daemon's work. When it rises, a calm cause begins
 * anew. */
void held_say(struct held *held, const struct hold *hold, double done, double now_s);
const struct held_now *held_now(const struct held *held); // as last said; never NULL
void held_free(struct held *held);
DEFINE_SCOPED(held)
