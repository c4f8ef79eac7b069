/* Slots leased from the learner. This end asks for as many groups as fit, hands the grants on to
 * decode and reports the leases that it holds.
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
    OVER_ENDED,    // the run is complete
    OVER_DRAINING, // the learner drains: nothing until its restart
    OVER_LEAVE     // this generator was sent away: it delivers its groups, then ends
};
struct prompts_options {
    struct rpc *rpc;
    struct loop *loop;
    const char *learner; // address
    const struct security *security;
    const char *run, *generator;
    const struct hello *hello;  // this worker's part of the samples' identity; borrowed
    struct decode *decode;      // takes grants and revocations
    void (*granted)(void *arg); // a grant came: the stream works
    void (*over)(void *arg, enum prompts_over over); // nothing more is granted
    /* The learner wants decoding to stand still, or to go on; prompts_stands answers. */
    void (*hold)(void *arg, bool holds);
    /* The learner cannot be reached, or refuses. PRECONDITION: for good. ABORTED: another process
     * took our name; this one comes back as a new process after prompts_pause_ms. Takes why. */
    void (*down)(void *arg, err_t why);
    void (*up)(void *arg); // the learner has accepted us
    void *arg;
};
err_t prompts_open(const struct prompts_options *options, struct prompts **ret);
void prompts_version(struct prompts *prompts, uint32_t lineage, uint64_t version);

/* New weights are in force for evaluation: their rows may be leased. Rows of older weights are
 * forgotten. */
void prompts_evaluates(struct prompts *prompts, uint32_t lineage, uint64_t version);

/* A group is on its way to the rewarder; a group has its disposition and is forgotten. */
void prompts_finished(struct prompts *prompts, const struct digest *id);
void prompts_settled(struct prompts *prompts, const struct digest *id);

/* The group's row can never be decoded: the learner is told why. */
void prompts_unusable(struct prompts *prompts, const struct group *group, const char *why);

/* Tells the learner whether decoding stands still. */
void prompts_stands(struct prompts *prompts, bool stands);

/* The time for which another process keeps our name before we take it back. The time doubles with
 * each return, as the other process may do the same. */
int64_t prompts_pause_ms(const struct prompts *prompts);

/* Gives back every lease and asks for no more. all: leases of finished groups without a
 * disposition, too, because these groups are lost with the process. */
void prompts_drain(struct prompts *prompts, bool all);
size_t prompts_held(const struct prompts *prompts); // leases under way
void prompts_free(struct prompts *prompts);
DEFINE_SCOPED(prompts)
