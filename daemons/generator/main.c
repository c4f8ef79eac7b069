/* The generator: prompts and weights in from the learner, groups of completions out to the
 * rewarder.
 *
 *     learner -> prompts -> decode -> deliver -> rewarder
 *     learner -> update  ---^
 *                [loop]   [compute]   [loop]
 *
 * Beside decode, on its thread and with weights of its own: evaluate. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "generator/counters.h"
#include "generator/daemon.h"
#include "generator/decode.h"
#include "generator/deliver.h"
#include "generator/evaluate.h"
#include "generator/introduce.h"
#include "generator/prompts.h"
#include "generator/relaying.h"
#include "generator/update.h"
#include "model/model.h"
#include "rpc/face.h"
#include "svc/descriptors.h"
#include "svc/recipe/recipe_cli.h"
#include "svc/svc.h"

enum {
    STOP_GRACE_MS = 500,
    DRAIN_DEADLINE_MS = 10000,
    LEAVE_DEADLINE_MS = 3600000,
    TICK_MS = 50,
    LEAVE_MS = 5000,
    LOOK_MS = 500
};
enum { OWN_FILES = 32 }; // beside what every daemon has: data, model, evaluation

static const char *state(void *arg)
{
    const struct daemon *d = arg;
    return d->draining        ? "DRAINING"
           : d->facts.stands  ? "HELD"
           : d->facts.serving ? "SERVING"
                              : "JOINING";
}

void daemon_show(void *arg)
{
    struct daemon *d = arg;
    if (d->draining) {
        face_ready(d->face, "draining");
        return;
    }
    if (!d->prompts || !d->deliver)
        return; // it starts
    d->facts.held = prompts_held(d->prompts);
    d->facts.unanswered = deliver_waiting(d->deliver);
    if (d->facts.held)
        d->facts.since_s = clock_s();
    struct hold hold = generator_hold(&d->facts, clock_s());
    face_hold(d->face, &hold, (double)counters_totals().tokens);
}

/* ---- draining: nothing new; what is finished is delivered; then stop */

static void stopped(void *arg)
{
    struct daemon *d = arg;
    loop_stop(d->loop);
}

static void on_tick(void *arg)
{
    struct daemon *d = arg;
    bool empty = deliver_waiting(d->deliver) == 0 && prompts_held(d->prompts) == 0;
    if (d->stopping || (!empty && clock_ms() < d->drain_until_ms))
        return;
    d->stopping = true;
    face_stop(d->face, STOP_GRACE_MS, stopped, d);
}

static void begin_draining(struct daemon *d, int64_t at_most_ms)
{
    if (d->draining)
        return;
    d->draining = true;
    d->drain_until_ms = clock_ms() + at_most_ms;
    daemon_show(d);
    loop_timer_start(d->tick, TICK_MS, TICK_MS);
}

/* Leases are given back; groups without a disposition are made again. */
void daemon_give_back(struct daemon *d, bool all)
{
    log_info("draining", "leases=%zu undelivered=%zu", prompts_held(d->prompts),
             deliver_waiting(d->deliver));
    prompts_drain(d->prompts, all);
    begin_draining(d, STOP_GRACE_MS);
}

static void drain(void *arg)
{
    struct daemon *d = arg;
    if (!d->draining)
        daemon_give_back(d, false);
}

static void on_signal(void *arg, int signal)
{
    (void)signal;
    drain(arg);
}

/* ---- what the stages say */

static void granted(void *arg, struct lease_grant *grant)
{
    struct daemon *d = arg;
    peer_works(&d->facts.peers.learner);
    if (grant->evaluation)
        evaluate_admit(d->evaluate, grant);
    else
        decode_admit(d->decode, grant);
}

static void revoked(void *arg, const struct digest *id)
{
    decode_cancel(((struct daemon *)arg)->decode, id);
}

static void over(void *arg, enum prompts_over over)
{
    struct daemon *d = arg;
    log_info(over == OVER_ENDED      ? "run complete"
             : over == OVER_DRAINING ? "learner drains"
                                     : "sent away",
             "leases=%zu undelivered=%zu", prompts_held(d->prompts), deliver_waiting(d->deliver));
    if (over == OVER_ENDED)
        begin_draining(d, DRAIN_DEADLINE_MS);
    else if (over == OVER_LEAVE && d->facts.stands)
        drain(d); // what stands still is not finished any more
    else if (over == OVER_LEAVE)
        begin_draining(d, LEAVE_DEADLINE_MS);
}

/* A generator that was sent away does not wait for the end of a hold. */
static void hold(void *arg, bool holds)
{
    struct daemon *d = arg;
    if (d->facts.stands == holds)
        return; // asked again before it was heard
    d->facts.stands = holds;
    if (holds && d->draining) {
        prompts_drain(d->prompts, false);
        d->drain_until_ms = clock_ms() + STOP_GRACE_MS;
    }
    decode_pause(d->decode, holds);
}

static void paused(void *arg, bool paused)
{
    struct daemon *d = arg;
    log_info(paused ? "decoding stands still" : "decoding goes on", "leases=%zu",
             prompts_held(d->prompts));
    prompts_stands(d->prompts, paused);
}

static void finished(void *arg, struct group *group)
{
    struct daemon *d = arg;
    struct digest id = group->id;
    deliver_group(d->deliver, group);
    prompts_finished(d->prompts, &id);
}

static void unusable(void *arg, const struct digest *id, err_t why)
{
    struct daemon *d = arg;
    log_limited(LOG_WARNING, 1, "prompt unusable", "why=\"%s\"", err_message(why));
    prompts_unusable(d->prompts, id, err_message(why));
    err_free(why);
}

static void settled(void *arg, const struct disposition *disposition)
{
    struct daemon *d = arg;
    peer_works(&d->facts.peers.rewarder);
    prompts_settled(d->prompts, &disposition->id);
}

static void wanted(void *arg)
{
    update_wanted(((struct daemon *)arg)->update);
}

static void applied(void *arg, uint64_t version)
{
    struct daemon *d = arg;
    if (!d->facts.serving)
        log_info("serving", "version=%llu", (unsigned long long)version);
    d->facts.serving = true;
    peer_works(&d->facts.peers.weights);
    daemon_show(d);
    prompts_version(d->prompts, update_applied(d->update), version);
}

static void evaluated(void *arg, struct group *group)
{
    struct daemon *d = arg;
    prompts_evaluated(d->prompts, &group->id);
    deliver_group(d->deliver, group);
}

static void evaluation_unusable(void *arg, const struct group *group, err_t why)
{
    struct daemon *d = arg;
    log_limited(LOG_WARNING, 1, "prompt unusable", "why=\"%s\"", err_message(why));
    err_free(why);
    prompts_evaluation_unusable(d->prompts, &group->id, group->slot);
}

static void evaluation_ready(void *arg, uint32_t lineage, uint64_t version)
{
    struct daemon *d = arg;
    prompts_evaluates(d->prompts, lineage, version);
}

void daemon_failed(void *arg, err_t why)
{
    struct daemon *d = arg;
    if (err_failed(d->failed))
        err_free(why); // the first tells the cause
    else
        d->failed = why;
    loop_stop(d->loop);
}

static void weights_stuck(void *arg)
{
    daemon_failed(arg, err_new(ERR_UNAVAILABLE,
                               "a call into NCCL does not return: this process has to be "
                               "started again to get new weights"));
}

static void weights_poisoned(void *arg)
{
    struct daemon *d = arg;
    d->facts.serving = false;
    daemon_show(d);
}

/* ---- putting it together */

static err_t open_streams(struct daemon *d)
{
    const struct recipe *recipe = d->recipe;
    d->facts = generator_facts_of(recipe->generator.learner, recipe->generator.rewarder, clock_s());
    struct deliver_options deliver = {.rpc = d->rpc,
                                      .rewarder = recipe->generator.rewarder,
                                      .insecure = recipe->net.insecure,
                                      .settled = settled,
                                      .down = peers_rewarder_down,
                                      .up = peers_rewarder_up,
                                      .arg = d};
    struct prompts_options prompts = {.rpc = d->rpc,
                                      .loop = d->loop,
                                      .learner = recipe->generator.learner,
                                      .insecure = recipe->net.insecure,
                                      .run = recipe->run.name,
                                      .generator = d->name,
                                      .hello = &d->hello,
                                      .groups = decode_groups(d->decode),
                                      .evaluations = evaluate_slots(d->evaluate),
                                      .granted = granted,
                                      .revoked = revoked,
                                      .over = over,
                                      .hold = hold,
                                      .down = peers_lease_down,
                                      .up = peers_lease_up,
                                      .arg = d};
    struct update_options update = {.rpc = d->rpc,
                                    .loop = d->loop,
                                    .decode = d->decode,
                                    .learner = recipe->generator.learner,
                                    .insecure = recipe->net.insecure,
                                    .run = recipe->run.name,
                                    .generator = d->name,
                                    .incarnation = d->process,
                                    .down = peers_weights_down,
                                    .up = peers_weights_up,
                                    .relay = d->relay,
                                    .serves = d->serves,
                                    .silence_ms = d->relay ? recipe->publish.relay_ms : 0,
                                    .nccl = d->carrier.nccl ? &d->carrier.attend : NULL,
                                    .stuck = weights_stuck,
                                    .poisoned = weights_poisoned,
                                    .arg = d};
    if (d->carrier.why)
        log_info("versions come over gRPC alone", "why=\"%s\"", d->carrier.why);
    TRY(introduce_hello(recipe, decode_model(d->decode), &d->hello));
    TRY(deliver_open(&deliver, &d->deliver));
    TRY(prompts_open(&prompts, &d->prompts));
    TRY(evaluate_open(d->evaluate, d->decode,
                      &(struct evaluate_stream){.rpc = d->rpc, .incarnation = d->process}));
    return update_open(&update, &d->update);
}

static void watch_peers(struct daemon *d)
{
    d->join = loop_timer_new(d->loop, peers_late, d);
    loop_timer_start(d->join, d->recipe->net.join_timeout_s * 1000, 0);
    d->look = loop_timer_new(d->loop, daemon_show, d);
    loop_timer_start(d->look, 0, LOOK_MS);
}

static err_t serve(struct daemon *d, const char *announce)
{
    const struct recipe *recipe = d->recipe;
    int connections;
    TRY(recipe_require(recipe, "model.path"));
    TRY(descriptors_plan(OWN_FILES, &connections));
    TRY(loop_new(&d->loop));
    TRY(rpc_new(d->loop, &d->rpc));
    d->tick = loop_timer_new(d->loop, on_tick, d);
    struct evaluate_options evaluate = {.loop = d->loop,
                                        .recipe = recipe,
                                        .generator = d->name,
                                        .finished = evaluated,
                                        .unusable = evaluation_unusable,
                                        .ready = evaluation_ready,
                                        .down = peers_evaluated_down,
                                        .arg = d};
    TRY(evaluate_new(&evaluate, &d->evaluate));
    struct decode_options decode = {.loop = d->loop,
                                    .recipe = recipe,
                                    .generator = d->name,
                                    .evaluate = d->evaluate,
                                    .finished = finished,
                                    .unusable = unusable,
                                    .wanted = wanted,
                                    .applied = applied,
                                    .paused = paused,
                                    .failed = daemon_failed,
                                    .arg = d};
    struct face_options face = {.rpc = d->rpc,
                                .listen = recipe->generator.listen,
                                .insecure = recipe->net.insecure,
                                .connections = connections,
                                .announce = announce,
                                .admin = {.loop = d->loop,
                                          .daemon = "generator",
                                          .run = recipe->run.name,
                                          .state = state,
                                          .drain = drain,
                                          .arg = d}};
    TRY(carrier_open(recipe, d->loop, &d->carrier));
    TRY(decode_start(&decode, &d->decode));
    TRY(relay_open(recipe, decode_model(d->decode)->params->layout, &d->relay));
    if (d->relay)
        face.services[face.service_count++] = relay_service(d->relay);
    TRY(face_open(&face, &d->face));
    d->serves = relay_address(recipe, face_address(d->face));
    TRY(open_streams(d));
    watch_peers(d);
    loop_on_signal(d->loop, on_signal, d);
    TRY(loop_run(d->loop));
    return d->failed;
}

void daemon_done(struct daemon *d)
{
    d->draining = true; // what was posted may still be run, and has nothing more to say
    face_free(STEAL(d->face));
    decode_stop(d->decode); // its thread first: it reads what update holds and posts to the loop
    if (d->loop)
        loop_run_posted(d->loop);
    update_free(d->update);
    relay_free(d->relay);
    mem_free(d->serves);
    hello_done(&d->hello);
    carrier_done(&d->carrier);
    evaluate_free(d->evaluate);
    prompts_free(d->prompts);
    deliver_free(d->deliver);
    rpc_free(d->rpc);
    decode_free(d->decode); // after what calls it
    loop_timer_free(d->tick);
    loop_timer_free(d->join);
    loop_timer_free(d->look);
    loop_free(d->loop);
    mem_free(d->name);
}

static err_t run(int argc, char **argv)
{
    const char *announce = NULL;
    struct recipe_flag flags[] = {
        {"announce", "FILE", "write the addresses in use to FILE", .text = &announce}};
    struct recipe_cli cli = {
        .program = "rlhfd-generator",
        .purpose = "Decodes completions of leased prompts with the learner's newest weights.",
        .flags = flags,
        .flags_count = 1,
        .member = true};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    struct daemon daemon = {
        .recipe = recipe, .name = introduce_name(recipe), .process = rng_nonce()};
    err_t failed = serve(&daemon, announce);
    svc_end_within(failed, LEAVE_MS); // a step may take long: its leases have been given back
    daemon_done(&daemon);
    return failed;
}

int main(int argc, char **argv)
{
    svc_open("generator");
    return carrier_exit(svc_exit(run(argc, argv)));
}
