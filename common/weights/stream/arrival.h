/* The rules of versions in a subscriber, without memory, stream or clock: events in, actions out.
 *
 *     struct arrival arrival = {.ready = READY_LOADED};
 *     unsigned actions = arrival_step(&arrival, ARRIVAL_RIGHT);
 *     if (actions & ARRIVAL_STAGE) ...                       -- the set is carried out in the order of its bits
 *
 * Two places hold versions. `incoming` takes the one that comes; `ready` holds the one that the
 * model is offered, takes over and serves.
 *
 *     incoming:  NOTHING -> RECEIVING -> NOTHING or COMPLETE        RECEIVING <-> UNFINISHED
 *     ready:     EMPTY or LOADED -> STAGED -> TAKEN -> SERVED -> STAGED       TAKEN -> TAINTED -> EMPTY
 *
 * A version that is COMPLETE waits while the one before is taken, and nothing is read meanwhile.
 * The table in arrival.c has each transition. An event without a row is refused and changes
 * nothing. Any value is a plain one: no init, nothing to free. Owner: one thread. */
#pragma once
#include <stdbool.h>

enum incoming {
    INCOMING_NOTHING,
    INCOMING_RECEIVING,
    INCOMING_UNFINISHED, // The stream broke. The next one may continue the version.
    INCOMING_COMPLETE,   // The version is right, and waits for its place.
    INCOMING_STATES
};

enum ready {
    READY_EMPTY,   // No trusted version is here.
    READY_LOADED,  // No version has come. The model loaded weights of a known digest.
    READY_STAGED,  // The model has not taken the version yet.
    READY_TAKEN,   // The model reads the version, so its memory must not change.
    READY_SERVED,  // The model serves the version.
    READY_TAINTED, // The model took the version, and a check has found it wrong since.
    READY_STATES
};

enum arrival_event {
    ARRIVAL_BEGIN,   // A manifest came. Its first chunk is next.
    ARRIVAL_GO_ON,   // A manifest came that continues the unfinished version.
    ARRIVAL_KNOWN,   // The version is right, and lies here already.
    ARRIVAL_RIGHT,   // The version is right and new.
    ARRIVAL_WRONG,   // All values came, and their digest is wrong.
    ARRIVAL_AGAIN,   // The same values come once more over the same stream.
    ARRIVAL_POISON,  // Changes led to a wrong digest, or memory changed by itself.
    ARRIVAL_DROP,    // The subscriber breaks the stream and gives up the version.
    ARRIVAL_LOST,    // The stream broke, or gives way to another.
    ARRIVAL_TAKE,    // The model takes the staged version.
    ARRIVAL_APPLIED, // The model serves the version that it took.
    ARRIVAL_EVENTS
};

/* Bits of a set. The receiver carries them out in this order. */
enum arrival_action {
    ARRIVAL_REFUSED = 1 << 0, // The table has no row for the event in this state.
    ARRIVAL_FORGET = 1 << 1,  // The model serves no trusted version any more.
    ARRIVAL_SERVE = 1 << 2,   // The model serves the ready version from now on.
    ARRIVAL_REPLACE = 1 << 3, // A staged version gives way untaken.
    ARRIVAL_STAGE = 1 << 4,   // The incoming version becomes the ready one.
    ARRIVAL_PAUSE = 1 << 5,   // The subscriber stops reading the stream.
    ARRIVAL_READ = 1 << 6,    // The subscriber reads the stream again.
};

struct arrival {
    enum incoming incoming;
    enum ready ready;
};

/* Returns the actions. */
unsigned arrival_step(struct arrival *arrival, enum arrival_event event);

/* Whether `ready` holds the version of the last manifest that was staged. */
static inline bool arrival_has(const struct arrival *arrival)
{
    return arrival->ready == READY_STAGED || arrival->ready == READY_TAKEN ||
           arrival->ready == READY_SERVED;
}

/* Whether the model reads the memory of `ready`. */
static inline bool arrival_is_taken(const struct arrival *arrival)
{
    return arrival->ready == READY_TAKEN || arrival->ready == READY_TAINTED;
}
