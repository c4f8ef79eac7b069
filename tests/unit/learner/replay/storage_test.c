/* A store that fails: whoever waits for it, and whoever comes later, gets the error; the loop is
 * told once. And more jobs than anyone should post are all done. */
#include "base/clock.h"
#include "learner/replay/storage.h"
#include "learner/round/draw.h"
#include "svc/loop.h"
#include "unit/learner/store_kit.h"
#include <pthread.h>
#include <stdatomic.h>

enum { WAIT_MS = 60000 };

struct scene {
    struct loop *loop;
    struct storage *storage;
    struct leasing *leasing;
    struct draw *draw;
    int told; // of a failure
    char why[256];
    pthread_t drawing;
    atomic_bool drawn, open;
    err_t outcome; // of draw_next
    long jobs;     // done, storage thread
    atomic_int looks;
};

static void on_failure(void *arg, err_t why)
{
    struct scene *scene = arg;
    scene->told++;
    snprintf(scene->why, sizeof scene->why, "%s", err_message(why));
    err_free(why);
}

static void begin(struct scene *scene)
{
    assert_ok(loop_new(&scene->loop));
    struct storage_options options = {.loop = scene->loop,
                                      .directory = kit_directory(),
                                      .store = kit_options(100),
                                      .rules = kit_rules(1, 3),
                                      .failed = on_failure,
                                      .arg = scene};
    assert_ok(storage_start(&options, &scene->storage));
    scene->leasing = leasing_new(
        &(struct leasing_options){.loop = scene->loop, .storage = scene->storage, .run = "run"});
}

static void end(struct scene *scene)
{
    storage_free(scene->storage); // and only then the loop hears of it
    loop_run_posted(scene->loop);
    draw_free(scene->draw);
    leasing_free(scene->leasing);
    loop_free(scene->loop);
}

static void *draw_one(void *arg)
{
    struct scene *scene = arg;
    struct drawn drawn;
    scene->outcome = draw_next(scene->draw, &drawn);
    atomic_store(&scene->drawn, true);
    return NULL;
}

static err_t is_waiting(void *arg)
{
    atomic_store(&((struct scene *)arg)->open, true);
    return OK;
}

static void wait_until(const atomic_bool *flag, const char *what)
{
    for (int64_t until = clock_ms() + WAIT_MS; !atomic_load(flag); clock_sleep_ms(1))
        if (clock_ms() > until)
            fail_msg("%s: not after %d ms", what, WAIT_MS);
}

static void begin_drawing(struct scene *scene)
{
    scene->draw = draw_new(&(struct draw_options){.storage = scene->storage,
                                                  .leasing = scene->leasing,
                                                  .plan = plan,
                                                  .idle = is_waiting,
                                                  .arg = scene});
    pthread_create(&scene->drawing, NULL, draw_one, scene);
}

static err_t break_disk(void *arg, struct store *store)
{
    (void)arg, (void)store;
    return err_new(ERR_DATA_LOSS, "000042.sst: a bit has flipped");
}

static err_t count(void *arg, struct store *store)
{
    (void)store;
    ((struct scene *)arg)->jobs++;
    return OK;
}

static err_t set_rules(void *arg, struct store *store)
{
    (void)arg;
    struct store_rules rules = kit_rules(1, 3);
    return kit_set_rules(store, &rules, 0);
}

static void who_waits_for_a_round_gets_the_error(void **state)
{
    (void)state;
    struct scene scene = {0};
    begin(&scene);
    begin_drawing(&scene);
    wait_until(&scene.open, "no group comes");
    storage_post(scene.storage, break_disk, NULL);
    wait_until(&scene.drawn, "the waiting thread hears of it");
    pthread_join(scene.drawing, NULL);
    assert_err(ERR_DATA_LOSS, "000042.sst", scene.outcome);
    assert_err(ERR_DATA_LOSS, "000042.sst", storage_call(scene.storage, count, &scene));
    assert_int_equal(scene.jobs, 0); // what is waited for is not even tried
    struct drawn drawn;
    assert_err(ERR_DATA_LOSS, "000042.sst", draw_next(scene.draw, &drawn)); // who comes later
    storage_post(scene.storage, set_rules, NULL); // fails at the store, and is told to nobody
    draw_stop(scene.draw);
    end(&scene);
    assert_int_equal(scene.told, 1);
    assert_non_null(strstr(scene.why, "000042.sst"));
}

static err_t fail_to_look(void *arg, struct store *store)
{
    (void)arg, (void)store;
    return err_new(ERR_UNAVAILABLE, "000007.log: Input/output error");
}

static void a_look_that_fails_reaches_the_others(void **state)
{
    (void)state;
    struct scene scene = {0};
    begin(&scene);
    begin_drawing(&scene);
    wait_until(&scene.open, "no group comes");
    storage_on_change(scene.storage, fail_to_look, NULL, NULL);
    wait_until(&scene.drawn, "the waiting thread hears of it");
    pthread_join(scene.drawing, NULL);
    assert_err(ERR_UNAVAILABLE, "000007.log", scene.outcome);
    end(&scene);
    assert_int_equal(scene.told, 1);
}

static err_t refuse(void *arg, struct store *store)
{
    (void)arg, (void)store;
    return err_new(ERR_NOT_FOUND, "no such thing");
}

static void an_error_of_a_call_is_the_callers_alone(void **state)
{
    (void)state;
    struct scene scene = {0};
    begin(&scene);
    assert_err(ERR_NOT_FOUND, "no such thing", storage_call(scene.storage, refuse, NULL));
    assert_ok(storage_call(scene.storage, count, &scene));
    end(&scene);
    assert_int_equal(scene.told, 0);
    assert_int_equal(scene.jobs, 1);
}

static err_t hold(void *arg, struct store *store)
{
    (void)store;
    wait_until(arg, "the jobs are posted");
    return OK;
}

static void more_jobs_than_its_mailbox_holds_are_done(void **state)
{
    (void)state;
    enum { JOBS = 50000 };
    struct scene scene = {0};
    begin(&scene);
    storage_post(scene.storage, hold, &scene.open);
    for (int i = 0; i < JOBS; i++)
        storage_post(scene.storage, count, &scene);
    atomic_store(&scene.open, true);
    assert_ok(storage_call(scene.storage, count, &scene));
    assert_int_equal(scene.jobs, JOBS + 1);
    end(&scene);
}

static err_t count_look(void *arg, struct store *store)
{
    (void)store;
    atomic_fetch_add(&((struct scene *)arg)->looks, 1);
    return OK;
}

static err_t again(void *arg, struct store *store)
{
    struct scene *scene = arg;
    (void)store;
    if (!atomic_load(&scene->drawn))
        storage_post(scene->storage, again, scene);
    return OK;
}

/* A client that asks again as soon as it is answered must not keep leases and rounds waiting. */
static void jobs_without_a_pause_keep_nobody_waiting(void **state)
{
    (void)state;
    struct scene scene = {0};
    begin(&scene);
    for (int i = 0; i < 2; i++)
        storage_post(scene.storage, again, &scene);
    storage_on_change(scene.storage, count_look, NULL, &scene);
    for (int64_t until = clock_ms() + WAIT_MS; atomic_load(&scene.looks) < 3; clock_sleep_ms(1))
        assert_true(clock_ms() < until);
    atomic_store(&scene.drawn, true);
    assert_ok(storage_call(scene.storage, count, &scene));
    end(&scene);
}

TESTS(cmocka_unit_test(who_waits_for_a_round_gets_the_error),
      cmocka_unit_test(a_look_that_fails_reaches_the_others),
      cmocka_unit_test(an_error_of_a_call_is_the_callers_alone),
      cmocka_unit_test(more_jobs_than_its_mailbox_holds_are_done),
      cmocka_unit_test(jobs_without_a_pause_keep_nobody_waiting))
