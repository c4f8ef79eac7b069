#include "weights/broadcast/nccl_carrier.h"
#include "base/mem.h"
#include "gpu/nccl.h"
#include "svc/recipe/recipe.h"
#include "weights/broadcast/carry.h"
#include "weights/broadcast/intake.h"
#include <stdlib.h>

enum { DEVICE = 0, SLACK_MS = 1000 }; // CUDA_VISIBLE_DEVICES says which device that is

static err_t open_nccl(const struct recipe *recipe, struct nccl **ret)
{
    SCOPED(nccl) nccl = NULL;
    TRY(nccl_open(recipe->publish.nccl_library, recipe->publish.cudart_library, &nccl));
    TRY(nccl_check_device(nccl, DEVICE));
    *ret = STEAL(nccl);
    return OK;
}

/* A member's limits are longer than the learner's, which is to find out first: they are for a
 * learner that is stopped or gone. */
static struct member_limits member_limits(const struct session_limits *limits)
{
    return (struct member_limits){.ready_ms = limits->gather_ms + limits->connect_ms +
                                              limits->end_ms + SLACK_MS,
                                  .connect_ms = 2 * limits->connect_ms + SLACK_MS,
                                  .carry_ms = 2 * limits->carry_ms + SLACK_MS,
                                  .end_ms = 2 * limits->end_ms + SLACK_MS};
}

static err_t can(const struct recipe *recipe, struct loop *loop, void **ret)
{
    const struct recipe_publish *publish = &recipe->publish;
    struct nccl *nccl = NULL;
    if (publish->transport == RECIPE_GRPC)
        return OK;
    if (*recipe->net.tls && !publish->nccl_plaintext)
        return err_new(ERR_PRECONDITION,
                       "NCCL neither encrypts nor authenticates: with net.tls it needs "
                       "publish.nccl_plaintext: true");
    TRY(open_nccl(recipe, &nccl));
    struct nccl_means *means = mem_new(sizeof *means);
    means->loop = loop;
    means->nccl = nccl;
    means->device = DEVICE;
    means->bucket_bytes = (size_t)publish->bucket_bytes;
    means->limits = (struct session_limits){.settle_ms = publish->settle_ms,
                                            .gather_ms = publish->gather_ms,
                                            .connect_ms = publish->connect_ms,
                                            .carry_ms = publish->carry_ms,
                                            .end_ms = publish->end_ms,
                                            .retry_ms = publish->retry_ms};
    means->member_limits = member_limits(&means->limits);
    *ret = means;
    return OK;
}

static void drop(void *state)
{
    struct nccl_means *means = state;
    if (!means)
        return;
    nccl_free(means->nccl);
    free(means);
}

const struct carrier carrier_nccl = {
    .name = "nccl", .can = can, .drop = drop, .send = &nccl_send, .receive = &nccl_receive};
