#include "rewarder/rewarder_hold.h"
#include <inttypes.h>

enum { QUIET_S = 5 };

struct hold rewarder_hold(const struct rewarder_facts *f, double now_s)
{
    struct hold hold = {.cause = HOLD_NONE};
    const double seconds = now_s - f->moved_s;
    if (peer_holds(f->learner, now_s, &hold))
        return hold;
    if (*f->held)
        return hold_make(HOLD_SCORER_DOWN, "%zu groups wait, and nothing is leased: %s", f->scoring,
                         f->held);
    if (f->unscorable >= REWARDER_FAILS)
        return hold_make(HOLD_SCORER,
                         "%" PRIu64 " groups in a row could not be scored; the last: slot %" PRIu64
                         ": %s",
                         f->unscorable, f->slot, f->why);
    if (seconds < QUIET_S || f->scoring)
        return hold;
    if (f->unanswered)
        return hold_make(HOLD_ANSWERS,
                         "%zu scored groups have had no answer of the learner (%s) for %.0f s",
                         f->unanswered, f->learner->address, seconds);
    return hold_make(HOLD_GROUPS, "no group has come from a generator for %.0f s", seconds);
}
