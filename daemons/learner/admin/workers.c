/* ListWorkers, DrainWorker: generators as leasing knows them, rewarders as streams of groups. */
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/mem.h"
#include "learner/admin/services.h"
#include "learner/lease/leasing.h"
#include "learner/replay/ingest.h"
#include "learner/steer/live.h"
#include "svc/security.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The rewarders' streams as they are at the call: they are the loop's. */
struct rewarders {
    size_t count;
    struct ingest_stream at[];
};

static Rlhfd__Admin__V1__Worker *add(struct desk_visit *visit,
                                     Rlhfd__Admin__V1__ListWorkersReply *reply)
{
    Rlhfd__Admin__V1__Worker *out = desk_new(visit, sizeof *out);
    rlhfd__admin__v1__worker__init(out);
    desk_push(visit, (void ***)&reply->workers, &reply->n_workers, out);
    return out;
}

struct adding {
    struct desk_visit *visit;
    Rlhfd__Admin__V1__ListWorkersReply reply;
};

static void add_generator(void *arg, const struct leasing_worker *worker)
{
    struct adding *adding = arg;
    struct desk_visit *visit = adding->visit;
    bool paused = live_generation_paused(visit->desk->live);
    Rlhfd__Admin__V1__Worker *out = add(visit, &adding->reply);
    out->name = desk_text(visit, worker->name);
    out->kind = (char *)"generator";
    out->peer = desk_text(visit, worker->peer);
    out->incarnation = worker->term;
    out->state = (char *)(worker->lost       ? "LOST"
                          : worker->draining ? "DRAINING"
                          : worker->holds    ? "HELD"
                          : paused           ? "PAUSED"
                                             : "SERVING");
    out->lineage = worker->lineage;
    out->version = worker->version;
    out->versions_behind = worker->versions_behind;
    out->leased = worker->leased;
    out->wanted = worker->wanted;
    out->tokens = worker->tokens;
    out->tokens_per_s = worker->tokens_per_s;
    out->busy_s = worker->busy_s;
    out->idle_s = worker->idle_s;
    out->waits_for = (char *)(paused && worker->wanted ? "paused" : worker->waits_for);
    out->connected_s = worker->connected_s;
    out->forward = desk_text(visit, worker->forward);
    out->lost_s = worker->lost_s;
}

static void add_rewarder(struct desk_visit *visit, const struct ingest_stream *stream,
                         Rlhfd__Admin__V1__ListWorkersReply *reply)
{
    Rlhfd__Admin__V1__Worker *out = add(visit, reply);
    out->name = out->peer = desk_text(visit, stream->peer);
    out->kind = (char *)"rewarder";
    out->state = (char *)"SERVING";
    out->tokens = stream->tokens;
    out->connected_s = clock_s() - stream->since_s;
    out->forward = desk_text(visit, stream->forward);
}

static err_t answer_list(struct desk_visit *visit, struct store *store)
{
    struct adding adding = {visit, RLHFD__ADMIN__V1__LIST_WORKERS_REPLY__INIT};
    const struct rewarders *rewarders = visit->extra;
    leasing_workers(visit->desk->leasing, store, add_generator, &adding);
    for (size_t i = 0; i < rewarders->count; i++)
        add_rewarder(visit, &rewarders->at[i], &adding.reply);
    return desk_reply(visit, &adding.reply.base);
}

static err_t answer_drain(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__DrainWorkerRequest *request = (const void *)visit->request;
    struct live_assignment at = {"generator", request->name};
    struct live_request live = {.at = &at,
                                .count = 1,
                                .kind = "drain_worker",
                                .author = desk_author(visit, request->author),
                                .reason = request->reason};
    struct live_result result = {0};
    bool repeated;
    struct leasing_drained drained;
    Rlhfd__Admin__V1__DrainWorkerReply reply = RLHFD__ADMIN__V1__DRAIN_WORKER_REPLY__INIT;
    TRY(live_repeated(visit->desk->live, &live, &repeated, &result)); // its texts
    TRY(leasing_drain(visit->desk->leasing, store, request->name, false, &drained));
    struct change_value value = {
        .key = request->name, .before = (char *)drained.state, .after = (char *)"DRAINING"};
    if (strcmp(value.before, value.after) != 0)
        TRY(live_note(visit->desk->live, store, &live, &value, 1, &result));
    TRY(leasing_drain(visit->desk->leasing, store, request->name, true, &drained));
    reply.leased = drained.leased;
    reply.change = result.change;
    return desk_reply(visit, &reply.base);
}

static void list_workers(struct rpc_call *call, struct rpc_message *message,
                         const struct ProtobufCMessage *pb, void *user)
{
    struct desk *desk = user;
    size_t count = ingest_streams(desk->ingest, NULL, 0);
    struct rewarders *rewarders = mem_new(sizeof *rewarders + count * sizeof rewarders->at[0]);
    rewarders->count = ingest_streams(desk->ingest, rewarders->at, count);
    desk_ask_with(desk, call, message, pb, answer_list, rewarders);
}

static void drain_worker(struct rpc_call *call, struct rpc_message *message,
                         const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_drain);
}

struct rpc_service workers_service(struct desk *desk)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.admin.v1.LearnerAdmin/ListWorkers",
         &rlhfd__admin__v1__list_workers_request__descriptor,
         &rlhfd__admin__v1__list_workers_reply__descriptor,
         RPC_UNARY,
         CALLER_READS,
         {.message = list_workers},
         0},
        {"/rlhfd.admin.v1.LearnerAdmin/DrainWorker",
         &rlhfd__admin__v1__drain_worker_request__descriptor,
         &rlhfd__admin__v1__drain_worker_reply__descriptor,
         RPC_UNARY,
         CALLER_ADMIN,
         {.message = drain_worker},
         0},
        {0},
    };
    return (struct rpc_service){methods, desk};
}
