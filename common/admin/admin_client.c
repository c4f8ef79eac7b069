#include "admin/admin_client.h"
#include "admin.pb-c.h"
#include "admin/pbjson.h"
#include "base/mem.h"
#include <string.h>

#define METHOD(service, name, input, output, type)                                                 \
    {                                                                                              \
        .path = "/rlhfd.admin.v1." #service "/" #name,                                             \
        .request = &rlhfd__admin__v1__##input##__descriptor,                                       \
        .reply = &rlhfd__admin__v1__##output##__descriptor, .kind = (type)                         \
    }
static const struct rpc_method methods[] = {
    METHOD(Admin, GetStatus, get_status_request, status, RPC_UNARY),
    METHOD(Admin, WatchStatus, watch_status_request, status, RPC_SERVER_STREAM),
    METHOD(Admin, Drain, drain_request, drain_reply, RPC_UNARY),
    METHOD(Admin, TraceGroup, trace_group_request, group_trace, RPC_UNARY),
    METHOD(LearnerAdmin, GetSettings, get_settings_request, settings, RPC_UNARY),
    METHOD(LearnerAdmin, UpdateSettings, update_settings_request, update_settings_reply, RPC_UNARY),
    METHOD(LearnerAdmin, ListChanges, list_changes_request, list_changes_reply, RPC_UNARY),
    METHOD(LearnerAdmin, Pause, pause_request, pause_reply, RPC_UNARY),
    METHOD(LearnerAdmin, Resume, pause_request, pause_reply, RPC_UNARY),
    METHOD(LearnerAdmin, ListWorkers, list_workers_request, list_workers_reply, RPC_UNARY),
    METHOD(LearnerAdmin, DrainWorker, drain_worker_request, drain_worker_reply, RPC_UNARY),
    METHOD(LearnerAdmin, Backup, backup_request, backup_reply, RPC_UNARY),
    METHOD(LearnerAdmin, Checkpoint, checkpoint_request, operation, RPC_UNARY),
    METHOD(LearnerAdmin, Rollback, rollback_request, operation, RPC_UNARY),
    METHOD(LearnerAdmin, GetOperation, get_operation_request, operation, RPC_UNARY),
    METHOD(LearnerAdmin, ListOperations, list_operations_request, list_operations_reply, RPC_UNARY),
    METHOD(LearnerAdmin, ListGroups, list_groups_request, list_groups_reply, RPC_UNARY),
    METHOD(LearnerAdmin, GetGroup, get_group_request, group_detail, RPC_UNARY),
    METHOD(LearnerAdmin, EvictGroups, evict_groups_request, evict_groups_reply, RPC_UNARY),
    METHOD(LearnerAdmin, RetryGroups, retry_groups_request, retry_groups_reply, RPC_UNARY),
    METHOD(LearnerAdmin, ExplainVersion, explain_version_request, explanation, RPC_UNARY),
};
enum { METHODS = sizeof methods / sizeof *methods };

static const struct rpc_method *method_named(const char *name)
{
    for (size_t i = 0; i < METHODS; i++)
        if (strcmp(methods[i].path + strlen("/rlhfd.admin.v1."), name) == 0)
            return &methods[i];
    return NULL;
}

struct asking {
    struct rpc_admin_handlers handlers;
    void *arg;
};

static void on_message(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)call, (void)message;
    struct asking *asking = user;
    SCOPED_JSON json_t *object = pbjson_of(pb);
    asking->handlers.message(asking->arg, object);
}

static void on_close(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    struct asking *asking = user;
    asking->handlers.close(asking->arg, why);
    mem_free(asking);
}

err_t rpc_admin_ask(struct rpc_channel *channel, const char *method, const json_t *request,
                    int64_t deadline_ms, const struct rpc_admin_handlers *handlers, void *arg,
                    struct rpc_call **ret_call)
{
    const struct rpc_method *row = method_named(method);
    if (!row)
        return err_new(ERR_NOT_FOUND, "%s: no such method", method);
    struct ProtobufCMessage *pb = NULL;
    TRY(err_wrap(pbjson_to(request, row->request, &pb), "%s", method));
    struct asking *asking = mem_new(sizeof *asking);
    *asking = (struct asking){*handlers, arg};
    const struct rpc_call_options options = {.deadline_ms = deadline_ms};
    const struct rpc_handlers ours = {.message = on_message, .close = on_close};
    struct rpc_call *call;
    if (row->kind == RPC_UNARY) {
        call = rpc_call_unary(channel, row, pb, &options, &ours, asking);
    } else {
        call = rpc_call_stream(channel, row, &options, &ours, asking);
        rpc_call_send(call, pb);
        rpc_call_half_close(call);
    }
    protobuf_c_message_free_unpacked(pb, NULL);
    if (ret_call)
        *ret_call = call;
    return OK;
}
