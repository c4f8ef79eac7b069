#include "generator/generator_hold.h"

enum { QUIET_S = 3 };

struct hold generator_hold(const struct generator_facts *f, double now_s)
{
    struct hold hold = {.cause = HOLD_NONE};
    const double seconds = now_s - f->since_s;
    if (peer_holds(f->learner, now_s, &hold) || peer_holds(f->rewarder, now_s, &hold))
        return hold;
    if (peer_holds(f->weights, now_s, &hold) && (!f->serving || hold.cause == HOLD_STREAM))
        return hold;
    if (!f->serving)
        return hold_make(HOLD_WEIGHTS, "the learner (%s) has sent no weights yet, for %.0f s",
                         f->learner->address, seconds);
    if (f->held || seconds < QUIET_S)
        return (struct hold){.cause = HOLD_NONE};
    if (f->unanswered)
        return hold_make(HOLD_ANSWERS,
                         "%zu finished groups have had no answer of the rewarder (%s) for %.0f s",
                         f->unanswered, f->rewarder->address, seconds);
    return hold_make(HOLD_LEASES,
                     "the learner (%s) has leased no slots for %.0f s: its status says why",
                     f->learner->address, seconds);
}
