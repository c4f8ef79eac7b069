/* GetStatus by the thousand: each status answers all who asked before it was begun, too many are
 * refused, and the next one who asks is answered. */
#include "admin/admin.h"
#include "unit/rpc/loopback.h"

enum { CALLS = 5000, CONNECTIONS = 8 };

struct scene {
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_admin *admin;
    struct rpc_server *server;
    struct rpc_channel *channel[CONNECTIONS];
    struct loop_timer *slow, *poll;
    struct rpc_admin_asking *asking;
    int collected, drained, wanted;
    int answered, refused, other;
    int64_t give_up_ms;
};

static const char *serving(void *arg)
{
    (void)arg;
    return "SERVING";
}

static void on_drain(void *arg)
{
    ((struct scene *)arg)->drained++;
}

static void give(void *arg)
{
    struct scene *scene = arg;
    rpc_admin_answer(STEAL(scene->asking), &(struct admin_details){0});
}

/* As slow as a storage thread that syncs. */
static void collect(void *arg, struct rpc_admin_asking *asking)
{
    struct scene *scene = arg;
    assert_null(scene->asking); // one at a time
    scene->collected++;
    scene->asking = asking;
    loop_timer_start(scene->slow, 30, 0);
}

static void begin(struct scene *scene)
{
    char target[64];
    assert_ok(loop_new(&scene->loop));
    assert_ok(rpc_new(scene->loop, &scene->rpc));
    scene->slow = loop_timer_new(scene->loop, give, scene);
    scene->admin = rpc_admin_new(&(struct admin_options){.loop = scene->loop,
                                                         .daemon = "learner",
                                                         .run = "run",
                                                         .state = serving,
                                                         .drain = on_drain,
                                                         .collect = collect,
                                                         .arg = scene},
                                 NULL);
    struct rpc_service services[] = {rpc_admin_service(scene->admin)};
    assert_ok(rpc_server_start(
        scene->rpc, &(struct rpc_server_options){.address = "127.0.0.1:0", RPC_SERVICES(services)},
        &scene->server));
    snprintf(target, sizeof target, "127.0.0.1:%d", rpc_server_port(scene->server));
    for (int i = 0; i < CONNECTIONS; i++)
        assert_ok(rpc_channel_new(
            scene->rpc, &(struct rpc_channel_options){.target = target, .own_connection = true},
            &scene->channel[i]));
}

static void end(struct scene *scene)
{
    for (int i = 0; i < CONNECTIONS; i++)
        rpc_channel_free(scene->channel[i]);
    rpc_server_free(scene->server);
    rpc_admin_free(scene->admin);
    if (scene->asking)
        give(scene); // after its end: harmless
    rpc_free(scene->rpc);
    loop_timer_free(scene->slow);
    loop_timer_free(scene->poll);
    loop_free(scene->loop);
}

static void closed(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    struct scene *scene = user;
    scene->answered += !err_failed(why);
    scene->refused += err_code(why) == ERR_EXHAUSTED;
    scene->other += err_failed(why) && err_code(why) != ERR_EXHAUSTED;
    if (--scene->wanted == 0)
        loop_stop(scene->loop);
    err_free(why);
}

static void ask(struct scene *scene, int count)
{
    static const struct rpc_handlers handlers = {.close = closed};
    const Rlhfd__Admin__V1__GetStatusRequest request = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    scene->answered = scene->refused = scene->other = 0;
    scene->wanted = count;
    for (int i = 0; i < count; i++)
        rpc_call_unary(scene->channel[i % CONNECTIONS], &loopback_methods[0], &request.base,
                       &(struct rpc_call_options){.deadline_ms = 120000}, &handlers, scene);
}

static void a_flood_is_answered_together_or_refused(void **state)
{
    (void)state;
    struct scene scene = {0};
    begin(&scene);
    ask(&scene, CALLS);
    assert_ok(loop_run(scene.loop));
    assert_int_equal(scene.other, 0);
    assert_int_equal(scene.answered + scene.refused, CALLS);
    assert_true(scene.answered > 0);
    assert_true(scene.collected < CALLS / 4);
    ask(&scene, 1);
    assert_ok(loop_run(scene.loop));
    assert_int_equal(scene.answered, 1);
    end(&scene);
}

static void stop(void *arg)
{
    loop_stop(((struct scene *)arg)->loop);
}

/* A server that ends under requests leaves none of them, nor their answer, behind. */
static void an_end_under_a_flood_frees_all(void **state)
{
    (void)state;
    struct scene scene = {0};
    begin(&scene);
    scene.poll = loop_timer_new(scene.loop, stop, &scene);
    ask(&scene, CALLS);
    loop_timer_start(scene.poll, 20, 0);
    assert_ok(loop_run(scene.loop));
    end(&scene);
    assert_int_equal(scene.answered + scene.refused + scene.other, CALLS);
}

TESTS(cmocka_unit_test(a_flood_is_answered_together_or_refused),
      cmocka_unit_test(an_end_under_a_flood_frees_all))
