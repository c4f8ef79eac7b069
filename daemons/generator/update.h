/* New weights in: received and checked beside the decoding, put in force between two of its steps, acknowledged.
 *
 *     TRY(update_open(&options, &update));
 *     update_applied(update);                 -- decode says so: the next version may follow
 *
 * Owner: the loop's thread. */
#pragma once
#include "generator/decode.h"
#include "rpc/rpc.h"

struct update;
struct update_options {
    struct rpc *rpc;
    struct loop *loop;
    struct decode *decode;
    const char *learner; // address
    bool insecure;
    const char *run, *generator;
    uint64_t incarnation;
    void (*down)(void *arg, err_t why); // takes why
    void (*up)(void *arg);
    void *arg;
};
err_t update_open(const struct update_options *options, struct update **ret);
void update_applied(struct update *update);

/* Before decode: its thread may be reading taken values until it is gone. */
void update_free(struct update *update);
DEFINE_SCOPED(update)
