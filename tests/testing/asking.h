/* One unary call to a daemon's admin port, waited for: real RPC, with a runtime of its own, so that
 * nothing of it is there when a process is started.
 *
 *     Rlhfd__Admin__V1__Operation *operation = NULL;
 *     assert_ok(ask(address, "LearnerAdmin/Rollback", &request.base, &rlhfd__admin__v1__operation__descriptor,
 *                   (void **)&operation));
 *     protobuf_c_message_free_unpacked(&operation->base, NULL);
 *
 * Owner: the test's thread. */
#pragma once
#include "base/mem.h"
#include "rpc/client.h"
#include "svc/loop.h"
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

enum { ASK_MS = 90000 };

struct asking {
    struct loop *loop;
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage *reply;
    err_t failed;
};

static inline void asking_message(struct rpc_call *call, struct rpc_message *message,
                                  const ProtobufCMessage *pb, void *user)
{
    (void)call;
    (void)pb;
    struct asking *asking = user;
    asking->failed = rpc_message_unpack(message, asking->type, &asking->reply);
}

static inline void asking_close(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    struct asking *asking = user;
    if (err_failed(asking->failed))
        err_free(why);
    else
        asking->failed = why;
    loop_stop(asking->loop);
}

static inline err_t asking_run(struct asking *asking, const char *address, const char *path,
                               const ProtobufCMessage *request)
{
    const struct rpc_method method = {path, request->descriptor, NULL, RPC_UNARY};
    const struct rpc_handlers handlers = {.message = asking_message, .close = asking_close};
    SCOPED(rpc) rpc = NULL;
    SCOPED(rpc_channel) channel = NULL;
    TRY(rpc_new(asking->loop, &rpc));
    TRY(rpc_channel_new(rpc, &(struct rpc_channel_options){.target = address}, &channel));
    rpc_call_unary(channel, &method, request, &(struct rpc_call_options){.deadline_ms = ASK_MS},
                   &handlers, asking);
    TRY(loop_run(asking->loop));
    return asking->failed;
}

/* *ret: protobuf_c_message_free_unpacked. */
static inline err_t ask(const char *address, const char *method, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *reply, void **ret)
{
    SCOPED(loop) loop = NULL;
    SCOPED_MEM char *path = mem_printf("/rlhfd.admin.v1.%s", method);
    TRY(loop_new(&loop));
    struct asking asking = {.loop = loop, .type = reply};
    TRY(asking_run(&asking, address, path, request));
    *ret = asking.reply;
    return OK;
}
