/* The limit on lag turned while a real ring trains: up, down, to auto and back, through the
 * learner's admin port. What the learner recorded is read afterwards: the first round formed after
 * each change has it in its settings, and obeys it. */
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/store/changes.h"
#include "learner/store/history.h"
#include "rpc/client.h"
#include "svc/loop.h"
#include "svc/recipe/recipe.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 240000, CALL_MS = 60000, GROUPS = 8, BETWEEN = 5 };

/* ---- UpdateSettings */

struct asked {
    struct loop *loop;
    uint64_t change, first_round;
    bool answered;
};

static void on_reply(struct rpc_call *call, struct rpc_message *message,
                     const struct ProtobufCMessage *pb, void *user)
{
    (void)call, (void)message;
    struct asked *asked = user;
    const Rlhfd__Admin__V1__UpdateSettingsReply *reply = (const void *)pb;
    asked->change = reply->change;
    asked->first_round = reply->first_round;
    asked->answered = true;
}

static void on_close(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    struct asked *asked = user;
    assert_ok(why);
    assert_true(asked->answered);
    loop_stop(asked->loop);
}

struct admin {
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_channel *channel;
};

/* Sets "key=value key=value"; returns the first round in which it counts. */
static uint64_t set(const struct admin *admin, const char *settings)
{
    static const struct rpc_method update = {"/rlhfd.admin.v1.LearnerAdmin/UpdateSettings",
                                             &rlhfd__admin__v1__update_settings_request__descriptor,
                                             &rlhfd__admin__v1__update_settings_reply__descriptor,
                                             RPC_UNARY};
    SCOPED_MEM char *copy = mem_string(settings);
    Rlhfd__Admin__V1__Assignment assignment[8], *at[8];
    Rlhfd__Admin__V1__UpdateSettingsRequest request =
        RLHFD__ADMIN__V1__UPDATE_SETTINGS_REQUEST__INIT;
    request.settings = at;
    request.author = (char *)"test";
    for (char *rest = copy, *word; (word = strsep(&rest, " "));) {
        Rlhfd__Admin__V1__Assignment *a = &assignment[request.n_settings];
        rlhfd__admin__v1__assignment__init(a);
        a->key = strsep(&word, "=");
        a->value = word;
        at[request.n_settings++] = a;
    }
    struct asked asked = {.loop = admin->loop};
    rpc_call_unary(admin->channel, &update, &request.base,
                   &(struct rpc_call_options){.deadline_ms = CALL_MS},
                   &(struct rpc_handlers){.message = on_reply, .close = on_close}, &asked);
    assert_ok(loop_run(admin->loop));
    return asked.first_round;
}

static void admin_init(struct admin *admin, const struct ring *ring)
{
    SCOPED_MEM char *path = file_join(ring->run, "learner.json");
    SCOPED_JSON json_t *announced = NULL;
    const char *address;
    assert_ok(json_read_file(path, 1 << 16, &announced));
    assert_ok(json_get_text(announced, path, "admin", &address));
    assert_ok(loop_new(&admin->loop));
    assert_ok(rpc_new(admin->loop, &admin->rpc));
    assert_ok(rpc_channel_new(admin->rpc, &(struct rpc_channel_options){.target = address},
                              &admin->channel));
}

static void admin_done(struct admin *admin)
{
    rpc_channel_free(admin->channel);
    rpc_free(admin->rpc);
    loop_free(admin->loop);
}

/* ---- what was recorded */

static struct recipe *settings_of(const struct round *round)
{
    struct recipe *recipe;
    struct recipe_source source = {0};
    assert_ok(
        recipe_parse(round->settings, strlen(round->settings), "record", ".", &source, &recipe));
    return recipe;
}

/* One limit that was set, and the rounds from first on are formed under it. */
struct phase {
    const char *settings;
    int64_t max; // RECIPE_COUNT_AUTO: auto
    uint64_t first;
};

/* limit: of the round before, to which auto may hold on while older leases drain. */
static uint64_t check_round(const struct round *round, const struct phase *turn, uint64_t before)
{
    SCOPED(recipe) recipe = settings_of(round);
    uint64_t target = (uint64_t)recipe_lag_target(recipe), largest = 0;
    assert_int_equal(recipe->lag.max, turn->max);
    if (turn->max != RECIPE_COUNT_AUTO)
        assert_int_equal(round->limit, turn->max);
    else
        assert_true(round->limit == target || (round->limit > target && round->limit <= before));
    for (size_t i = 0; i < round->groups; i++) {
        uint64_t lag = round->round - round->group[i].age;
        largest = lag > largest ? lag : largest;
        assert_true(lag <= round->limit);
    }
    if (round->round == turn->first)
        print_message("round %d, the first after %s: limit %d, largest lag %d\n", (int)round->round,
                      turn->settings, (int)round->limit, (int)largest);
    return round->limit;
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

/* lag.auto_at of every round is what the last change before it made it; returns how often the
 * controller was who changed it. */
static int check_moves(struct store *store)
{
    struct change_page page = {0};
    int moves = 0;
    assert_ok(store_changes(store, 0, false, CHANGE_PAGE_MAX, &page));
    for (uint64_t r = 0, c = 0, at = UINT64_MAX; r < store_next_round(store); r++) {
        SCOPED(round) round = NULL;
        for (; c < page.count && page.at[c].first_round <= r; c++)
            for (size_t v = 0; v < page.at[c].values; v++) {
                const struct change_value *value = &page.at[c].value[v];
                if (strcmp(value->key, "lag.auto_at") != 0)
                    continue;
                at = number(value->after);
                if (strcmp(page.at[c].kind, "auto") != 0)
                    continue;
                print_message("round %d: %s -> %s, %s\n", (int)page.at[c].first_round,
                              value->before, value->after, page.at[c].reason);
                moves++;
            }
        assert_ok(store_round(store, r, &round));
        SCOPED(recipe) recipe = settings_of(round);
        if (at != UINT64_MAX)
            assert_int_equal(recipe->lag.auto_at, at);
    }
    change_page_done(&page);
    return moves;
}

static void check_records(const struct ring *ring, const struct phase *turns, size_t count)
{
    SCOPED_MEM char *path = file_join(ring->run, "store");
    SCOPED(store) store = NULL;
    uint64_t limit = UINT64_MAX;
    assert_ok(store_read(path, &store));
    for (uint64_t r = 0, t = 0; r < store_next_round(store); r++) {
        SCOPED(round) round = NULL;
        assert_ok(store_round(store, r, &round));
        while (t + 1 < count && turns[t + 1].first <= r)
            t++;
        limit = check_round(round, &turns[t], limit);
    }
    assert_true(check_moves(store) > 0);
}

/* ---- the run */

static void wait_rounds(struct daemons *ring, uint64_t rounds)
{
    for (int64_t until = clock_ms() + RUN_MS;
         daemons_metric(ring, LEARNER, "rlhfd_round") < (double)rounds; clock_sleep_ms(20)) {
        for (int kind = LEARNER; kind < DAEMON_KINDS; kind++)
            daemons_assert_running(ring, (enum daemon_kind)kind);
        if (clock_ms() > until)
            fail_msg("round %d was not reached", (int)rounds);
    }
}

static void wait_moves(struct daemons *ring, double moves)
{
    wait_rounds(ring, 1); // before it the learner has no such metric
    for (int64_t until = clock_ms() + RUN_MS;
         daemons_metric(ring, LEARNER, "rlhfd_lag_moves_total") < moves; clock_sleep_ms(20))
        if (clock_ms() > until)
            fail_msg("auto has moved nothing");
}

static void ten_changes_hold_from_the_next_round_on(void **)
{
    static struct phase turns[] = {
        {"lag.max=1", 1, 0},
        {"lag.max=4", 4, 0},
        {"lag.max=0", 0, 0},
        {"lag.max=8", 8, 0},
        {"lag.max=2", 2, 0},
        {"lag.max=auto lag.auto_at=7 lag.auto_rounds=2 lag.auto_ess=[1,1]", RECIPE_COUNT_AUTO, 0},
        {"lag.max=3", 3, 0},
        {"lag.max=0 lag.straggler=drop", 0, 0},
        {"lag.max=6", 6, 0},
        {"lag.max=auto lag.auto_at=0", RECIPE_COUNT_AUTO, 0},
        {"lag.max=1", 1, 0},
    };
    size_t count = sizeof turns / sizeof *turns;
    struct ring ring = ring_prepare(
        &(struct ring_options){.rounds = 1000000, .groups = GROUPS, .lag = 1, .slow_permille = 10});
    struct daemons daemons = daemons_start(&ring, "");
    struct admin admin;
    admin_init(&admin, &ring);
    wait_rounds(&daemons, BETWEEN);
    for (size_t t = 1; t < count; t++) {
        turns[t].first = set(&admin, turns[t].settings);
        if (turns[t].max == RECIPE_COUNT_AUTO && turns[t - 1].max == 2)
            wait_moves(&daemons, 2);
        wait_rounds(&daemons, turns[t].first + BETWEEN);
    }
    char last[64];
    snprintf(last, sizeof last, "run.rounds=%d", (int)turns[count - 1].first + 40);
    set(&admin, last);
    admin_done(&admin);
    assert_int_equal(daemons_wait_learner(&daemons, RUN_MS), 0);
    check_records(&ring, turns, count);
    ring_audit(&ring);
}

/* The controller has to move here, whatever the machine does: with auto_ess at 1 it goes down while
 * groups are of older weights. Where auto stands outlives the learner, and rounds trained again
 * keep the limits that they were recorded with: else their digests would not come out. */
static void a_killed_learner_goes_on_where_auto_stood(void **)
{
    static const struct phase turns[] = {{"lag.max=auto", RECIPE_COUNT_AUTO, 0}};
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = GROUPS, .lag = 1});
    struct daemons daemons = daemons_start(
        &ring,
        "lag.max=auto lag.auto_at=7 lag.auto_rounds=2 lag.auto_ess=[1,1] checkpoint.every=1000");
    struct admin admin;
    char last[64];
    wait_moves(&daemons, 1);
    daemons_kill(&daemons, LEARNER);
    daemons_start_one(&daemons, LEARNER, "");
    daemons_announced(&daemons, LEARNER);
    wait_moves(&daemons, 1); // of the new process
    admin_init(&admin, &ring);
    snprintf(last, sizeof last, "run.rounds=%d",
             (int)daemons_metric(&daemons, LEARNER, "rlhfd_round") + 20);
    set(&admin, last);
    admin_done(&admin);
    assert_int_equal(daemons_wait_learner(&daemons, RUN_MS), 0);
    check_records(&ring, turns, 1);
    ring_audit(&ring);
}

TESTS(cmocka_unit_test(a_killed_learner_goes_on_where_auto_stood),
      cmocka_unit_test(ten_changes_hold_from_the_next_round_on))
