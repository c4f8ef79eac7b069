/* Rollback: checked where the store is, begun as an operation on the loop, done by the compute
 * thread between two rounds. */
#include "admin.pb-c.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "learner/admin/operations.h"
#include "learner/admin/services.h"
#include "learner/steer/live.h"
#include "learner/train/branch.h"
#include "learner/train/train.h"
#include "svc/loop.h"
#include "svc/security.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct rolling {
    struct desk *desk;
    struct rpc_call *call; // NULL once it is answered
    uint64_t version;
    char *author, *reason, *request_id;
    struct operation *operation;
    struct checkpoint_info before, at;
    err_t failed;
};

static void rolling_free(struct rolling *rolling)
{
    if (rolling->call)
        rpc_call_unref(rolling->call);
    mem_free(rolling->author);
    mem_free(rolling->reason);
    mem_free(rolling->request_id);
    mem_free(rolling);
}

/* What names the request: to = {"version", TEXT}. */
static struct live_request asked(const struct rolling *rolling, const struct live_assignment *to)
{
    return (struct live_request){.at = to,
                                 .count = 1,
                                 .kind = "rollback",
                                 .author = rolling->author,
                                 .reason = rolling->reason,
                                 .request_id = rolling->request_id};
}

/* ---- done: storage thread, compute thread, loop */

static char *write_number(uint64_t number, char ret[24])
{
    snprintf(ret, 24, "%" PRIu64, number);
    return ret;
}

/* In the write that begins the lineage. */
static err_t note(void *arg, struct store *store)
{
    const struct rolling *rolling = arg;
    const struct branch branch = store_branch(store);
    char from[24], to[24], rounds[24], kept[24], parent[24], lineage[24];
    struct live_assignment at = {"version", write_number(rolling->version, to)};
    struct live_request request = asked(rolling, &at);
    struct change_value values[] = {
        {(char *)"version", write_number(rolling->before.version, from), to},
        {(char *)"rounds", write_number(rolling->before.round, rounds),
         write_number(branch.rounds, kept)},
        {(char *)"lineage", write_number(rolling->before.lineage, parent),
         write_number(branch.lineage, lineage)}};
    struct live_result result;
    return live_note(rolling->desk->live, store, &request, values, 3, &result);
}

static void done(void *arg)
{
    struct rolling *rolling = arg;
    bool failed = err_failed(rolling->failed);
    SCOPED_MEM char *path =
        failed ? NULL : checkpoint_path(rolling->desk->recipe->directory, rolling->at.version);
    operation_end(rolling->operation, &(struct operation_end){.failed = rolling->failed,
                                                              .lineage = rolling->at.lineage,
                                                              .version = rolling->at.version,
                                                              .round = rolling->at.round,
                                                              .path = path});
    rolling_free(rolling);
}

static void roll_back(void *train, void *arg)
{
    struct rolling *rolling = arg;
    rolling->before = *train_at(train);
    rolling->failed = train_go_back(train, rolling->version, note, rolling, &rolling->at);
    loop_post(rolling->desk->loop, done, rolling);
}

/* ---- begun: loop thread */

/* From train_post on rolling is the compute thread's. */
static err_t start(struct rolling *rolling)
{
    bool repeated;
    struct rpc_call *call = rolling->call;
    struct operation *operation;
    TRY(operations_begin(rolling->desk->operations, "rollback", rolling->request_id, &operation,
                         &repeated));
    rolling->call = NULL;
    rolling->operation = operation;
    if (repeated) {
        rolling_free(rolling);
    } else if (!train_post(rolling->desk->train, roll_back, rolling)) {
        rolling->failed = err_new(ERR_EXHAUSTED, "the training thread has too much to do");
        done(rolling);
    }
    operations_reply(operation, call);
    rpc_call_unref(call);
    return OK;
}

static void begin(void *arg)
{
    struct rolling *rolling = arg;
    err_t failed = start(rolling);
    if (!err_failed(failed))
        return;
    rpc_call_finish(rolling->call, failed);
    rolling_free(rolling);
}

/* ---- checked: storage thread */

/* Before a restart, too: from the list of changes. */
static err_t reply_done(struct desk_visit *visit, struct store *store, uint64_t number)
{
    SCOPED_VALUE(change_page) page = {0};
    TRY(store_changes(store, number - 1, false, 1, &page));
    if (!page.count || page.at[0].values != 3)
        return err_new(ERR_DATA_LOSS, "change %" PRIu64 " is no rollback", number);
    const struct change_value *value = page.at[0].value;
    Rlhfd__Admin__V1__Operation reply = RLHFD__ADMIN__V1__OPERATION__INIT;
    reply.kind = (char *)"rollback";
    reply.state = (char *)"DONE";
    reply.begun_ms = reply.ended_ms = page.at[0].time_ms;
    reply.version = strtoull(value[0].after, NULL, 10);
    reply.round = strtoull(value[1].after, NULL, 10);
    reply.lineage = (uint32_t)strtoul(value[2].after, NULL, 10);
    return desk_reply(visit, &reply.base);
}

static err_t reply_valid(struct desk_visit *visit, struct store *store,
                         const struct branch_point *point)
{
    Rlhfd__Admin__V1__Operation reply = RLHFD__ADMIN__V1__OPERATION__INIT;
    uint64_t rounds = store_next_round(store);
    reply.kind = (char *)"rollback";
    reply.text = desk_keep(
        visit, mem_printf("valid: %" PRIu64 " of %" PRIu64 " rounds would be cut off",
                          rounds > point->info.round ? rounds - point->info.round : 0, rounds));
    reply.version = point->info.version;
    reply.round = point->info.round;
    reply.path = point->path;
    return desk_reply(visit, &reply.base);
}

static err_t check(const struct desk *desk, struct store *store, uint64_t version,
                   struct branch_point *ret)
{
    if (!version)
        return desk_invalid("version",
                            "of a checkpoint, above 0: to the beginning goes --job fork");
    TRY(err_reason(err_field(branch_find(desk->recipe, store, version, ret), "version",
                             "of a checkpoint that is kept"),
                   "UNKNOWN_VERSION"));
    TRY(branch_check(desk->recipe, store, ret));
    return leasing_is_closed(desk->leasing)
               ? err_reason(err_new(ERR_PRECONDITION,
                                    "no more groups are made: the run has ended or is drained"),
                            "RUN_ENDED")
               : OK;
}

static err_t answer(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__RollbackRequest *request = (const void *)visit->request;
    SCOPED_VALUE(branch_point) point = {0};
    struct live_result result;
    bool repeated;
    char text[24];
    struct rolling given = {.author = desk_author(visit, request->author),
                            .reason = request->reason,
                            .request_id = request->request_id};
    struct live_assignment to = {"version", write_number(request->version, text)};
    struct live_request live = asked(&given, &to);
    TRY(live_repeated(visit->desk->live, &live, &repeated, &result));
    if (repeated)
        return reply_done(visit, store, result.change);
    TRY(check(visit->desk, store, request->version, &point));
    if (request->validate_only)
        return reply_valid(visit, store, &point);
    struct rolling *rolling = mem_new(sizeof *rolling);
    *rolling = (struct rolling){.desk = visit->desk,
                                .call = rpc_call_ref(visit->call),
                                .version = request->version,
                                .author = mem_string(given.author),
                                .reason = mem_string(request->reason),
                                .request_id = mem_string(request->request_id)};
    loop_post(visit->desk->loop, begin, rolling);
    return OK;
}

static void rollback(struct rpc_call *call, struct rpc_message *message, const ProtobufCMessage *pb,
                     void *user)
{
    const Rlhfd__Admin__V1__RollbackRequest *request = (const void *)pb;
    struct desk *desk = user;
    err_t busy = request->validate_only ? operations_idle(desk->operations) : OK;
    if (err_failed(busy))
        rpc_call_finish(call, busy);
    else
        desk_ask(desk, call, message, pb, answer);
}

struct rpc_service rolling_service(struct desk *desk)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.admin.v1.LearnerAdmin/Rollback",
         &rlhfd__admin__v1__rollback_request__descriptor,
         &rlhfd__admin__v1__operation__descriptor,
         RPC_UNARY,
         CALLER_ADMIN,
         {.message = rollback},
         0},
        {0},
    };
    return (struct rpc_service){methods, desk};
}
