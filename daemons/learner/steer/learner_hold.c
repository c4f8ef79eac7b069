#include "learner/steer/learner_hold.h"
#include "svc/peer.h"
#include <inttypes.h>
#include <string.h>

enum { SILENT_S = 5, LEASELESS_S = 5 };
static const double MIB = 1 << 20;

static struct hold nothing(void)
{
    return (struct hold){.cause = HOLD_NONE};
}

static struct hold store_silent(const struct hold_facts *f)
{
    if (f->store_silent_s < SILENT_S)
        return nothing();
    return hold_make(HOLD_STORE,
                     "the store '%s' has not answered for %.0f s: its disk is slow or stuck",
                     f->store, f->store_silent_s);
}

static struct hold complete(const struct hold_facts *f)
{
    if (!f->complete)
        return nothing();
    return hold_make(HOLD_COMPLETE,
                     "the run is complete: %" PRIu64 " rounds, version %" PRIu64
                     "; the learner stays until it is drained (run.on_complete)",
                     f->rounds, f->newest);
}

static struct hold replay(const struct hold_facts *f)
{
    if (!f->replaying)
        return nothing();
    return hold_make(HOLD_REPLAY,
                     "recorded rounds are trained again: %" PRIu64 " of %" PRIu64
                     " are done; then versions are published and slots leased",
                     f->replayed, f->replays);
}

static struct hold unusable(const struct hold_facts *f)
{
    if (!f->generation_paused || !f->by_breaker)
        return nothing();
    return hold_make(HOLD_UNUSABLE,
                     "generation is paused: %s; mend the cause, then rlhfctl resume --run %s",
                     f->paused_why, f->run);
}

static struct hold paused(const struct hold_facts *f)
{
    if (!f->generation_paused && !f->training_paused)
        return nothing();
    return hold_make(HOLD_PAUSED, "%s paused%s%s%s%s; rlhfctl resume --run %s",
                     !f->training_paused     ? "generation is"
                     : !f->generation_paused ? "training is"
                                             : "generation and training are",
                     *f->paused_by ? " by " : "", f->paused_by, *f->paused_why ? ": " : "",
                     f->paused_why, f->run);
}

static struct hold disk(const struct hold_facts *f)
{
    if (!f->disk_low)
        return nothing();
    return hold_make(HOLD_DISK,
                     "the disk of '%s' is low: %.0f MiB free, %.0f MiB are needed (one checkpoint "
                     "and replay.min_free_bytes); nothing is leased",
                     f->store, (double)f->disk_free / MIB, (double)f->disk_needed / MIB);
}

static struct hold scorer_down(const struct hold_facts *f)
{
    const struct hold_peers *peers = &f->rewarders;
    if (!*peers->held)
        return nothing();
    return hold_make(HOLD_SCORER_DOWN,
                     "nothing is leased: the rewarder %s waits, as %s; it goes on by itself",
                     peers->held_by, peers->held);
}

static struct hold no_peer(const struct hold_facts *f, const struct hold_peers *peers,
                           enum hold_cause cause, const char *kind)
{
    if (peers->connected || !(f->needed || f->evaluating))
        return nothing();
    const char *refused = *peers->refused ? "; refused: " : "";
    if (peers->were)
        return hold_make(cause, "no %s is connected: the last, %s, left %.0f s ago%s%s%s%s", kind,
                         peers->last, peers->gone_s, refused, peers->refused, *refused ? ": " : "",
                         peers->refused_why);
    return hold_make(cause, "no %s has connected yet, for %.0f s%s%s%s%s", kind, peers->gone_s,
                     refused, peers->refused, *refused ? ": " : "", peers->refused_why);
}

static struct hold no_generator(const struct hold_facts *f)
{
    return no_peer(f, &f->generators, HOLD_NO_GENERATOR, "generator");
}

static struct hold no_rewarder(const struct hold_facts *f)
{
    return no_peer(f, &f->rewarders, HOLD_NO_REWARDER, "rewarder");
}

/* Before a missing rewarder: between two attempts the one that breaks is missing. */
static struct hold stream(const struct hold_facts *f)
{
    const struct hold_peers *peers = &f->rewarders;
    if (peers->breaks < PEER_BREAKS)
        return nothing();
    return hold_make(HOLD_STREAM,
                     "the stream of the rewarder %s keeps breaking: %u times with nothing usable "
                     "between; the last: %s",
                     peers->refused, peers->breaks, peers->refused_why);
}

static struct hold straggler(const struct hold_facts *f)
{
    if (f->idle != IDLE_STRAGGLER || !f->has_lease)
        return nothing();
    return hold_make(HOLD_STRAGGLER,
                     "the round waits for slot %" PRIu64 " (row %" PRIu64
                     "), leased to %s %.0f s ago: without it the group would be over lag.max",
                     f->lease.slot, f->lease.prompt, f->lease_holder, f->lease.leased_s);
}

/* Nothing is leased although generators are there. For a moment that is so in every round at
 * lag.max 0. */
static struct hold leases(const struct hold_facts *f)
{
    const struct hold_worker *w = &f->worker;
    if (f->idle != IDLE_NO_GROUPS || f->leaseless_s < LEASELESS_S || !f->needed || !f->has_worker)
        return nothing();
    if (!*w->waits_for || strstr(w->waits_for, "weights"))
        return hold_make(HOLD_WEIGHTS,
                         "nothing is leased: %s %s; the newest version is %" PRIu64
                         ", it serves %" PRIu64,
                         w->name, *w->waits_for ? "waits for new weights" : "asks for no slots yet",
                         f->newest, w->version);
    return hold_make(HOLD_LEASES, "nothing is leased: %s is granted no slots (%s)", w->name,
                     w->waits_for);
}

static struct hold groups(const struct hold_facts *f)
{
    if (f->idle != IDLE_NO_GROUPS || !f->has_lease)
        return nothing();
    struct hold hold =
        hold_make(HOLD_GROUPS,
                  "%" PRIu64 " of %" PRIu64 " groups of the next round are there, %" PRIu64
                  " are on their way; the oldest: slot %" PRIu64 " (row %" PRIu64
                  "), leased to %s %.0f s ago",
                  f->stored < f->groups ? f->stored : f->groups, f->groups, f->leased,
                  f->lease.slot, f->lease.prompt, f->lease_holder, f->lease.leased_s);
    if (f->unusable)
        return hold_make(HOLD_GROUPS, "%s; the last %" PRIu64 " slots left without a usable group",
                         hold.text, f->unusable);
    return hold;
}

static struct hold evaluation(const struct hold_facts *f)
{
    return f->evaluating
               ? hold_make(HOLD_EVALUATION, "the last version is being evaluated; then the "
                                            "run is over")
               : nothing();
}

struct hold learner_hold(const struct hold_facts *facts)
{
    static struct hold (*const rules[])(const struct hold_facts *) = {
        complete,     store_silent, replay,      unusable,  paused, disk,   scorer_down,
        no_generator, stream,       no_rewarder, straggler, leases, groups, evaluation};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct hold hold = rules[i](facts);
        if (hold.cause != HOLD_NONE)
            return hold;
    }
    return nothing();
}
