/* Drawing rounds through the real storage thread: what is ready comes without a word; before a wait
 * `idle` is called, once. */
#include "base/clock.h"
#include "learner/round/draw.h"
#include "learner/store/history.h"
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
    struct store_rules rules; // for set_rules
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
    return kit_set_rules(store, &rules, 0);
}

static err_t set_rules(void *arg, struct store *store)
{
    const struct scene *scene = arg;
    return kit_set_rules(store, &scene->rules, 0);
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

/* ---- what is waited for */

/* cause: of a wait of 50 ms; NULL: the round is there. */
static void draw_slot(struct scene *scene, uint64_t slot, const char *cause)
{
    struct drawn drawn;
    assert_ok(draw_next(scene->draw, &drawn));
    assert_non_null(drawn.round);
    assert_int_equal(drawn.group[0]->slot, slot);
    if (cause) {
        assert_string_equal(drawn.idle_cause, cause);
        assert_true(drawn.idle_s > 0.04);
    }
    scene->version = drawn.round->first_version + 1;
    drawn_done(&drawn);
    assert_ok(storage_call(scene->storage, update_done, scene));
}

static err_t see_straggler(void *arg, struct store *store)
{
    const struct scene *scene = arg;
    (void)store;
    assert_int_equal(draw_waits_for(scene->draw), IDLE_STRAGGLER);
    return OK;
}

static void let_it_come(struct scene *scene)
{
    clock_sleep_ms(50);
    assert_ok(storage_call(scene->storage, see_straggler, scene));
    deliver_late(scene);
}

/* Slot 0 is out while the rounds that may pass without it are drawn, and a younger group is
 * stored. */
static void scene_with_straggler(struct scene *scene, enum straggler straggler)
{
    scene_begin(scene);
    struct store_rules rules = kit_rules(1, 3);
    rules.straggler = straggler;
    rules.lease_ms = 1 << 30;
    scene->rules = rules;
    assert_ok(storage_call(scene->storage, set_rules, scene));
    open_draw(scene, 0, 0);
    for (scene->delivered = 1; scene->delivered < 4;)
        assert_ok(storage_call(scene->storage, deliver_one, scene));
    for (uint64_t slot = 1; slot < 4; slot++)
        draw_slot(scene, slot, NULL);
    assert_ok(storage_call(scene->storage, lease_and_deliver, scene));
    scene->delivered = 0;
}

static void a_straggler_is_waited_for(void **)
{
    struct scene scene = {.when_idle = let_it_come};
    scene_with_straggler(&scene, STRAGGLER_WAIT);
    draw_slot(&scene, 0, "straggler");
    assert_int_equal(scene.idles, 1);
    draw_slot(&scene, 4, NULL);
    scene_end(&scene);
}

static err_t none_is_leased(void *arg, struct store *store)
{
    (void)arg;
    struct store_counts counts;
    store_counts(store, &counts);
    assert_int_equal(counts.leased, 0);
    return OK;
}

static void a_straggler_is_dropped(void **)
{
    struct scene scene = {.when_idle = let_it_come};
    scene_with_straggler(&scene, STRAGGLER_DROP);
    draw_slot(&scene, 4, NULL);
    assert_int_equal(scene.idles, 0);
    assert_ok(storage_call(scene.storage, none_is_leased, NULL));
    scene_end(&scene);
}

static void let_a_group_come(struct scene *scene)
{
    clock_sleep_ms(50);
    deliver_late(scene);
}

static void groups_are_waited_for(void **)
{
    struct scene scene = {.when_idle = let_a_group_come};
    scene_begin(&scene);
    open_draw(&scene, 0, 0);
    draw_slot(&scene, 0, "no groups");
    scene_end(&scene);
}

/* ---- rounds that do not come */

static void wake(struct scene *scene)
{
    draw_wake(scene->draw);
}

static void a_wake_ends_a_wait_and_nothing_else(void **)
{
    struct scene scene = {.when_idle = wake};
    struct drawn drawn;
    scene_begin(&scene);
    open_draw(&scene, 0, 0);
    for (int i = 0; i < 2; i++) {
        assert_ok(draw_next(scene.draw, &drawn));
        assert_null(drawn.round);
        assert_int_equal(drawn.end, DRAW_MORE);
        assert_int_equal(drawn.number, 0);
    }
    assert_ok(storage_call(scene.storage, deliver_one, &scene));
    draw_wake(scene.draw);
    draw_round(&scene, 0, false); // what is ready comes all the same
    scene_end(&scene);
}

static err_t end_with_this_round(void *arg, struct store *store)
{
    (void)arg;
    struct store_rules rules = kit_rules(1, 3);
    rules.rounds = 1;
    return kit_set_rules(store, &rules, 0);
}

static void the_runs_end_is_told(void **)
{
    struct scene scene = {.when_idle = stop};
    struct drawn drawn;
    scene_begin(&scene);
    open_draw(&scene, 0, 0);
    assert_ok(storage_call(scene.storage, deliver_one, &scene));
    assert_ok(storage_call(scene.storage, end_with_this_round, NULL));
    draw_round(&scene, 0, false);
    assert_ok(draw_next(scene.draw, &drawn));
    assert_null(drawn.round);
    assert_int_equal(drawn.end, DRAW_ENDED);
    assert_int_equal(scene.idles, 0);
    scene_end(&scene);
}

static err_t fork_after_one(void *arg, struct store *store)
{
    (void)arg;
    return store_fork(store, 1, 0);
}

/* Of two recorded rounds one is trained again; then the other is cut off, and its number is another
 * round's. */
static void after_a_fork_its_rounds_are_formed_anew(void **)
{
    struct scene scene = {.when_idle = stop};
    scene_begin(&scene);
    open_draw(&scene, 0, 0);
    for (int i = 0; i < 2; i++) {
        assert_ok(storage_call(scene.storage, deliver_one, &scene));
        draw_round(&scene, (uint64_t)i, false);
    }
    struct draw *first = STEAL(scene.draw); // the storage thread still looks at it
    open_draw(&scene, 0, 2);
    draw_round(&scene, 0, true);
    assert_ok(storage_call(scene.storage, fork_after_one, NULL));
    draw_go_on_at(scene.draw, 1);
    scene.version = 1;
    assert_ok(storage_call(scene.storage, lease_and_deliver, &scene));
    draw_round(&scene, 1, false);
    scene_end(&scene);
    draw_free(first);
}

/* A start is counted before the round runs: one that takes the process with it comes back so often
 * and no more. */
static void a_round_that_ends_every_process_is_given_up(void **)
{
    struct scene scene = {.when_idle = stop};
    struct draw *before[VOID_STARTS + 1];
    struct drawn drawn;
    int starts = 0;
    scene_begin(&scene);
    open_draw(&scene, 0, 0);
    assert_ok(storage_call(scene.storage, deliver_one, &scene));
    do {
        assert_ok(draw_next(scene.draw, &drawn));
        if (!drawn.round)
            break;
        assert_int_equal(drawn.number, 0);
        assert_int_equal(drawn.again, starts > 0);
        drawn_done(&drawn);
        before[starts++] = STEAL(scene.draw);
        open_draw(&scene, 0, 1);
    } while (starts <= VOID_STARTS);
    assert_int_equal(starts, VOID_STARTS);
    assert_int_equal(drawn.number, 1);
    assert_int_equal(drawn.end, DRAW_MORE);
    scene_end(&scene);
    while (starts)
        draw_free(before[--starts]);
}

TESTS(cmocka_unit_test(groups_that_went_stale_are_counted_by_one_process),
      cmocka_unit_test(idle_is_told_only_when_no_round_is_ready),
      cmocka_unit_test(an_error_before_a_wait_is_returned), cmocka_unit_test(a_wait_tells_it_once),
      cmocka_unit_test(a_straggler_is_waited_for), cmocka_unit_test(a_straggler_is_dropped),
      cmocka_unit_test(groups_are_waited_for),
      cmocka_unit_test(a_wake_ends_a_wait_and_nothing_else), cmocka_unit_test(the_runs_end_is_told),
      cmocka_unit_test(after_a_fork_its_rounds_are_formed_anew),
      cmocka_unit_test(a_round_that_ends_every_process_is_given_up))
