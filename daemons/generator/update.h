/* New weights of a track in: received and checked beside the decoding, put in force between two of
 * its steps, acknowledged. Evaluation's come over a stream of their own.
 *
 *     TRY(update_open(&options, &update));
 *     update_wanted(update);                  -- decode says so: it gets the newest version that is complete
 *     update_applied(update);                 -- and so: the next may follow
 *
 * Owner: the loop's thread. */
#pragma once
#include "generator/decode.h"
#include "rpc/rpc.h"

struct carriers;
struct relay;
struct update;
struct security;
struct update_options {
    struct rpc *rpc;
    struct loop *loop;
    struct decode *decode;
    enum track_kind track;
    const char *learner; // address
    const struct security *security;
    const char *run, *generator;
    uint64_t incarnation;
    void (*down)(void *arg, err_t why); // takes why
    void (*up)(void *arg);              // with the rest: of training's weights alone
    struct relay *relay;                // passes on what comes; NULL: none
    const char *serves;                 // where; NULL: nowhere
    int64_t silence_ms;                 // from another generator's relay; 0: it is not sent on
    const struct carriers *carriers;    // borrowed for the call
    void (*stuck)(void *arg);    // no version can come any more: NCCL does not let go of memory
    void (*poisoned)(void *arg); // nothing is decoded until the next weights are applied
    void *arg;
};
err_t update_open(const struct update_options *options, struct update **ret);
void update_wanted(struct update *update);
uint32_t update_applied(struct update *update); // the lineage of what was applied

/* After decode_stop: until then its thread may be reading taken values. */
void update_free(struct update *update);
DEFINE_SCOPED(update)
