/* The rewarder: groups of completions in, the same groups with scores out.
 *
 *     generators -> score -> pipeline's stages -> relay -> learner
 *                  [loop]    [their threads]      [loop]            dispositions go back the same way */
#include "admin/face.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "rewarder/offline.h"
#include "rewarder/relay.h"
#include "rewarder/rewarder_hold.h"
#include "rewarder/score.h"
#include "rewarder/stage_list.h"
#include "svc/descriptors.h"
#include "svc/loop.h"
#include "svc/recipe/recipe_cli.h"
#include "svc/recipe/recipe_shared.h"
#include "svc/security.h"
#include "svc/svc.h"
#include "wire/hello.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEAVE_MS = 5000, LOOK_MS = 500 };
enum { OWN_FILES = 32 }; // beside what every daemon has: scorers, the reference

/* In order of dependence: freed from the end. */
struct daemon {
    const struct recipe *recipe;
    struct security security;
    struct loop *loop;
    struct rpc *rpc;
    struct relay *relay;
    struct score *score;
    struct face *face;
    struct loop_timer *join;
    struct loop_timer *look;
    struct peer learner;
    struct hello hello;
    double answered_s; // a group was, last
    bool draining;
    err_t failed;
};

static const char *state(void *arg)
{
    const struct daemon *d = arg;
    return d->draining ? "DRAINING" : !d->learner.up ? "WAITING" : "SERVING";
}

static void stopped(void *arg)
{
    struct daemon *d = arg;
    loop_stop(d->loop);
}

/* Groups without a disposition may be lost here: their generators send them again, to another
 * rewarder or to this one after its restart. */
static void drain(void *arg)
{
    struct daemon *d = arg;
    if (d->draining)
        return;
    d->draining = true;
    log_info("draining", "waiting=%zu", relay_waiting(d->relay));
    face_stop(d->face, 1000, stopped, d);
}

static void on_signal(void *arg, int signal)
{
    (void)signal;
    drain(arg);
}

static void look(void *arg)
{
    struct daemon *d = arg;
    if (!d->face || d->draining)
        return;
    struct rewarder_facts facts = {.learner = &d->learner, .unanswered = relay_waiting(d->relay)};
    score_facts(d->score, &facts);
    facts.moved_s = fmax(facts.moved_s, d->answered_s);
    struct hold hold = rewarder_hold(&facts, clock_s());
    face_hold(d->face, &hold, facts.moved_s);
}

static void learner_down(void *arg, err_t why)
{
    struct daemon *d = arg;
    if (err_code(why) == ERR_PRECONDITION && !d->draining && !err_failed(d->failed)) {
        d->failed = svc_refused(why, "learner"); // another try would end the same
        loop_stop(d->loop);
        return;
    }
    if (d->face && !d->draining) // else it has not started, or ends: its own error is what counts
        peer_down(&d->learner, err_message(why), clock_s());
    err_free(why);
    look(d);
}

static void learner_up(void *arg)
{
    struct daemon *d = arg;
    peer_up(&d->learner, clock_s());
    look(d);
}

static void join_timed_out(void *arg)
{
    struct daemon *d = arg;
    if (d->learner.joined || d->draining || err_failed(d->failed))
        return;
    d->failed = svc_unreachable(err_new(
        ERR_UNAVAILABLE, "the learner was not reached in %" PRId64 " s (net.join_timeout_s): %s",
        d->recipe->net.join_timeout_s, *d->learner.why ? d->learner.why : "no answer"));
    loop_stop(d->loop);
}

static void answered(void *arg)
{
    struct daemon *d = arg;
    d->answered_s = clock_s();
    peer_works(&d->learner);
}

static void again(void *arg, struct group *group)
{
    struct daemon *d = arg;
    if (d->score && !d->draining)
        score_again(d->score, group);
    else
        group_free(group);
}

static void relay_has_room(void *arg)
{
    struct daemon *d = arg;
    score_room(d->score);
}

static err_t serve(struct daemon *d, const struct recipe *recipe, const char *announce)
{
    int connections;
    TRY(security_open(recipe, CALLER_REWARDER, recipe->rewarder.name, &d->security));
    TRY(descriptors_plan(OWN_FILES + stage_list_descriptors(recipe), d->security.keys,
                         &connections));
    TRY(loop_new(&d->loop));
    TRY(rpc_new(d->loop, &d->rpc));
    d->learner = peer_of("learner", recipe->rewarder.learner, HOLD_NO_LEARNER, clock_s());
    struct relay_options relay = {.rpc = d->rpc,
                                  .learner = recipe->rewarder.learner,
                                  .security = &d->security,
                                  .hello = &d->hello,
                                  .room = relay_has_room,
                                  .answered = answered,
                                  .again = again,
                                  .down = learner_down,
                                  .up = learner_up,
                                  .arg = d};
    recipe_of_scores(recipe, hello_put, &d->hello);
    TRY(relay_open(&relay, &d->relay));
    TRY(score_new(&(struct score_options){.loop = d->loop, .recipe = recipe, .relay = d->relay},
                  &d->score));
    d->hello.forward = score_forward_id(d->score);
    d->hello.scores_again = true;
    struct face_options face = {.rpc = d->rpc,
                                .at = FACE_AT(recipe, rewarder),
                                .security = &d->security,
                                .connections = connections,
                                .announce = announce,
                                .admin = {.loop = d->loop,
                                          .daemon = "rewarder",
                                          .run = recipe->run.name,
                                          .state = state,
                                          .drain = drain,
                                          .arg = d},
                                .services = {score_service(d->score)},
                                .service_count = 1};
    loop_on_signal(d->loop, on_signal, d); // who reads the announcement may stop us
    TRY(face_open(&face, &d->face));
    d->look = loop_timer_new(d->loop, look, d);
    loop_timer_start(d->look, 0, LOOK_MS);
    d->join = loop_timer_new(d->loop, join_timed_out, d);
    loop_timer_start(d->join, recipe->net.join_timeout_s * 1000, 0);
    svc_serves();
    TRY(loop_run(d->loop));
    return d->failed;
}

static void daemon_done(struct daemon *d)
{
    d->draining = true; // posted functions may still run, and shall report nothing
    face_free(STEAL(d->face));
    score_free(d->score);
    relay_free(d->relay);
    hello_done(&d->hello);
    rpc_free(d->rpc);
    loop_timer_free(d->join);
    loop_timer_free(d->look);
    loop_free(d->loop);
    security_done(&d->security);
}

static err_t document(void)
{
    SCOPED_VALUE(bytes) text = {0};
    stage_list_document(&text);
    fwrite(text.data, 1, text.len, stdout);
    return OK;
}

static err_t run(int argc, char **argv)
{
    const char *announce = NULL, *job = NULL;
    struct recipe_flag flags[] = {
        {"announce", "FILE", "write the addresses in use to FILE", .text = &announce},
        {"job", "KIND",
         "do one offline job and exit: score (completions on standard input), check (the recipe), "
         "document (the stages' keys; without a recipe)",
         .text = &job},
    };
    struct recipe_cli cli = {.program = "rlhfd-rewarder",
                             .purpose = "Scores groups of completions for the learner.",
                             .flags = flags,
                             .flags_count = 2,
                             .member = "rewarder"};
    if (argc == 3 && strcmp(argv[1], "--job") == 0 && strcmp(argv[2], "document") == 0)
        return document();
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    if (job && strcmp(job, "score") == 0)
        return score_offline(recipe, stdin, stdout);
    if (job && strcmp(job, "check") == 0)
        return check_offline(recipe, stdout);
    if (job && strcmp(job, "document") == 0)
        return document();
    if (job)
        return err_new(ERR_INVALID, "--job: '%s' is not known; allowed: score, check, document",
                       job);
    struct daemon daemon = {.recipe = recipe};
    err_t failed = serve(&daemon, recipe, announce);
    svc_end_within(failed, LEAVE_MS); // scoring may take long: its groups are sent again
    daemon_done(&daemon);
    return failed;
}

int main(int argc, char **argv)
{
    svc_open("rewarder");
    return svc_exit(run(argc, argv));
}
