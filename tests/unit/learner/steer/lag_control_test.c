/* The controller in simulated rings: a generator of so many slots, a learner, the real pacing
 * between them. It has to find a limit at which the learner does about what it can at any, no
 * higher than that takes, and stay there. */
#include "base/rng.h"
#include "learner/steer/lag_control.h"
#include "learner/store/lag.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { LIVE_MAX = 4096, ROUNDS = 1200, GROUPS = 32 };

struct ring {
    uint64_t slots;                     // groups decoded at once
    double group_s, long_s;             // decoding one; of those that are stragglers
    uint64_t long_permille;             // of the groups are
    double train_s;                     // a round
    double publish_s;                   // until generators have a version
    double stall_s;                     // now and then generators stand still for so long,
    uint64_t stall_every;               // once in so many rounds; 0: never
    uint64_t stalls_from, stalls_below; // of these rounds alone; 0: of all
    double drift;                       // ess = exp(-drift * lag^2), kl = drift * lag^2 / 2
    /* Cores that are shared: training takes up to so much longer or shorter, and generators stand
     * still for up to as long as training takes twice, after so many rounds of a thousand: one
     * number in quiet stretches, one in busy ones. */
    double spread;
    uint64_t stalls_permille[2], stretch; // rounds of a stretch
    uint64_t seed;
};

struct group {
    uint64_t start; // round of the weights it was leased with
    double left_s;  // of decoding
    bool decoding, stored;
};

struct sim {
    struct ring ring;
    struct rng rng;
    uint64_t draws;
    struct lag_rules rules;
    double now_s, trained_s, version_s; // training ends; the newest version arrives
    double train_s;                     // of the round being trained
    struct group group[LIVE_MAX];
    size_t live;
    uint64_t next, held, spare;
    bool training;
    struct lag_seen seen;
    double waits_since_s, stalled_until_s, lag_mean, live_after;
    bool straggler;
};

static void lease(struct sim *sim)
{
    size_t decoding = 0, waiting = 0;
    for (size_t i = 0; i < sim->live; i++) {
        decoding += sim->group[i].decoding;
        waiting += !sim->group[i].decoding && !sim->group[i].stored;
    }
    uint64_t most = sim->ring.slots + sim->ring.slots / 2, want = most - decoding - waiting;
    uint64_t room = lag_may_lease(&sim->rules, sim->next, sim->held, sim->live);
    for (uint64_t i = 0; i < want && i < room && sim->live < LIVE_MAX; i++, waiting++) {
        bool slow = rng_below(&sim->rng, sim->draws++, 1000) < sim->ring.long_permille;
        sim->group[sim->live++] =
            (struct group){sim->held, slow ? sim->ring.long_s : sim->ring.group_s, false, false};
    }
    if (want && (room > want ? room - want : 0) < sim->spare)
        sim->spare = room > want ? room - want : 0;
    for (size_t i = 0; i < sim->live && decoding < sim->ring.slots; i++)
        if (!sim->group[i].decoding && !sim->group[i].stored) {
            sim->group[i].decoding = true;
            decoding++;
        }
}

/* Of this age or older, by whether they are stored. */
static void count_ages(const struct sim *sim, struct lag_age *ages, size_t *ret_n)
{
    *ret_n = 0;
    for (uint64_t age = sim->next > 64 ? sim->next - 64 : 0; age <= sim->next; age++) {
        struct lag_age at = {.round = age};
        for (size_t i = 0; i < sim->live; i++)
            if (sim->group[i].start == age)
                *(sim->group[i].stored ? &at.stored : &at.leased) += 1;
        if (at.leased + at.stored)
            ages[(*ret_n)++] = at;
    }
}

static double uniform(struct sim *sim)
{
    return (double)rng_below(&sim->rng, sim->draws++, 1 << 20) / (1 << 20);
}

static uint64_t stalls_permille(const struct sim *sim)
{
    return sim->ring.stalls_permille[sim->next / sim->ring.stretch % 2];
}

static bool is_loaded(const struct sim *sim)
{
    return sim->next >= sim->ring.stalls_from &&
           (!sim->ring.stalls_below || sim->next < sim->ring.stalls_below);
}

/* Takes the oldest stored groups out. */
static void take(struct sim *sim)
{
    sim->lag_mean = 0;
    for (int taken = 0; taken < GROUPS; taken++) {
        size_t oldest = sim->live;
        for (size_t i = 0; i < sim->live; i++)
            if (sim->group[i].stored &&
                (oldest == sim->live || sim->group[i].start < sim->group[oldest].start))
                oldest = i;
        assert_true(oldest < sim->live);
        uint64_t lag = lag_of(sim->next, sim->group[oldest].start);
        assert_true(lag <= sim->rules.limit);
        sim->lag_mean += (double)lag / GROUPS;
        memmove(&sim->group[oldest], &sim->group[oldest + 1],
                (--sim->live - oldest) * sizeof *sim->group);
    }
}

static void form(struct sim *sim)
{
    struct lag_age ages[66];
    size_t n;
    uint64_t age, excess;
    count_ages(sim, ages, &n);
    sim->rules.limit = sim->rules.eta; // the least that what is leased can keep, as the store does
    while (lag_excess(&sim->rules, sim->next, ages, n, &age, &excess))
        sim->rules.limit++;
    struct lag_form form = lag_may_form(&sim->rules, sim->next, ages, n);
    if (form.kind != LAG_FORM) {
        sim->straggler = form.kind == LAG_STRAGGLER;
        return;
    }
    take(sim);
    sim->next++;
    sim->training = true;
    sim->seen.learner_idle_s = sim->now_s - sim->waits_since_s;
    sim->seen.straggler = sim->straggler;
    sim->seen.ess = exp(-sim->ring.drift * sim->lag_mean * sim->lag_mean);
    sim->seen.kl = sim->ring.drift * sim->lag_mean * sim->lag_mean / 2;
    sim->seen.queue = 0;
    for (size_t i = 0; i < sim->live; i++)
        sim->seen.queue += sim->group[i].stored;
    sim->live_after += (double)sim->live;
    sim->seen.spare = sim->spare;
    sim->spare = UINT64_MAX;
    sim->train_s = sim->ring.train_s * (1 + sim->ring.spread * (2 * uniform(sim) - 1));
    sim->trained_s = sim->now_s + sim->train_s;
    if (sim->ring.stall_every && sim->next % sim->ring.stall_every == 0 && is_loaded(sim))
        sim->stalled_until_s = sim->now_s + sim->ring.stall_s;
    if (sim->ring.stretch && uniform(sim) * 1000 < (double)stalls_permille(sim))
        sim->stalled_until_s = sim->now_s + 2 * sim->ring.train_s * uniform(sim);
}

/* Goes on by a little; true when a round has been trained, which *ret is like then. */
static bool tick(struct sim *sim, struct lag_seen *ret)
{
    const double dt = 0.02;
    bool busy = false, stalled = sim->now_s < sim->stalled_until_s;
    if (sim->now_s >= sim->version_s)
        sim->held = sim->next - sim->training;
    lease(sim);
    for (size_t i = 0; i < sim->live; i++) {
        struct group *group = &sim->group[i];
        busy = busy || group->decoding;
        if (!group->decoding || stalled)
            continue;
        group->left_s -= dt;
        if (group->left_s <= 0) {
            group->decoding = false;
            group->stored = true;
        }
    }
    *(busy ? &sim->seen.generator_busy_s : &sim->seen.generator_idle_s) += dt;
    sim->now_s += dt;
    if (!sim->training) {
        form(sim);
        return false;
    }
    if (sim->now_s < sim->trained_s)
        return false;
    sim->training = false;
    sim->version_s = sim->now_s + sim->ring.publish_s;
    sim->waits_since_s = sim->now_s;
    sim->seen.learner_busy_s = sim->train_s;
    *ret = sim->seen;
    sim->seen = (struct lag_seen){0};
    return true;
}

static const struct lag_control_config config = {.min = 0,
                                                 .max = 8,
                                                 .idle_low = 0.03,
                                                 .idle_high = 0.1,
                                                 .ess_low = 0.5,
                                                 .ess_high = 0.7,
                                                 .kl_low = 0.02 * 1e9,
                                                 .kl_high = 0.05 * 1e9,
                                                 .rounds = 8,
                                                 .groups = GROUPS};

struct outcome {
    double works;         // share of the time that the learner trains, over the second half
    uint64_t last;        // limit at the end
    uint64_t low, high;   // least and greatest limit in the second half
    int moves, late;      // in all; in the second half
    double lag, expected; // mean; by the groups left after each round
    uint64_t path[ROUNDS];
};

/* steered: by the controller from eta on; else eta stays. */
static struct outcome run(const struct ring *ring, uint64_t eta, bool steered)
{
    static struct sim sim;
    struct lag_control control = {0};
    struct lag_seen seen;
    struct outcome o = {.low = UINT64_MAX};
    double idle = 0, busy = 0;
    sim = (struct sim){.ring = *ring,
                       .rng = rng_keyed(11 + ring->seed, RNG_TEST, 0, 0),
                       .rules = {eta, eta, GROUPS},
                       .spare = UINT64_MAX};
    for (int round = 0; round < ROUNDS;) {
        if (!tick(&sim, &seen))
            continue;
        o.path[round++] = eta;
        o.lag += sim.lag_mean / ROUNDS;
        if (round > ROUNDS / 2) {
            idle += seen.learner_idle_s;
            busy += seen.learner_busy_s;
            o.low = eta < o.low ? eta : o.low;
            o.high = eta > o.high ? eta : o.high;
        }
        struct lag_move move = lag_control_step(&control, &config, eta, &seen);
        if (!steered || move.eta == eta)
            continue;
        assert_true(move.eta + 1 == eta || move.eta == eta + 1);
        o.moves++;
        o.late += round > ROUNDS / 2;
        eta = move.eta;
        sim.rules.eta = eta;
    }
    o.works = busy / (idle + busy);
    o.expected = sim.live_after / GROUPS / ROUNDS;
    o.last = eta;
    return o;
}

/* What it comes to against the fixed limits; it must end within [low, high], whichever it starts
 * from. */
static void converges(const char *name, const struct ring *ring, uint64_t low, uint64_t high)
{
    static const uint64_t from[] = {0, 1, 4, 8};
    double best = 0, works[9];
    for (uint64_t eta = 0; eta <= 8; eta++) {
        works[eta] = run(ring, eta, false).works;
        best = fmax(best, works[eta]);
    }
    for (size_t i = 0; i < 4; i++) {
        struct outcome o = run(ring, from[i], true);
        print_message(
            "%s from %d: ends at %d (%d to %d), works %.3f of %.3f (0: %.3f 1: %.3f 2: %.3f), %d moves, %d "
            "late\n",
            name, (int)from[i], (int)o.last, (int)o.low, (int)o.high, o.works, best, works[0],
            works[1], works[2], o.moves, o.late);
        assert_in_range(o.last, low, high);
        assert_true(o.works > 0.94 * best);
        assert_true(o.high - o.low <= 1); // it knows by then
        assert_true(o.late <= 8);         // tries to go on, ever more seldom
    }
}

static void a_slow_generator_is_not_helped_by_lag(void **)
{
    struct ring ring = {.slots = 16, .group_s = 1.5, .train_s = 1, .publish_s = 0.05};
    converges("generator slow", &ring, 1, 2);
}

static void a_slow_learner_needs_no_queue(void **)
{
    struct ring ring = {.slots = 64, .group_s = 0.5, .train_s = 1.5, .publish_s = 0.05};
    converges("learner slow", &ring, 1, 1);
}

static void a_balanced_ring_overlaps(void **)
{
    struct ring ring = {.slots = 32, .group_s = 0.9, .train_s = 1, .publish_s = 0.05};
    converges("balanced", &ring, 1, 2);
}

static void bursts_are_bridged(void **)
{
    struct ring ring = {.slots = 32,
                        .group_s = 0.5,
                        .train_s = 1,
                        .publish_s = 0.05,
                        .stall_s = 2.5,
                        .stall_every = 7};
    converges("bursty", &ring, 1, 4);
}

/* ess is 0.73 at a lag of 1.4 and 0.37 at 2.5: a limit of 3 is too much, and one of 2 leaves no
 * room to try it again. */
static void learning_comes_before_speed(void **)
{
    struct ring ring = {.slots = 32,
                        .group_s = 0.5,
                        .train_s = 1,
                        .publish_s = 0.05,
                        .stall_s = 2.5,
                        .stall_every = 7,
                        .drift = 0.16};
    for (uint64_t from = 0; from <= 8; from += 4) {
        struct outcome o = run(&ring, from, true);
        print_message(
            "drift from %d: ends at %d (%d to %d), lag %.2f, works %.3f, %d moves, %d late\n",
            (int)from, (int)o.last, (int)o.low, (int)o.high, o.lag, o.works, o.moves, o.late);
        assert_in_range(o.high, 1, 2);
        assert_true(o.late <= 4);
    }
}

/* Little's law: what is left behind at each round, over a round's groups, is the lag that they come
 * to. */
static void the_lag_is_what_was_left_behind(void **)
{
    struct ring ring = {.slots = 48, .group_s = 0.7, .train_s = 1, .publish_s = 0};
    for (uint64_t eta = 0; eta <= 4; eta++) {
        struct outcome o = run(&ring, eta, false);
        assert_true(fabs(o.lag - o.expected) < 0.01 * (1 + o.lag));
    }
}

/* The demo's ring on two cores that others load. Single rounds wait for half of their time, quiet
 * rounds follow, and a limit of 1 costs a few percent. The least of these limits that is no slower
 * by more than the bound differs with the seed. */
static void noise_does_not_make_it_hunt(void **)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct ring ring = {.slots = 32,
                            .group_s = 0.4,
                            .train_s = 1,
                            .publish_s = 0.05,
                            .spread = 0.4,
                            .stalls_permille = {60, 250},
                            .stretch = 48,
                            .seed = seed};
        struct outcome o = run(&ring, 1, true);
        const double best = run(&ring, 8, false).works;
        print_message("noise, seed %d: %d to %d, lag %.2f, works %.3f of %.3f, %d moves, %d late\n",
                      (int)seed, (int)o.low, (int)o.high, o.lag, o.works, best, o.moves, o.late);
        assert_true(o.works > 0.9 * best); // learner_idle at its bound
        assert_in_range(o.high, 1, 3);
        assert_true(o.moves <= 12); // without the standard error and the longer bars: 28 to 50
        assert_true(o.late <= 6);
    }
}

/* Rounds after `from` until the limit was at least, or at most, `eta`. */
static int rounds_until(const struct outcome *o, int from, bool least, uint64_t eta)
{
    int round = from;
    while (round < ROUNDS && (least ? o->path[round] < eta : o->path[round] > eta))
        round++;
    return round - from;
}

/* A load that comes at a third of the rounds and goes at two thirds: up within a few decisions,
 * down when a bar has passed. */
static void it_follows_the_load(void **)
{
    struct ring ring = {.slots = 32,
                        .group_s = 0.5,
                        .train_s = 1,
                        .publish_s = 0.05,
                        .spread = 0.2,
                        .stall_s = 2.5,
                        .stall_every = 3,
                        .stalls_from = ROUNDS / 3,
                        .stalls_below = 2 * ROUNDS / 3};
    struct outcome o = run(&ring, 1, true);
    int up = rounds_until(&o, ROUNDS / 3, true, 2), more = rounds_until(&o, ROUNDS / 3, true, 3);
    int down = rounds_until(&o, 2 * ROUNDS / 3, false, 1);
    print_message("load: 2 after %d rounds, 3 after %d; 1 again after %d, %d moves\n", up, more,
                  down, o.moves);
    assert_int_equal(o.path[ROUNDS / 3 - 1], 1);
    assert_in_range(up, 1, 32);
    assert_in_range(more, 1, 64);
    assert_in_range(down, 1, 256);
    assert_int_equal(o.last, 1);
}

static void the_same_rounds_make_the_same_path(void **)
{
    struct ring ring = {
        .slots = 32, .group_s = 0.5, .train_s = 1, .stall_s = 2.5, .stall_every = 7};
    struct outcome a = run(&ring, 8, true), b = run(&ring, 8, true);
    assert_memory_equal(a.path, b.path, sizeof a.path);
    assert_int_not_equal(a.path[ROUNDS - 1], 8);
}

static void it_stays_within_its_range_and_begins_anew_with_others_moves(void **)
{
    struct lag_control_config narrow = config;
    struct lag_seen starving = {.learner_idle_s = 1,
                                .learner_busy_s = 1,
                                .generator_idle_s = 1,
                                .generator_busy_s = 1,
                                .ess = 1};
    struct lag_seen plenty = {
        .learner_busy_s = 1, .generator_idle_s = 1, .queue = 4 * GROUPS, .ess = NAN, .kl = NAN};
    struct lag_control control = {0};
    narrow.min = 2;
    narrow.max = 3;
    narrow.rounds = 2;
    assert_int_equal(lag_control_step(&control, &narrow, 7, &starving).eta, 3);
    assert_int_equal(lag_control_step(&control, &narrow, 0, &starving).eta, 2);
    for (int i = 0; i < 2; i++) // eta + 1 rounds in all are not looked at
        assert_int_equal(lag_control_step(&control, &narrow, 2, &starving).eta, 2);
    assert_int_equal(lag_control_step(&control, &narrow, 2, &starving).eta, 2);
    struct lag_move move = lag_control_step(&control, &narrow, 2, &starving);
    assert_int_equal(move.eta, 3);
    assert_int_equal(move.why, LAG_STARVES);
    for (int i = 0; i < 4 + 8 * 2;
         i++) // as many again; then a rise bars the way down for 8 decisions
        assert_int_equal(lag_control_step(&control, &narrow, 3, &plenty).eta, 3);
    assert_int_equal(lag_control_step(&control, &narrow, 3, &plenty).eta, 3);
    assert_int_equal(lag_control_step(&control, &narrow, 3, &plenty).eta, 2);
}

static void stragglers_are_given_time(void **)
{
    struct ring ring = {.slots = 64,
                        .group_s = 0.3,
                        .long_s = 4,
                        .long_permille = 15,
                        .train_s = 1,
                        .publish_s = 0.05};
    converges("stragglers", &ring, 3, 6);
}

TESTS(cmocka_unit_test(noise_does_not_make_it_hunt), cmocka_unit_test(it_follows_the_load),
      cmocka_unit_test(it_stays_within_its_range_and_begins_anew_with_others_moves),
      cmocka_unit_test(the_lag_is_what_was_left_behind),
      cmocka_unit_test(the_same_rounds_make_the_same_path),
      cmocka_unit_test(learning_comes_before_speed),
      cmocka_unit_test(a_slow_generator_is_not_helped_by_lag),
      cmocka_unit_test(a_slow_learner_needs_no_queue), cmocka_unit_test(a_balanced_ring_overlaps),
      cmocka_unit_test(bursts_are_bridged), cmocka_unit_test(stragglers_are_given_time))
