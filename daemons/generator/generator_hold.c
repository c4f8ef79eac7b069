#include "generator/generator_hold.h"
#include "svc/svc.h"
#include <inttypes.h>

enum { QUIET_S = 3 };

struct generator_facts generator_facts_of(const char *learner, const char *rewarder, double now_s)
{
    return (struct generator_facts){
        .peers = {.learner = peer_of("learner", learner, HOLD_NO_LEARNER, now_s),
                  .rewarder = peer_of("rewarder", rewarder, HOLD_NO_REWARDER, now_s),
                  .weights = peer_of("stream of weights", learner, HOLD_WEIGHTS, now_s)},
        .since_s = now_s};
}

err_t generator_missing(const struct generator_peers *peers, int64_t timeout_s)
{
    const struct peer *missing = peers->learner.joined ? &peers->rewarder : &peers->learner;
    if (missing->joined)
        return OK;
    return svc_unreachable(
        err_new(ERR_UNAVAILABLE, "the %s was not reached in %" PRId64 " s (net.join_timeout_s): %s",
                missing->kind, timeout_s, *missing->why ? missing->why : "no answer"));
}

struct hold generator_hold(const struct generator_facts *f, double now_s)
{
    struct hold hold = {.cause = HOLD_NONE};
    const double seconds = now_s - f->since_s;
    if (peer_holds(&f->peers.learner, now_s, &hold) || peer_holds(&f->peers.rewarder, now_s, &hold))
        return hold;
    if (peer_holds(&f->peers.weights, now_s, &hold) && (!f->serving || hold.cause == HOLD_STREAM))
        return hold;
    if (!f->serving)
        return hold_make(HOLD_WEIGHTS, "the learner (%s) has sent no weights yet, for %.0f s",
                         f->peers.learner.address, seconds);
    if (f->stands)
        return hold_make(HOLD_PAUSED, "decoding stands still: the learner (%s) is paused",
                         f->peers.learner.address);
    if (f->held || seconds < QUIET_S)
        return (struct hold){.cause = HOLD_NONE};
    if (f->unanswered)
        return hold_make(HOLD_ANSWERS,
                         "%zu finished groups have had no answer of the rewarder (%s) for %.0f s",
                         f->unanswered, f->peers.rewarder.address, seconds);
    return hold_make(HOLD_LEASES,
                     "the learner (%s) has leased no slots for %.0f s: its status says why",
                     f->peers.learner.address, seconds);
}
