/* One thread uses a thing in short calls, and another may take it away for good. Neither waits: a
 * call that hangs is ended by taking the thing away.
 *
 *     if (claim_enter(&claim)) {          -- the user's thread; false: it was taken away
 *         use(thing);
 *         claim_leave(&claim);
 *     }
 *     claim_close(&claim);                -- the other thread: no use begins from here on;
 *     destroy(thing);                     -- only one that is under way may still be there
 *     claim_open(&claim);                 -- the user's thread: another thing, in place of this */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>

/* Each side tells first, and looks then: not both can miss the other. */
struct claim {
    atomic_bool inside, closed;
};

static inline bool claim_enter(struct claim *claim)
{
    atomic_store(&claim->inside, true);
    if (!atomic_load(&claim->closed))
        return true;
    atomic_store(&claim->inside, false);
    return false;
}

static inline void claim_leave(struct claim *claim)
{
    atomic_store(&claim->inside, false);
}

/* Whether a use is under way. */
static inline bool claim_close(struct claim *claim)
{
    atomic_store(&claim->closed, true);
    return atomic_load(&claim->inside);
}

static inline void claim_open(struct claim *claim)
{
    atomic_store(&claim->inside, false);
    atomic_store(&claim->closed, false);
}
