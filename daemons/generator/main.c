/* The generator: prompts and weights in from the learner, groups of completions out to the
 * rewarder.
 *
 *     learner -> prompts -> decode -> deliver -> rewarder
 *     learner -> update  ---^
 *                [loop]   [compute]   [loop]
 *
 * Evaluation has a track of its own in decode, with weights of its own. */
#include "admin/face.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "generator/daemon.h"
#include "generator/decode.h"
#include "generator/deliver.h"
#include "generator/introduce.h"
#include "generator/prompts.h"
#include "generator/relaying.h"
#include "generator/update.h"
#include "model/model.h"
#include "svc/descriptors.h"
#include "svc/recipe/recipe_cli.h"
#include "svc/svc.h"
#include "weights/broadcast/nccl_carrier.h"

enum { DRAIN_DEADLINE_MS = 10000, LEAVE_DEADLINE_MS = 3600000, LEAVE_MS = 5000, LOOK_MS = 500 };
enum { OWN_FILES = 32 }; // beside what every daemon has: data, model, evaluation

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

static void granted(void *arg)
{
    struct daemon *d = arg;
    peer_works(&d->facts.peers.learner);
}

static void over(void *arg, enum prompts_over over)
{
    struct daemon *d = arg;
    log_info(over == OVER_ENDED      ? "run complete"
             : over == OVER_DRAINING ? "learner drains"
                                     : "sent away",
             "leases=%zu undelivered=%zu", prompts_held(d->prompts), deliver_waiting(d->deliver));
    if (over == OVER_ENDED)
        daemon_drain(d, DRAIN_DEADLINE_MS);
    else if (over == OVER_LEAVE && d->facts.stands)
        drain(d); // groups that stand still would never be finished
    else if (over == OVER_LEAVE)
        daemon_drain(d, LEAVE_DEADLINE_MS);
}

/* A generator that was sent away does not wait for the end of a hold. */
static void hold(void *arg, bool holds)
{
    struct daemon *d = arg;
    if (d->facts.stands == holds)
        return; // asked again before it was heard
    d->facts.stands = holds;
    if (holds && d->draining)
        daemon_leave_soon(d);
    decode_pause(d->decode, holds);
}

static void paused(void *arg, bool paused)
{
    struct daemon *d = arg;
    log_info(paused ? "decoding stands still" : "decoding goes on", "leases=%zu",
             prompts_held(d->prompts));
    prompts_stands(d->prompts, paused);
}

static void finished(void *arg, const struct digest *id)
{
    prompts_finished(((struct daemon *)arg)->prompts, id);
}

static void unusable(void *arg, const struct group *group, err_t why)
{
    struct daemon *d = arg;
    log_limited(LOG_WARNING, 1, "prompt unusable", "why=\"%s\"", err_message(why));
    prompts_unusable(d->prompts, group, err_message(why));
    err_free(why);
}

static void settled(void *arg, const struct disposition *disposition)
{
    struct daemon *d = arg;
    peer_works(&d->facts.peers.rewarder);
    prompts_settled(d->prompts, &disposition->id);
}

static void wanted(void *arg, enum track_kind track)
{
    update_wanted(((struct daemon *)arg)->update[track]);
}

static void applied(void *arg, enum track_kind track, uint64_t version)
{
    struct daemon *d = arg;
    if (track == TRACK_EVALUATION) {
        prompts_evaluates(d->prompts, update_applied(d->update[track]), version);
        return;
    }
    if (!d->facts.serving)
        log_info("serving", "version=%llu", (unsigned long long)version);
    d->facts.serving = true;
    peer_works(&d->facts.peers.weights);
    daemon_show(d);
    prompts_version(d->prompts, update_applied(d->update[track]), version);
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

static err_t open_deliver(struct daemon *d)
{
    const struct recipe *recipe = d->recipe;
    const struct deliver_options deliver = {.rpc = d->rpc,
                                            .rewarder = recipe->generator.rewarder,
                                            .security = &d->security,
                                            .settled = settled,
                                            .down = peers_rewarder_down,
                                            .up = peers_rewarder_up,
                                            .arg = d};
    d->facts = generator_facts_of(recipe->generator.learner, recipe->generator.rewarder, clock_s());
    return deliver_open(&deliver, &d->deliver);
}

static err_t open_prompts(struct daemon *d)
{
    const struct recipe *recipe = d->recipe;
    const struct prompts_options prompts = {.rpc = d->rpc,
                                            .loop = d->loop,
                                            .learner = recipe->generator.learner,
                                            .security = &d->security,
                                            .run = recipe->run.name,
                                            .generator = d->name,
                                            .hello = &d->hello,
                                            .decode = d->decode,
                                            .granted = granted,
                                            .over = over,
                                            .hold = hold,
                                            .down = peers_lease_down,
                                            .up = peers_lease_up,
                                            .arg = d};
    TRY(introduce_hello(recipe, decode_model(d->decode, TRACK_TRAINING), &d->hello));
    return prompts_open(&prompts, &d->prompts);
}

static err_t open_updates(struct daemon *d)
{
    const struct recipe *recipe = d->recipe;
    struct update_options update = {.rpc = d->rpc,
                                    .loop = d->loop,
                                    .decode = d->decode,
                                    .track = TRACK_EVALUATION,
                                    .learner = recipe->generator.learner,
                                    .security = &d->security,
                                    .run = recipe->run.name,
                                    .generator = d->name,
                                    .incarnation = d->process,
                                    .down = peers_evaluated_down,
                                    .arg = d};
    if (decode_model(d->decode, TRACK_EVALUATION))
        TRY(update_open(&update, &d->update[TRACK_EVALUATION]));
    update.track = TRACK_TRAINING;
    update.down = peers_weights_down;
    update.up = peers_weights_up;
    update.relay = d->relay;
    update.serves = d->serves;
    update.silence_ms = d->relay ? recipe->publish.relay_ms : 0;
    update.carriers = &d->carriers;
    update.stuck = weights_stuck;
    update.poisoned = weights_poisoned;
    if (d->carriers.why)
        log_info("versions come over gRPC alone", "why=\"%s\"", d->carriers.why);
    return update_open(&update, &d->update[TRACK_TRAINING]);
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
    TRY(security_open(recipe, CALLER_GENERATOR, recipe->generator.name, &d->security));
    d->name = introduce_name(recipe, &d->security);
    TRY(recipe_require(recipe, "model.path"));
    TRY(descriptors_plan(OWN_FILES, d->security.keys, &connections));
    TRY(loop_new(&d->loop));
    TRY(rpc_new(d->loop, &d->rpc));
    d->tick = loop_timer_new(d->loop, daemon_tick, d);
    TRY(open_deliver(d));
    struct decode_options decode = {.loop = d->loop,
                                    .recipe = recipe,
                                    .generator = d->name,
                                    .deliver = d->deliver,
                                    .finished = finished,
                                    .unusable = unusable,
                                    .wanted = wanted,
                                    .applied = applied,
                                    .paused = paused,
                                    .failed = daemon_failed,
                                    .arg = d};
    struct face_options face = {.rpc = d->rpc,
                                .at = FACE_AT(recipe, generator),
                                .security = &d->security,
                                .connections = connections,
                                .announce = announce,
                                .admin = {.loop = d->loop,
                                          .daemon = "generator",
                                          .run = recipe->run.name,
                                          .state = daemon_state,
                                          .drain = drain,
                                          .arg = d}};
    TRY(carriers_open(recipe, d->loop, &d->carriers));
    decode.lists = carriers_means(&d->carriers, &carrier_nccl) != NULL;
    TRY(decode_start(&decode, &d->decode));
    const struct model *trained = model_trained(decode_model(d->decode, TRACK_TRAINING));
    TRY(relaying_open(recipe, trained->params->layout, &d->relay));
    if (d->relay)
        face.services[face.service_count++] = relaying_service(d->relay);
    loop_on_signal(d->loop, on_signal, d); // who reads the announcement may stop us
    TRY(face_open(&face, &d->face));
    d->serves = relaying_address(recipe, face_address(d->face));
    TRY(open_prompts(d));
    TRY(open_updates(d));
    watch_peers(d);
    svc_serves();
    TRY(loop_run(d->loop));
    return d->failed;
}

static void daemon_done(struct daemon *d)
{
    d->draining = true; // calls that were posted still run: they change no state any more
    face_free(STEAL(d->face));
    decode_stop(d->decode); // its thread first: it reads what update holds and posts to the loop
    if (d->loop)
        loop_run_posted(d->loop);
    for (enum track_kind track = 0; track < TRACKS; track++)
        update_free(d->update[track]);
    relaying_free(d->relay);
    mem_free(d->serves);
    hello_done(&d->hello);
    carriers_done(&d->carriers);
    prompts_free(d->prompts);
    deliver_free(d->deliver);
    rpc_free(d->rpc);
    decode_free(d->decode); // after what calls it
    loop_timer_free(d->tick);
    loop_timer_free(d->join);
    loop_timer_free(d->look);
    loop_free(d->loop);
    security_done(&d->security);
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
        .member = "generator"};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    uint64_t process;
    TRY(rng_nonce(&process));
    struct daemon daemon = {.recipe = recipe, .process = process};
    err_t failed = serve(&daemon, announce);
    svc_end_within(failed, LEAVE_MS); // a step may take long: its leases have been given back
    daemon_done(&daemon);
    return failed;
}

int main(int argc, char **argv)
{
    svc_open("generator");
    return carriers_exit(svc_exit(run(argc, argv)));
}
