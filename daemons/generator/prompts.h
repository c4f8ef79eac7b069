/* Slots leased from the learner: asks for as many groups as fit, hands the grants on to decode,
 * reports what it holds.
 *
 *     TRY(prompts_open(&options, &prompts));
 *     prompts_version(prompts, 1, 12);        -- weights are in force: leases may be asked for
 *     prompts_finished(prompts, &id);         -- a group is done: room for the next
 *
 * Owner: the loop's thread. */
#pragma once
#include "rpc/stream.h"
#include "wire/lease.h"

struct decode;
struct group;
struct prompts;
struct security;
enum prompts_over {
    OVER_ENDED,    // to nobody, for good
    OVER_DRAINING, // until the learner is restarted
    OVER_LEAVE     // to this generator: it delivers what it has, then ends
};
struct prompts_options {
    struct rpc *rpc;
    struct loop *loop;
    const char *learner; // address
    const struct security *security;
    const char *run, *generator;
    const struct hello *hello;  // all that decides what a sample is, here; borrowed
    struct decode *decode;      // gets what is granted and what is revoked
    void (*granted)(void *arg); // a slot or a row was: the stream works
    void (*over)(void *arg, enum prompts_over over); // nothing more is granted
    void (*hold)(void *arg, bool holds); // decoding is to stand still; prompts_stands when it does
    /* The learner cannot be reached, or refuses: PRECONDITION for good; ABORTED: another process
     * came under our name, and this one comes again as a new one after prompts_pause_ms. Takes
     * why. */
    void (*down)(void *arg, err_t why);
    void (*up)(void *arg); // the learner has accepted us
    void *arg;
};
err_t prompts_open(const struct prompts_options *options, struct prompts **ret);
void prompts_version(struct prompts *prompts, uint32_t lineage, uint64_t version);
void prompts_finished(struct prompts *prompts, const struct digest *id); // decoded: it is sent
/* Weights are in force for evaluation: rows may be leased for them, and what older ones had not
 * finished is forgotten. */
void prompts_evaluates(struct prompts *prompts, uint32_t lineage, uint64_t version);
/* Its group has a disposition: forgotten */
void prompts_settled(struct prompts *prompts, const struct digest *id);
/* It can never be decoded: the learner is told, and why. */
void prompts_unusable(struct prompts *prompts, const struct group *group, const char *why);

/* Whether decoding stands still: the learner is told. */
void prompts_stands(struct prompts *prompts, bool stands);

/* How long another process keeps our name before we take it back: longer each time, as it may be
 * alive and do the same. */
int64_t prompts_pause_ms(const struct prompts *prompts);

/* Gives back every lease and asks for no more. all: those too whose groups are finished and have no
 * disposition, as nobody will ever have them. */
void prompts_drain(struct prompts *prompts, bool all);
size_t prompts_held(const struct prompts *prompts); // leases under way
void prompts_free(struct prompts *prompts);
DEFINE_SCOPED(prompts)
