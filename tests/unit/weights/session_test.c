/* The rules of sessions by themselves: a simulated learner lane and simulated generators on a
 * virtual clock, so that deadlines are exact; and random events against what must hold whatever
 * happens. */
#include "base/rng.h"
#include "testing/testing.h"
#include "weights/broadcast/session.h"
#include <stdlib.h>
#include <string.h>

enum { PEERS = 4, EVENTS = 4096, STEP_MS = 1, LANE_MS = 3 };
static const struct session_limits LIMITS = {50, 200, 1000, 500, 100, 300};

/* Where a simulated generator fails, and how: its stream breaks, or it is stopped and says nothing
 * any more. */
enum fault { NONE, DIES, STOPS, FAILS_HERE };
enum stage { BEFORE_READY, AFTER_READY, IN_INIT, AT_REST, IN_BROADCAST, NEVER };

struct generator {
    enum stage stage;
    enum fault fault;
    bool is_gone, is_stuck;
};

struct sim {
    struct session_rules *rules;
    int64_t now;
    struct generator generator[PEERS + 1]; // by peer number
    struct {
        int64_t at;
        struct session_event event;
    } queue[EVENTS];
    int queued;
    int mints, begins, inits, aborts, releases, invites;
    int joined; // of the session under way: all that can
    uint64_t have[PEERS + 1];
    int64_t published_at, worst_ms;
    int delayed; // publications that took longer than a healthy one
    bool lane_hangs;
    enum session_state last_state;
    int64_t since;
};

static void later(struct sim *sim, int64_t ms, struct session_event event)
{
    assert_true(sim->queued < EVENTS);
    sim->queue[sim->queued].at = sim->now + ms;
    sim->queue[sim->queued++].event = event;
}

static void fault(struct sim *sim, uint64_t peer, enum stage stage)
{
    struct generator *generator = &sim->generator[peer];
    if (generator->stage != stage || generator->fault == NONE || generator->is_stuck)
        return;
    if (generator->fault != FAILS_HERE)
        generator->is_gone = true;
    generator->is_stuck = true; // its collectives stop too
    if (generator->fault == DIES)
        later(sim, 5, (struct session_event){SESSION_LEAVE, .peer = peer});
    if (generator->fault == FAILS_HERE)
        later(sim, 5,
              (struct session_event){SESSION_FAILED, .peer = peer,
                                     .session = session_rules_session(sim->rules), .mine = true});
}

static bool anyone_stuck(const struct sim *sim)
{
    for (int i = 1; i <= PEERS; i++)
        if (sim->generator[i].is_stuck && session_rules_members(sim->rules) > 0)
            return true;
    return false;
}

/* A collective: all of it comes through, or nobody's part does. */
static void collective(struct sim *sim, enum session_event_kind ours,
                       enum session_event_kind theirs, const bool *takes_part)
{
    if (sim->lane_hangs)
        return;
    for (int i = 1; i <= PEERS; i++)
        if (takes_part[i] && sim->generator[i].is_stuck)
            return;
    later(sim, LANE_MS, (struct session_event){ours});
    for (uint64_t i = 1; i <= PEERS; i++)
        if (takes_part[i])
            later(sim, LANE_MS + (int64_t)i,
                  (struct session_event){theirs, .peer = i,
                                         .session = session_rules_session(sim->rules)});
}

static bool member_of[PEERS + 1];

static void carry_out(struct sim *sim, const struct session_action *action)
{
    const uint64_t peer = action->peer, session = session_rules_session(sim->rules);
    const struct generator *generator = &sim->generator[peer];
    switch (action->kind) {
    case SESSION_DO_INVITE:
        sim->invites++;
        memset(member_of, 0, sizeof member_of);
        fault(sim, peer, BEFORE_READY);
        if (!generator->is_gone) {
            later(sim, 2, (struct session_event){SESSION_READY, .peer = peer, .session = session});
            fault(sim, peer, AFTER_READY);
        }
        break;
    case SESSION_DO_MINT:
        sim->mints++;
        later(sim, 1, (struct session_event){SESSION_MINTED});
        break;
    case SESSION_DO_BEGIN:
        sim->begins++;
        member_of[peer] = true;
        fault(sim, peer, IN_INIT);
        break;
    case SESSION_DO_INIT:
        sim->inits++;
        collective(sim, SESSION_UP, SESSION_JOINED, member_of);
        break;
    case SESSION_DO_ANNOUNCE:
        fault(sim, peer, IN_BROADCAST);
        break;
    case SESSION_DO_CARRY:
        collective(sim, SESSION_SENT, SESSION_RECEIVED, member_of);
        break;
    case SESSION_DO_ABANDON:
        if (!generator->is_gone)
            later(sim, 2,
                  (struct session_event){SESSION_ABANDONED, .peer = peer, .session = session,
                                         .bytes = 10 * peer});
        break;
    case SESSION_DO_ABORT:
        sim->aborts++;
        if (!sim->lane_hangs)
            later(sim, 1, (struct session_event){SESSION_ABORTED});
        break;
    case SESSION_DO_RELEASE:
        sim->releases++;
        sim->have[peer] = action->bytes;
        break;
    }
}

static bool is_carried(const struct sim *sim)
{
    for (uint64_t i = 1; i <= PEERS; i++)
        if (!sim->generator[i].is_gone && session_rules_carries(sim->rules, i))
            return true;
    return false;
}

/* No state lasts longer than its limit. */
static void check_time(struct sim *sim)
{
    static const int64_t most[] = {
        [SESSION_IDLE] = INT64_MAX,  [SESSION_GATHERING] = 200,      [SESSION_MINTING] = 1000,
        [SESSION_CONNECTING] = 1000, [SESSION_STANDING] = INT64_MAX, [SESSION_CARRYING] = 500,
        [SESSION_ENDING] = 100,      [SESSION_BROKEN] = INT64_MAX,
    };
    const enum session_state state = session_rules_state(sim->rules);
    if (state != sim->last_state)
        sim->since = sim->now;
    sim->last_state = state;
    assert_true(sim->now - sim->since <= most[state]);
}

static void step(struct sim *sim, struct session_event event)
{
    struct session_action action;
    session_rules_step(sim->rules, sim->now, &event);
    while (session_rules_next(sim->rules, &action))
        carry_out(sim, &action);
    if (sim->published_at && !is_carried(sim)) {
        const int64_t took = sim->now - sim->published_at;
        sim->worst_ms = took > sim->worst_ms ? took : sim->worst_ms;
        sim->delayed += took > 50;
        sim->published_at = 0;
    }
    check_time(sim);
}

static void run(struct sim *sim, int64_t ms)
{
    for (const int64_t until = sim->now + ms; sim->now < until; sim->now += STEP_MS) {
        for (int i = 0; i < sim->queued; i++)
            if (sim->queue[i].at <= sim->now) {
                const struct session_event event = sim->queue[i].event;
                sim->queued--;
                memmove(&sim->queue[i], &sim->queue[i + 1],
                        (size_t)(sim->queued - i) * sizeof sim->queue[0]);
                i--;
                step(sim, event);
            }
        if (sim->now >= session_rules_wake(sim->rules))
            step(sim, (struct session_event){SESSION_TICK});
        check_time(sim);
    }
}

static void start(struct sim *sim, int peers)
{
    *sim = (struct sim){.rules = session_rules_new(&LIMITS), .now = 1000};
    for (uint64_t i = 1; i <= (uint64_t)peers; i++) {
        sim->generator[i].stage = NEVER;
        step(sim, (struct session_event){SESSION_JOIN, .peer = i});
    }
}

static void publish(struct sim *sim)
{
    if (sim->published_at)
        return; // the last one is still under way
    sim->published_at = sim->now;
    step(sim, (struct session_event){SESSION_PUBLISH, .bytes = 1000});
}

static void a_session_stands_and_carries(void **state)
{
    struct sim sim;
    (void)state;
    start(&sim, 3);
    run(&sim, 49);
    assert_int_equal(sim.invites, 0); // others may come
    run(&sim, 51);
    assert_int_equal(sim.invites, 3);
    assert_int_equal(sim.mints, 1);
    assert_int_equal(sim.begins, 3);
    assert_int_equal(session_rules_state(sim.rules), SESSION_STANDING);
    for (int i = 0; i < 20; i++) {
        publish(&sim);
        assert_true(session_rules_carries(sim.rules, 2));
        run(&sim, 100);
        assert_int_equal(session_rules_state(sim.rules), SESSION_STANDING);
    }
    assert_int_equal(sim.releases, 60);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(sim.have[i], 1000);
    assert_int_equal(sim.aborts, 0);
    assert_int_equal(sim.mints, 1); // built once, used for all
    session_rules_free(sim.rules);
}

static void the_id_is_minted_when_all_have_answered(void **state)
{
    struct sim sim;
    (void)state;
    start(&sim, 3);
    sim.generator[2] = (struct generator){BEFORE_READY, STOPS, false, false};
    run(&sim, 60);
    assert_int_equal(sim.invites, 3);
    run(&sim, 150);
    assert_int_equal(sim.mints, 0); // two of three are there
    run(&sim, 100);
    assert_int_equal(sim.mints, 1);
    assert_int_equal(sim.begins, 2);
    assert_int_equal(session_rules_members(sim.rules), 2);
    session_rules_free(sim.rules);
}

/* The whole table of faults: the others go on in a session, and publications were held up once at
 * most, in time. */
static void one_fault_delays_once_and_by_one_deadline(void **state)
{
    (void)state;
    for (enum stage stage = BEFORE_READY; stage < NEVER; stage++)
        for (enum fault kind = DIES; kind <= FAILS_HERE; kind++) {
            struct sim sim;
            start(&sim, 3);
            sim.generator[2].fault = kind;
            sim.generator[2].stage = stage;
            for (int i = 0; i < 80; i++) {
                if (i == 20)
                    fault(&sim, 2, AT_REST);
                publish(&sim);
                run(&sim, 100);
            }
            assert_in_range(sim.delayed, 0, 1);
            if (stage == IN_BROADCAST && kind == STOPS)
                assert_true(session_rules_carries(sim.rules, 2)); // it may still be written to
            assert_true(sim.worst_ms <= LIMITS.carry_ms + LIMITS.end_ms);
            if (stage == IN_BROADCAST && kind != DIES && kind != FAILS_HERE)
                assert_int_equal(sim.delayed, 1); // this test can see a delay
            run(&sim, 3000);
            publish(&sim);
            run(&sim, 100);
            const bool alone = kind == FAILS_HERE && sim.generator[2].is_stuck;
            /* Who fails here says READY again and again, with longer and longer pauses */
            if (!alone) {
                assert_int_equal(session_rules_state(sim.rules), SESSION_STANDING);
                assert_int_equal(session_rules_members(sim.rules), 2);
                assert_int_equal(sim.have[1], 1000);
                assert_int_equal(sim.have[3], 1000);
            }
            session_rules_free(sim.rules);
        }
}

static void what_a_member_has_is_kept_when_the_session_ends(void **state)
{
    struct sim sim;
    (void)state;
    start(&sim, 3);
    run(&sim, 200);
    sim.generator[3] = (struct generator){IN_BROADCAST, STOPS, false, false};
    publish(&sim);
    run(&sim, 499);
    assert_int_equal(sim.releases, 0);
    run(&sim, 10);
    assert_int_equal(sim.releases, 2); // those that answered, with what they said
    assert_int_equal(sim.have[1], 10);
    assert_int_equal(sim.have[2], 20);
    assert_true(session_rules_carries(sim.rules, 3));
    run(&sim, 1000);
    assert_int_equal(sim.releases, 2);
    assert_int_equal(session_rules_members(sim.rules), 2);
    step(&sim, (struct session_event){SESSION_ABANDONED, .peer = 3, .session = 1, .bytes = 30});
    assert_int_equal(sim.releases, 3); // it goes on, and nothing of what it has is sent again
    assert_int_equal(sim.have[3], 30);
    session_rules_free(sim.rules);
}

static void late_ones_enter_the_next_session(void **state)
{
    struct sim sim;
    (void)state;
    start(&sim, 2);
    run(&sim, 200);
    assert_int_equal(session_rules_session(sim.rules), 1);
    sim.generator[3].stage = NEVER;
    step(&sim, (struct session_event){SESSION_JOIN, .peer = 3});
    publish(&sim);
    assert_false(session_rules_carries(sim.rules, 3)); // this version comes to it over gRPC
    run(&sim, 200);
    assert_int_equal(session_rules_session(sim.rules), 2);
    assert_int_equal(session_rules_members(sim.rules), 3);
    assert_int_equal(sim.delayed, 0);
    publish(&sim);
    assert_true(session_rules_carries(sim.rules, 3));
    session_rules_free(sim.rules);
}

static void who_was_stopped_comes_back_after_a_pause(void **state)
{
    struct sim sim;
    (void)state;
    start(&sim, 3);
    run(&sim, 200);
    sim.generator[2] = (struct generator){AT_REST, STOPS, false, false};
    fault(&sim, 2, AT_REST);
    publish(&sim);
    run(&sim, 1500);
    assert_int_equal(session_rules_members(sim.rules), 2);
    const int invites = sim.invites;
    run(&sim, 5000);
    assert_int_equal(sim.invites, invites); // it is silent: nobody waits for it again
    sim.generator[2] = (struct generator){NEVER, NONE, false, false};
    step(&sim, (struct session_event){SESSION_ABANDONED, .peer = 2, .session = 1, .bytes = 5});
    run(&sim, 1000);
    assert_int_equal(session_rules_members(sim.rules), 3);
    assert_int_equal(sim.delayed, 1);
    session_rules_free(sim.rules);
}

static void an_abort_that_hangs_ends_it_for_good(void **state)
{
    struct sim sim;
    (void)state;
    start(&sim, 2);
    run(&sim, 200);
    sim.lane_hangs = true;
    publish(&sim);
    run(&sim, 2000);
    assert_int_equal(session_rules_state(sim.rules), SESSION_BROKEN);
    assert_int_equal(sim.releases, 2);
    assert_true(sim.worst_ms <= LIMITS.carry_ms + LIMITS.end_ms);
    publish(&sim);
    run(&sim, 100000);
    assert_int_equal(sim.delayed, 1);
    assert_int_equal(sim.invites, 2);
    assert_true(session_rules_wake(sim.rules) == INT64_MAX);
    session_rules_free(sim.rules);
}

/* The network for collectives is broken, and everyone answers. */
static void with_nobody_to_blame_attempts_become_rare(void **state)
{
    struct sim sim;
    (void)state;
    start(&sim, 3);
    for (int i = 1; i <= 3; i++)
        sim.generator[i].is_stuck = true; // in collectives alone
    assert_true(anyone_stuck(&sim) || session_rules_members(sim.rules) == 0);
    run(&sim, 10000);
    const int first = sim.inits;
    assert_in_range(first, 2, 8);
    run(&sim, 10000);
    assert_true(sim.inits - first < first);
    session_rules_free(sim.rules);
}

/* Three of four events are in season, the others are any. */
static enum session_event_kind season(const struct session_rules *rules, uint64_t dice)
{
    static const enum session_event_kind kinds[][2] = {
        [SESSION_IDLE] = {SESSION_JOIN, SESSION_TICK},
        [SESSION_GATHERING] = {SESSION_READY, SESSION_READY},
        [SESSION_MINTING] = {SESSION_MINTED, SESSION_TICK},
        [SESSION_CONNECTING] = {SESSION_UP, SESSION_JOINED},
        [SESSION_STANDING] = {SESSION_PUBLISH, SESSION_TICK},
        [SESSION_CARRYING] = {SESSION_RECEIVED, SESSION_SENT},
        [SESSION_ENDING] = {SESSION_ABANDONED, SESSION_ABORTED},
        [SESSION_BROKEN] = {SESSION_ABANDONED, SESSION_TICK},
    };
    if (dice % 8 < 6)
        return kinds[session_rules_state(rules)][dice % 2];
    return (enum session_event_kind)(dice / 8 % (SESSION_TICK + 1));
}

static void whatever_happens_each_version_is_released_once(void **state)
{
    (void)state;
    int released = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct session_rules *rules = session_rules_new(&LIMITS);
        const struct rng rng = rng_keyed(seed, RNG_TEST, 7, 0);
        bool carried[PEERS + 1] = {0}, answered[PEERS + 1] = {0}, aborting = false;
        int64_t now = 0;
        for (uint64_t i = 0; i < 2000; i++) {
            struct session_event event = {
                .kind = season(rules, rng_below(&rng, 4 * i, 8 * (SESSION_TICK + 1))),
                .peer = 1 + rng_below(&rng, 4 * i + 1, PEERS),
                .mine = i % 3 == 0,
                .bytes = 1 + i % 1500};
            struct session_action action;
            event.session = session_rules_session(rules) - (i % 7 == 0);
            now += (int64_t)rng_below(&rng, 4 * i + 2, i % 5 ? 4 : 50);
            if (event.kind == SESSION_ABORTED && !aborting)
                continue; // a lane aborts when told
            aborting = aborting && event.kind != SESSION_ABORTED;
            if (event.kind == SESSION_LEAVE)
                carried[event.peer] = false;
            if (event.kind == SESSION_READY)
                answered[event.peer] = true;
            session_rules_step(rules, now, &event);
            while (session_rules_next(rules, &action)) {
                if (action.kind == SESSION_DO_INVITE)
                    answered[action.peer] = false;
                if (action.kind == SESSION_DO_BEGIN)
                    assert_true(answered[action.peer]);
                if (action.kind == SESSION_DO_ABORT)
                    aborting = true;
                if (action.kind == SESSION_DO_ANNOUNCE) {
                    assert_false(carried[action.peer]);
                    carried[action.peer] = true;
                }
                if (action.kind == SESSION_DO_RELEASE) {
                    assert_true(carried[action.peer]);
                    assert_true(action.bytes <= 1500);
                    released++;
                    carried[action.peer] = false;
                }
            }
            for (uint64_t peer = 1; peer <= PEERS; peer++)
                assert_int_equal(session_rules_carries(rules, peer), carried[peer]);
            const enum session_state at = session_rules_state(rules);
            if (at != SESSION_IDLE && at != SESSION_STANDING && at != SESSION_BROKEN)
                assert_true(session_rules_wake(rules) > now);
        }
        session_rules_free(rules);
    }
    assert_true(released > 1000); // the events do reach the states that matter
}

TESTS(cmocka_unit_test(a_session_stands_and_carries),
      cmocka_unit_test(the_id_is_minted_when_all_have_answered),
      cmocka_unit_test(one_fault_delays_once_and_by_one_deadline),
      cmocka_unit_test(what_a_member_has_is_kept_when_the_session_ends),
      cmocka_unit_test(late_ones_enter_the_next_session),
      cmocka_unit_test(who_was_stopped_comes_back_after_a_pause),
      cmocka_unit_test(an_abort_that_hangs_ends_it_for_good),
      cmocka_unit_test(with_nobody_to_blame_attempts_become_rare),
      cmocka_unit_test(whatever_happens_each_version_is_released_once))
