/* The learning rate of a run follows the run's real length: as the data ends it, as an operator
 * moves it, over restarts and back. */
#include "unit/learner/train_kit.h"
#include <inttypes.h>

#define FALLS "learner.optimizer={lr: 1e-2, schedule: linear, min_lr_ratio: 0}"
enum { ROWS = 100, LINES = 64 };
#define DIGITS 1e-10 // rates are near 1e-2, and the file has nine digits

struct rates {
    size_t count;
    double lr[LINES], run_rounds[LINES]; // by line
};

static struct rates rates_of(const struct site *site)
{
    struct rates rates = {0};
    SCOPED_VALUE(bytes) all = {0};
    SCOPED_MEM char *path = file_join(site->directory, "metrics.jsonl");
    assert_ok(file_read(path, 1 << 20, &all));
    for (const uint8_t *at = all.data, *end = at + all.len, *next; at < end; at = next + 1) {
        next = memchr(at, '\n', (size_t)(end - at));
        SCOPED_JSON json_t *line = json_loadb((const char *)at, (size_t)(next - at), 0, NULL);
        if (!json_object_get(line, "round"))
            continue; // a rollback
        rates.lr[rates.count] = json_number_value(json_object_get(line, "lr"));
        rates.run_rounds[rates.count++] = json_number_value(json_object_get(line, "run_rounds"));
    }
    return rates;
}

static err_t set_rounds(void *arg, struct store *store)
{
    const struct site *site = arg;
    struct live_assignment at = {"run.rounds", site->rounds};
    struct live_request request = {.at = &at, .count = 1, .kind = "settings"};
    struct live_result result;
    return live_update(site->live, store, &request, &result);
}

static void request_rounds(struct site *site, const char *rounds)
{
    site->rounds = rounds;
    assert_ok(storage_call(site->storage, set_rounds, site));
}

/* run.rounds is 200 and decides nothing. */
static void the_data_ends_the_fall(void **)
{
    struct site *site = site_new(FALLS);
    process_open(site);
    deliver(site, ROWS);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
    const struct rates rates = rates_of(site);
    assert_int_equal(rates.count, ROWS / B);
    for (size_t r = 0; r < rates.count; r++) {
        assert_near(rates.lr[r], 1e-2 * (1 - (double)(r + 1) / (double)rates.count), DIGITS);
        assert_true(rates.run_rounds[r] == ROWS / B);
    }
    assert_recorded(site, ROWS / B);
    site_free(site);
}

/* Six rounds of two updates become twelve after three: half of the fall is spread over the 18
 * updates left. */
static double moved(size_t round)
{
    const double updates = (double)((round + 1) * UPDATES);
    return 1e-2 * (round < 3 ? 1 - updates / 12 : 0.5 * (1 - (updates - 6) / 18));
}

static void assert_moved(const struct site *site)
{
    const struct rates rates = rates_of(site);
    assert_int_equal(rates.count, 12);
    for (size_t r = 0; r < rates.count; r++) {
        assert_near(rates.lr[r], moved(r), DIGITS);
        assert_true(rates.run_rounds[r] == (r < 3 ? 6 : 12));
    }
}

static void remove_checkpoints(const struct site *site)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    assert_ok(checkpoint_list(site->directory, &list));
    for (size_t i = 0; i < list.count && list.version[i] > 8 * UPDATES; i++) {
        SCOPED_MEM char *path = checkpoint_path(site->directory, list.version[i]);
        assert_ok(file_remove_tree(path));
    }
}

/* Restarts in between, and the rounds trained again, change nothing. */
static void a_moved_end_is_no_jump_and_outlives_restarts(void **)
{
    struct site *site = site_new(FALLS);
    process_open(site);
    request_rounds(site, "6");
    deliver(site, 3 * B);
    process_start(site);
    wait_round(site, 3);
    request_rounds(site, "12");
    train_stop(site->train);
    assert_int_equal(process_run(site), TRAIN_STOPPED);
    process_close(site);
    process_open(site);
    deliver(site, 9 * B);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
    assert_moved(site);
    assert_recorded(site, 12);
    remove_checkpoints(site); // the course as it was in the middle
    process_open(site);
    assert_int_equal(train_at(site->train)->round, 8);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
    assert_moved(site);
    assert_recorded(site, 12);
    site_free(site);
}

static err_t take_rules(void *rules, struct store *store)
{
    return kit_set_rules(store, rules, clock_ms());
}

static void go_back(struct train *train, void *arg)
{
    assert_ok(train_go_back(train, 4, NULL, NULL, arg));
}

/* The checkpoint has the course of its moment: what is known now begins there anew. */
static void a_rollback_takes_the_course_back(void **)
{
    struct site *site = site_new(FALLS);
    struct checkpoint_info at;
    process_open(site);
    request_rounds(site, "8");
    deliver(site, 4 * B);
    process_start(site);
    wait_round(site, 4);
    request_rounds(site, "5");
    ask(site, go_back, &at);
    assert_int_equal(at.round, 2);
    deliver(site, 3 * B);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
    const struct rates rates = rates_of(site);
    assert_int_equal(rates.count, 4 + 3);
    for (size_t r = 0; r < 4; r++)
        assert_near(rates.lr[r], 1e-2 * (1 - (double)(r + 1) / 8), DIGITS);
    for (size_t r = 2; r < 5; r++) // three quarters, over three rounds
        assert_near(rates.lr[4 + r - 2], 1e-2 * 0.75 * (1 - (double)(r - 1) / 3), DIGITS);
    assert_recorded(site, 5);
    site_free(site);
}

/* What was reached stays: at a rate above 0 the run may go on, at 0 it may not. */
static void a_run_that_goes_on_after_its_end(void **)
{
    for (int zero = 0; zero < 2; zero++) {
        const char *falls = zero ? FALLS : "learner.optimizer={lr: 1e-2, schedule: linear}";
        struct site *site = site_new(falls);
        process_open(site);
        request_rounds(site, "2");
        deliver(site, 2 * B);
        assert_int_equal(process_run(site), TRAIN_ENDED);
        process_close(site);
        recipe_free(site->recipe); // the live setting is 2; another way to go on is not there
        site->recipe = site_recipe(site, falls);
        process_open(site);
        struct train_options options = {.loop = site->loop,
                                        .storage = site->storage,
                                        .leasing = site->leasing,
                                        .live = site->live,
                                        .ended = training_ended,
                                        .arg = site};
        struct store_rules rules = settings_store(site->recipe); // 200 rounds
        assert_ok(storage_call(site->storage, take_rules, &rules));
        if (zero)
            assert_err(ERR_INVALID,
                       "learner.optimizer.schedule: linear has come to its end, a learning rate of "
                       "0, with update 4",
                       train_start(site->train, &options, site->publish));
        else {
            deliver(site, B);
            process_start(site);
            wait_round(site, 3);
            train_stop(site->train);
            assert_int_equal(process_run(site), TRAIN_STOPPED);
            const struct rates rates = rates_of(site);
            assert_near(rates.lr[1], 1e-3, DIGITS);
            assert_near(rates.lr[2], 1e-3, DIGITS);
        }
        process_close(site);
        site_free(site);
    }
}

TESTS(cmocka_unit_test(a_run_that_goes_on_after_its_end), cmocka_unit_test(the_data_ends_the_fall),
      cmocka_unit_test(a_moved_end_is_no_jump_and_outlives_restarts),
      cmocka_unit_test(a_rollback_takes_the_course_back))
