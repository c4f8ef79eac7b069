/* Pause, Resume. */
#include "admin.pb-c.h"
#include "learner/admin/services.h"
#include "learner/round/draw.h"
#include "learner/steer/live.h"
#include "learner/train/train.h"
#include "svc/security.h"

static err_t answer(struct desk_visit *visit, struct store *store, bool paused)
{
    const Rlhfd__Admin__V1__PauseRequest *request = (const void *)visit->request;
    bool both = !request->generation && !request->training;
    bool generation = both || request->generation, training = both || request->training;
    enum live_pause to = !paused ? LIVE_GOES_ON : request->now ? LIVE_HELD : LIVE_PAUSED;
    if (request->now && !generation)
        return err_field(
            err_new(ERR_INVALID, "now: decoding is held with generation, not training"), "now",
            "with generation");
    struct live_assignment at[] = {{"generation", !generation       ? NULL
                                                  : to == LIVE_HELD ? "now"
                                                                    : "true"},
                                   {"training", training ? "true" : NULL}};
    struct live_request live = {.at = at,
                                .count = 2,
                                .kind = paused ? "pause" : "resume",
                                .author = desk_author(visit, request->author),
                                .reason = request->reason,
                                .request_id = request->request_id};
    struct live_result result;
    struct store_counts counts;
    TRY(live_pause(visit->desk->live, store, &live, generation, training, to, &result));
    store_counts(store, &counts);
    Rlhfd__Admin__V1__PauseReply reply = RLHFD__ADMIN__V1__PAUSE_REPLY__INIT;
    reply.decoding_held = live_decoding_held(visit->desk->live);
    reply.leased = (uint32_t)counts.leased;
    reply.trains = draw_waits_for(train_draw(visit->desk->train)) == IDLE_NONE;
    reply.generation_paused = live_generation_paused(visit->desk->live);
    reply.training_paused = live_training_paused(visit->desk->live);
    reply.change = result.change;
    return desk_reply(visit, &reply.base);
}

static err_t answer_pause(struct desk_visit *visit, struct store *store)
{
    return answer(visit, store, true);
}

static err_t answer_resume(struct desk_visit *visit, struct store *store)
{
    return answer(visit, store, false);
}

static void on_pause(struct rpc_call *call, struct rpc_message *message,
                     const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_pause);
}

static void on_resume(struct rpc_call *call, struct rpc_message *message,
                      const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_resume);
}

struct rpc_service pausing_service(struct desk *desk)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.admin.v1.LearnerAdmin/Pause",
         &rlhfd__admin__v1__pause_request__descriptor,
         &rlhfd__admin__v1__pause_reply__descriptor,
         RPC_UNARY,
         CALLER_ADMIN,
         {.message = on_pause},
         0},
        {"/rlhfd.admin.v1.LearnerAdmin/Resume",
         &rlhfd__admin__v1__pause_request__descriptor,
         &rlhfd__admin__v1__pause_reply__descriptor,
         RPC_UNARY,
         CALLER_ADMIN,
         {.message = on_resume},
         0},
        {0},
    };
    return (struct rpc_service){methods, desk};
}
