/* New weights for a track. Versions are received and checked beside the decoding, put in force
 * between two steps, and acknowledged. Evaluation's weights come over a stream of their own.
 *
 *     TRY(update_open(&options, &update));
 *     update_wanted(update);      -- decode asks: it gets the newest version that is complete
 *     update_applied(update);     -- decode has put it in force: the next may follow
 *
 * Owner: the loop's thread. */
#pragma once
#include "generator/decode.h"
#include "rpc/rpc.h"

struct carriers;
struct relaying;
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
    void (*down)(void *arg, err_t why); // why is owned by the callee
    /* The fields below apply to training's weights alone. */
    void (*up)(void *arg);
    struct relaying *relay; // receives the versions that this generator passes on; NULL: none
    const char *serves;     // address of the relay; NULL: none
    /* The longest silence of a generator that serves this one; then it counts as lost. 0: this
     * generator is never sent on to another. */
    int64_t silence_ms;
    const struct carriers *carriers; // borrowed for the call
    void (*stuck)(void *arg);        // a carrier keeps memory for ever: no version can come
    void (*poisoned)(void *arg);     // nothing is decoded until the next weights are applied
    void *arg;
};
err_t update_open(const struct update_options *options, struct update **ret);
void update_wanted(struct update *update);
uint32_t update_applied(struct update *update); // returns the version's lineage

/* After decode_stop: until then the compute thread may read the values. */
void update_free(struct update *update);
DEFINE_SCOPED(update)
