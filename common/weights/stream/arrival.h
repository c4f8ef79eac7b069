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
    INCOMING_UNFINISHED, // its stream broke; the next one may go on with it
    INCOMING_COMPLETE,   // right, and waits for its place
    INCOMING_STATES
};

enum ready {
    READY_EMPTY,   // nothing that is trusted
    READY_LOADED,  // nothing has come; the model has weights from elsewhere, whose digest is known
    READY_STAGED,  // nobody has taken it yet
    READY_TAKEN,   // the model reads it: its memory stays as it is
    READY_SERVED,  // the model serves it
    READY_TAINTED, // taken, and found to be wrong since
    READY_STATES
};

enum arrival_event {
    ARRIVAL_BEGIN,   // a manifest came; its first chunk is next
    ARRIVAL_GO_ON,   // a manifest came that continues the unfinished version
    ARRIVAL_KNOWN,   // the version is right, and lies here already
    ARRIVAL_RIGHT,   // the version is right, and new
    ARRIVAL_WRONG,   // all values came, and their digest is wrong
    ARRIVAL_AGAIN,   // the same values come once more over the same stream
    ARRIVAL_POISON,  // changes led to a wrong digest, or memory changed by itself
    ARRIVAL_DROP,    // we break the stream and give up the version
    ARRIVAL_LOST,    // the stream broke, or gives way to another
    ARRIVAL_TAKE,    // the model takes what is ready
    ARRIVAL_APPLIED, // the model serves what it took
    ARRIVAL_EVENTS
};

/* A set. */
enum arrival_action {
    ARRIVAL_REFUSED = 1 << 0, // the event has no row in this state
    ARRIVAL_FORGET = 1 << 1,  // nothing is served any more
    ARRIVAL_SERVE = 1 << 2,   // the version that is ready is served from now on
    ARRIVAL_REPLACE = 1 << 3, // a staged version gives way untaken
    ARRIVAL_STAGE = 1 << 4,   // the incoming version becomes the ready one
    ARRIVAL_PAUSE = 1 << 5,   // the stream is not read
    ARRIVAL_READ = 1 << 6,    // the stream is read again
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
