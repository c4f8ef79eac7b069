#include "weights/carrier.h"
#include "base/mem.h"
#include "gpu/nccl.h"
#include <unistd.h>

enum { DEVICE = 0, SLACK_MS = 1000 }; // which one that is says CUDA_VISIBLE_DEVICES

static err_t open_nccl(const struct recipe *recipe, struct nccl **ret)
{
    SCOPED(nccl) nccl = NULL;
    TRY(nccl_open(recipe->publish.nccl_library, recipe->publish.cudart_library, &nccl));
    TRY(nccl_check_device(nccl, DEVICE));
    *ret = STEAL(nccl);
    return OK;
}

/* A member's are longer than the learner's, who is to find out first: they are for a learner that
 * is stopped or gone. */
static struct member_limits member_limits(const struct epoch_limits *limits)
{
    return (struct member_limits){.ready_ms = limits->gather_ms + limits->connect_ms +
                                              limits->end_ms + SLACK_MS,
                                  .connect_ms = 2 * limits->connect_ms + SLACK_MS,
                                  .carry_ms = 2 * limits->carry_ms + SLACK_MS,
                                  .end_ms = 2 * limits->end_ms + SLACK_MS};
}

err_t carrier_open(const struct recipe *recipe, struct loop *loop, struct carrier *ret)
{
    const struct recipe_publish *publish = &recipe->publish;
    const struct epoch_limits limits = {
        .settle_ms = publish->settle_ms,
        .gather_ms = publish->gather_ms,
        .connect_ms = publish->connect_ms,
        .carry_ms = publish->carry_ms,
        .end_ms = publish->end_ms,
        .retry_ms = publish->retry_ms,
    };
    struct nccl *nccl = NULL;
    if (publish->transport == RECIPE_GRPC)
        return OK;
    err_t e = open_nccl(recipe, &nccl);
    if (err_failed(e) && publish->transport == RECIPE_NCCL)
        return err_wrap(e, "publish.transport: nccl");
    if (err_failed(e)) {
        ret->why = mem_string(err_message(e));
        err_free(e);
        return OK;
    }
    ret->nccl = nccl;
    ret->transport = (struct transport_options){.loop = loop,
                                                .nccl = nccl,
                                                .device = DEVICE,
                                                .bucket_bytes = (size_t)publish->bucket_bytes,
                                                .limits = limits};
    ret->attend = (struct attend_options){
        .loop = loop, .nccl = nccl, .device = DEVICE, .limits = member_limits(&limits)};
    return OK;
}

int carrier_exit(int status)
{
    if (nccl_is_stuck())
        _exit(status); // exit handlers of its library would wait for it
    return status;
}

void carrier_done(struct carrier *carrier)
{
    nccl_free(carrier->nccl);
    mem_free(carrier->why);
}
