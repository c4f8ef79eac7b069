/* Whether versions travel by NCCL too, as the recipe and this machine have it (publish.transport
 * and the rows after it).
 *
 *     struct carrier carrier = {0};
 *     TRY(carrier_open(recipe, loop, &carrier));          -- nccl: UNAVAILABLE, NOT_FOUND if it cannot be
 *     options.nccl = carrier.nccl ? &carrier.transport : NULL;       -- the learner's; a generator's: carrier.attend
 *     if (carrier.why) log(carrier.why)                               -- auto, and it cannot be: gRPC alone
 *
 * carrier_done comes after what uses it. Owner: the main thread. */
#pragma once
#include "svc/recipe/recipe.h"
#include "weights/broadcast/attend.h"
#include "weights/broadcast/transport.h"

struct carrier {
    struct nccl *nccl; // NULL: gRPC alone
    char *why;         // of that; NULL: so it is wanted
    struct transport_options transport;
    struct attend_options attend;
};
err_t carrier_open(const struct recipe *recipe, struct loop *loop, struct carrier *ret);

/* The process' exit status, or its end: at once, where a call into NCCL never returned. */
int carrier_exit(int status);
void carrier_done(struct carrier *carrier);
