/* Drawing rounds through the real storage thread: what is ready comes without a word; before a wait `idle` is called, once. */
#include "learner/round/draw.h"
#include "svc/loop.h"
#include "unit/learner/store_kit.h"
#include <pthread.h>

enum { ROWS = 100 };

struct scene {
    struct loop *loop;
    struct storage *storage;
    struct leasing *leasing;
    struct draw *draw;
    struct grants grants; // one group each
    size_t delivered;     // storage thread, or while it is waited for
    uint64_t version;
    pthread_t compute;
    int idles;
    void (*when_idle)(struct scene *scene);
    bool idle_fails;
};

static void storage_failed(void *arg, err_t why)
{
    (void)arg;
    assert_ok(why);
}

static err_t lease_four(void *arg, struct store *store)
{
    struct scene *scene = arg;
    scene->grants = kit_lease(store, "g", 0, 4);
    assert_int_equal(scene->grants.count, 4);
    return OK;
}

static err_t deliver_one(void *arg, struct store *store)
{
    struct scene *scene = arg;
    assert_int_equal(kit_deliver(store, &scene->grants.grant[scene->delivered++], 0),
                     OUTCOME_STORED);
    return OK;
}

static err_t update_done(void *arg, struct store *store)
{
    const struct scene *scene = arg;
    struct trainee_digests trainees = kit_trainees(scene->version);
    return store_update_done(store, scene->version, &trainees, true);
}

static err_t on_idle(void *arg)
{
    struct scene *scene = arg;
    assert_true(pthread_equal(pthread_self(), scene->compute));
    scene->idles++;
    scene->when_idle(scene);
    return scene->idle_fails ? err_new(ERR_DATA_LOSS, "a weight changed") : OK;
}

static void open_draw(struct scene *scene, uint64_t first_round, uint64_t trained_rounds)
{
    struct draw_options draw = {.storage = scene->storage,
                                .leasing = scene->leasing,
                                .plan = plan,
                                .first_round = first_round,
                                .trained_rounds = trained_rounds,
                                .idle = on_idle,
                                .arg = scene};
    scene->draw = draw_new(&draw);
}

static void scene_begin(struct scene *scene)
{
    scene->compute = pthread_self();
    assert_ok(loop_new(&scene->loop));
    struct storage_options storage = {.loop = scene->loop,
                                      .directory = kit_directory(),
                                      .store = kit_options(ROWS),
                                      .rules = kit_rules(1, 3),
                                      .failed = storage_failed,
                                      .arg = scene};
    storage.rules.lease_ms = 1 << 30;
    assert_ok(storage_start(&storage, &scene->storage));
    scene->leasing =
        leasing_new(&(struct leasing_options){.storage = scene->storage, .run = "run"});
    assert_ok(storage_call(scene->storage, lease_four, scene));
}

static void scene_end(struct scene *scene)
{
    storage_free(scene->storage);
    loop_run_posted(scene->loop);
    draw_free(scene->draw);
    leasing_free(scene->leasing);
    grants_done(&scene->grants);
    loop_free(scene->loop);
}

/* Draws round r and trains it. */
static void draw_round(struct scene *scene, uint64_t r, bool again)
{
    struct drawn drawn;
    assert_ok(draw_next(scene->draw, &drawn));
    assert_int_equal(drawn.end, DRAW_MORE);
    assert_int_equal(drawn.round->round, r);
    assert_int_equal(drawn.again, again);
    assert_int_equal(drawn.group[0]->slot, r);
    drawn_done(&drawn);
    scene->version = r + 1;
    assert_ok(storage_call(scene->storage, update_done, scene));
}

static void deliver_late(struct scene *scene)
{
    storage_post(scene->storage, deliver_one, scene);
}

static void stop(struct scene *scene)
{
    draw_stop(scene->draw);
}

static void idle_is_told_only_when_no_round_is_ready(void **state)
{
    (void)state;
    struct scene scene = {.when_idle = deliver_late};
    scene_begin(&scene);
    open_draw(&scene, 0, 0);
    assert_ok(storage_call(scene.storage, deliver_one, &scene));
    assert_ok(storage_call(scene.storage, deliver_one, &scene));
    draw_round(&scene, 0, false);
    draw_round(&scene, 1, false);
    assert_int_equal(scene.idles, 0);
    draw_round(&scene, 2, false); // whose group comes because `idle` was called
    assert_int_equal(scene.idles, 1);
    draw_round(&scene, 3, false);
    assert_int_equal(scene.idles, 2);
    scene.when_idle = stop;
    struct drawn drawn;
    assert_ok(draw_next(scene.draw, &drawn));
    assert_int_equal(drawn.end, DRAW_STOPPED);
    assert_null(drawn.round);
    assert_int_equal(scene.idles, 3);
    scene_end(&scene);
}

/* Its error ends the wait, whether a round comes meanwhile or not; what was recorded stays so. */
static void an_error_before_a_wait_is_returned(void **state)
{
    (void)state;
    struct drawn drawn;
    for (int late = 0; late < 2; late++) {
        struct scene scene = {.when_idle = late ? deliver_late : stop, .idle_fails = true};
        scene_begin(&scene);
        open_draw(&scene, 0, 0);
        assert_err(ERR_DATA_LOSS, "a weight changed", draw_next(scene.draw, &drawn));
        assert_int_equal(scene.idles, 1);
        scene_end(&scene);
    }
}

/* Jobs that form no round make the storage thread look again; they must not call it again. */
static err_t nothing(void *arg, struct store *store)
{
    (void)arg;
    (void)store;
    return OK;
}

static void look_often_then_deliver(struct scene *scene)
{
    for (int i = 0; i < 20; i++)
        assert_ok(storage_call(scene->storage, nothing, NULL));
    deliver_late(scene);
}

static void a_wait_tells_it_once(void **state)
{
    (void)state;
    struct scene scene = {.when_idle = look_often_then_deliver};
    scene_begin(&scene);
    open_draw(&scene, 0, 0);
    draw_round(&scene, 0, false);
    draw_round(&scene, 1, false);
    assert_int_equal(scene.idles, 2);
    struct draw *first = STEAL(scene.draw); // the storage thread still looks at it
    open_draw(&scene, 0, 2);
    draw_round(&scene, 0, true); // recorded rounds need not be waited for
    draw_round(&scene, 1, true);
    assert_int_equal(scene.idles, 2);
    draw_round(&scene, 2, false);
    assert_int_equal(scene.idles, 3);
    scene_end(&scene);
    draw_free(first);
}

static err_t lower_the_limit(void *arg, struct store *store)
{
    (void)arg;
    struct store_rules rules = kit_rules(1, 0);
    return store_set_rules(store, &rules, 0);
}

static err_t lease_and_deliver(void *arg, struct store *store)
{
    struct scene *scene = arg;
    SCOPED_VALUE(grants) grants = kit_lease(store, "g", scene->version, 1);
    assert_int_equal(grants.count, 1);
    assert_int_equal(kit_deliver(store, &grants.grant[0], scene->version), OUTCOME_STORED);
    return OK;
}

static uint64_t stale_at_next(struct scene *scene)
{
    struct drawn drawn;
    assert_ok(storage_call(scene->storage, lease_and_deliver, scene));
    assert_ok(draw_next(scene->draw, &drawn));
    const uint64_t stale = drawn.stale;
    scene->version = drawn.number + 1;
    drawn_done(&drawn);
    assert_ok(storage_call(scene->storage, update_done, scene));
    return stale;
}

static void groups_that_went_stale_are_counted_by_one_process(void **)
{
    struct scene scene = {.when_idle = stop};
    scene_begin(&scene);
    open_draw(&scene, 0, 0);
    for (int i = 0; i < 4; i++)
        assert_ok(storage_call(scene.storage, deliver_one, &scene));
    draw_round(&scene, 0, false);
    assert_ok(storage_call(scene.storage, lower_the_limit, NULL)); // three are too old now
    assert_int_equal(stale_at_next(&scene), 3);
    struct draw *first = STEAL(scene.draw); // the storage thread still looks at it
    open_draw(&scene, 2, 2);
    assert_int_equal(stale_at_next(&scene), 0); // those of the process before
    scene_end(&scene);
    draw_free(first);
}

TESTS(cmocka_unit_test(groups_that_went_stale_are_counted_by_one_process),
      cmocka_unit_test(idle_is_told_only_when_no_round_is_ready),
      cmocka_unit_test(an_error_before_a_wait_is_returned), cmocka_unit_test(a_wait_tells_it_once))
