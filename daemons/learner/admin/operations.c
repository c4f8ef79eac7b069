/* GetOperation, ListOperations, Checkpoint. */
#include "learner/admin/operations.h"
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/admin/services.h"
#include "learner/train/checkpoint.h"
#include "learner/train/train.h"
#include "svc/loop.h"
#include "svc/security.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MAX_MS = 60000, WAITERS_MAX = 256 };
enum operation_state { RUNNING, DONE, FAILED };

struct operation {
    struct operation *next; // older
    struct operations *operations;
    char name[64];
    const char *kind;
    char *request_id, *text, *path;
    enum operation_state state;
    int64_t begun_ms, ended_ms; // since 1970
    uint32_t lineage;
    uint64_t version, round;
};

/* A call that is answered when its operation ends, or at the timer. */
struct waiter {
    struct waiter *next;
    struct operations *operations;
    struct operation *operation;
    struct rpc_call *call; // a reference
    struct loop_timer *timer;
};

struct operations {
    struct loop *loop;
    struct operation *newest;
    uint64_t begun;
    struct waiter *waiters;
    size_t waiting;
};

struct operations *operations_new(struct loop *loop)
{
    struct operations *operations = mem_new(sizeof *operations);
    operations->loop = loop;
    return operations;
}

static void operation_free(struct operation *operation)
{
    mem_free(operation->request_id);
    mem_free(operation->text);
    mem_free(operation->path);
    mem_free(operation);
}

/* Those beyond the last ones: none of them runs or is waited for. */
static void forget_old(struct operations *operations)
{
    struct operation **at = &operations->newest;
    for (int i = 0; *at && i < OPERATIONS_KEPT; i++)
        at = &(*at)->next;
    struct operation *old = *at;
    *at = NULL;
    for (struct operation *next; old; old = next) {
        next = old->next;
        operation_free(old);
    }
}

err_t operations_idle(const struct operations *operations)
{
    const struct operation *newest = operations->newest;
    if (!newest || newest->state != RUNNING)
        return OK;
    return err_reason(err_new(ERR_PRECONDITION, "%s is under way: wait for it", newest->name),
                      "OPERATION_RUNNING");
}

err_t operations_begin(struct operations *operations, const char *kind, const char *request_id,
                       struct operation **ret, bool *ret_repeated)
{
    *ret_repeated = false;
    if (strlen(request_id) > CHANGE_NAME_MAX)
        return desk_invalid("request_id", "at most 128 bytes");
    for (struct operation *o = operations->newest; o && *request_id; o = o->next) {
        if (strcmp(o->request_id, request_id) != 0)
            continue;
        if (strcmp(o->kind, kind) != 0)
            return desk_invalid("request_id", "one that was not used, or the same request again");
        *ret_repeated = true;
        *ret = o;
        return OK;
    }
    TRY(operations_idle(operations));
    struct operation *operation = mem_new(sizeof *operation);
    snprintf(operation->name, sizeof operation->name, "%s-%llu", kind,
             (unsigned long long)++operations->begun);
    operation->operations = operations;
    operation->kind = kind;
    operation->request_id = mem_string(request_id);
    operation->text = mem_string("waits for the round under way");
    operation->begun_ms = clock_wall_ms();
    operation->next = operations->newest;
    operations->newest = operation;
    forget_old(operations);
    log_info("operation begins", "name=%s", operation->name);
    *ret = operation;
    return OK;
}

void operation_says(struct operation *operation, const char *text)
{
    mem_free(operation->text);
    operation->text = mem_string(text);
}

static Rlhfd__Admin__V1__Operation describe(const struct operation *operation)
{
    static const char *const states[] = {"RUNNING", "DONE", "FAILED"};
    Rlhfd__Admin__V1__Operation out = RLHFD__ADMIN__V1__OPERATION__INIT;
    out.name = (char *)operation->name;
    out.kind = (char *)operation->kind;
    out.state = (char *)states[operation->state];
    out.text = operation->text;
    out.begun_ms = operation->begun_ms;
    out.ended_ms = operation->ended_ms;
    out.lineage = operation->lineage;
    out.version = operation->version;
    out.round = operation->round;
    out.path = operation->path ? operation->path : (char *)"";
    return out;
}

void operations_reply(const struct operation *operation, struct rpc_call *call)
{
    Rlhfd__Admin__V1__Operation out = describe(operation);
    rpc_call_reply(call, &out.base);
}

/* ---- who waits */

static void waiter_free(struct waiter *waiter)
{
    struct waiter **at = &waiter->operations->waiters;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    waiter->operations->waiting--;
    loop_timer_free(waiter->timer);
    rpc_call_unref(waiter->call);
    mem_free(waiter);
}

static void answer_waiter(void *arg)
{
    struct waiter *waiter = arg;
    rpc_call_set_context(waiter->call, NULL);
    operations_reply(waiter->operation, waiter->call);
    waiter_free(waiter);
}

void operation_end(struct operation *operation, const struct operation_end *end)
{
    bool failed = err_failed(end->failed);
    operation->state = failed ? FAILED : DONE;
    operation->ended_ms = clock_wall_ms();
    operation->lineage = end->lineage;
    operation->version = end->version;
    operation->round = end->round;
    operation->path = mem_string(end->path);
    operation_says(operation, failed ? err_message(end->failed) : "");
    log_info("operation ended", "name=%s state=%s text=\"%s\"", operation->name,
             failed ? "FAILED" : "DONE", operation->text);
    err_free(end->failed);
    for (struct waiter *w = operation->operations->waiters, *next; w; w = next) {
        next = w->next;
        if (w->operation == operation)
            answer_waiter(w);
    }
}

static void wait_for(struct operation *operation, struct rpc_call *call, uint32_t wait_ms)
{
    struct operations *operations = operation->operations;
    struct waiter *waiter = mem_new(sizeof *waiter);
    *waiter = (struct waiter){.next = operations->waiters,
                              .operations = operations,
                              .operation = operation,
                              .call = rpc_call_ref(call),
                              .timer = loop_timer_new(operations->loop, answer_waiter, waiter)};
    operations->waiters = waiter;
    operations->waiting++;
    rpc_call_set_context(call, waiter);
    loop_timer_start(waiter->timer, wait_ms, 0);
}

/* ---- calls */

static void get_operation(struct rpc_call *call, struct rpc_message *message,
                          const struct ProtobufCMessage *pb, void *user)
{
    (void)message;
    struct operations *operations = ((struct desk *)user)->operations;
    const Rlhfd__Admin__V1__GetOperationRequest *request = (const void *)pb;
    struct operation *found = operations->newest;
    while (found && strcmp(found->name, request->name) != 0)
        found = found->next;
    if (request->wait_ms > WAIT_MAX_MS)
        rpc_call_finish(call, desk_invalid("wait_ms", "0 to 60000"));
    else if (!found)
        rpc_call_finish(call, err_reason(err_field(err_new(ERR_NOT_FOUND,
                                                           "no operation '%.100s' of this process",
                                                           request->name),
                                                   "name", "a name of ListOperations"),
                                         "UNKNOWN_OPERATION"));
    else if (found->state != RUNNING || !request->wait_ms || operations->waiting >= WAITERS_MAX)
        operations_reply(found, call);
    else
        wait_for(found, call, request->wait_ms);
}

static void on_close(struct rpc_call *call, err_t why, void *user)
{
    (void)user;
    err_free(why);
    if (rpc_call_context(call))
        waiter_free(rpc_call_context(call));
}

static void list_operations(struct rpc_call *call, struct rpc_message *message,
                            const struct ProtobufCMessage *pb, void *user)
{
    (void)message, (void)pb;
    const struct operations *operations = ((struct desk *)user)->operations;
    Rlhfd__Admin__V1__Operation out[OPERATIONS_KEPT], *at[OPERATIONS_KEPT];
    Rlhfd__Admin__V1__ListOperationsReply reply = RLHFD__ADMIN__V1__LIST_OPERATIONS_REPLY__INIT;
    reply.operations = at;
    for (const struct operation *o = operations->newest; o; o = o->next) {
        out[reply.n_operations] = describe(o);
        at[reply.n_operations] = &out[reply.n_operations];
        reply.n_operations++;
    }
    rpc_call_reply(call, &reply.base);
}

/* ---- a checkpoint, on the compute thread */

struct checkpointing {
    struct desk *desk;
    struct operation *operation;
    struct checkpoint_info at;
    err_t failed;
};

static void checkpointed(void *arg)
{
    struct checkpointing *job = arg;
    SCOPED_MEM char *path =
        err_failed(job->failed) ? NULL : checkpoint_path(job->desk->directory, job->at.version);
    operation_end(job->operation, &(struct operation_end){.failed = job->failed,
                                                          .lineage = job->at.lineage,
                                                          .version = job->at.version,
                                                          .round = job->at.round,
                                                          .path = path});
    mem_free(job);
}

static void take_checkpoint(void *train, void *arg)
{
    struct checkpointing *job = arg;
    job->failed = train_checkpoint(train, &job->at);
    loop_post(job->desk->loop, checkpointed, job);
}

static err_t begin_checkpoint(struct desk *desk, const char *request_id, struct operation **ret)
{
    bool repeated;
    TRY(operations_begin(desk->operations, "checkpoint", request_id, ret, &repeated));
    if (repeated)
        return OK;
    struct checkpointing *job = mem_new(sizeof *job);
    *job = (struct checkpointing){.desk = desk, .operation = *ret};
    if (!train_post(desk->train, take_checkpoint, job)) {
        job->failed = err_new(ERR_EXHAUSTED, "the training thread has too much to do");
        checkpointed(job);
    }
    return OK;
}

static void checkpoint(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)message;
    const Rlhfd__Admin__V1__CheckpointRequest *request = (const void *)pb;
    struct operation *operation;
    err_t failed = begin_checkpoint(user, request->request_id, &operation);
    if (err_failed(failed))
        rpc_call_finish(call, failed);
    else
        operations_reply(operation, call);
}

struct rpc_service operations_service(struct desk *desk)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.admin.v1.LearnerAdmin/Checkpoint",
         &rlhfd__admin__v1__checkpoint_request__descriptor,
         &rlhfd__admin__v1__operation__descriptor,
         RPC_UNARY,
         CALLER_ADMIN,
         {.message = checkpoint},
         0},
        {"/rlhfd.admin.v1.LearnerAdmin/GetOperation",
         &rlhfd__admin__v1__get_operation_request__descriptor,
         &rlhfd__admin__v1__operation__descriptor,
         RPC_UNARY,
         CALLER_READS,
         {.message = get_operation, .close = on_close},
         0},
        {"/rlhfd.admin.v1.LearnerAdmin/ListOperations",
         &rlhfd__admin__v1__list_operations_request__descriptor,
         &rlhfd__admin__v1__list_operations_reply__descriptor,
         RPC_UNARY,
         CALLER_READS,
         {.message = list_operations},
         0},
        {0},
    };
    return (struct rpc_service){methods, desk};
}

void operations_free(struct operations *operations)
{
    if (!operations)
        return;
    while (operations->waiters)
        waiter_free(operations->waiters);
    for (struct operation *o = operations->newest, *next; o; o = next) {
        next = o->next;
        operation_free(o);
    }
    mem_free(operations);
}
