/* Which groups make a round under uniform and priority, and groups that several rounds use: what is
 * drawn, how often, when they leave, and that restarts, forks and rounds that are given up lose
 * count of nothing. */
#include "base/rng.h"
#include "learner/store/history.h"
#include "unit/learner/store_kit.h"
#include <stdio.h>

enum { POOL = 40, DRAWS = 500, TAKE = 4 };

static struct store_rules rules_of(enum replay_policy policy, uint64_t groups, uint64_t eta,
                                   uint32_t uses)
{
    struct store_rules rules = kit_rules(groups, eta);
    rules.policy = policy;
    rules.max_uses = uses;
    return rules;
}

/* Of two completions whose rewards differ by twice the spread. */
static enum outcome deliver_spread(struct store *store, const struct grant *grant, uint64_t version,
                                   double spread)
{
    SCOPED(group) group = kit_group(grant, version, version);
    SCOPED(group) other = kit_group(grant, version, version);
    struct completion *two = mem_array(2, sizeof *two);
    two[0] = group->completion[0];
    two[1] = other->completion[0];
    free(group->completion);
    group->completion = two;
    group->completions = 2;
    other->completions = 0;
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    group_add(group, COLUMN_SCORES, 1);
    double *reward = group_add(group, COLUMN_REWARD, 1);
    reward[0] = 1 + spread;
    reward[1] = 1 - spread;
    return kit_append(store, group, 0).outcome;
}

/* How often each of POOL stored groups is used in DRAWS rounds; the spread of the i-th is
 * spread(i). */
static void draw_often(struct store_rules rules, double (*spread)(size_t i), int ret[POOL])
{
    rules.max_groups = 4 * rules.groups * (rules.eta + 1);
    SCOPED(fixture) f = fixture_new(POOL, rules);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, POOL);
    assert_int_equal(grants.count, POOL);
    for (size_t i = 0; i < POOL; i++)
        assert_int_equal(deliver_spread(f->store, &grants.grant[i], 0, spread(i)), OUTCOME_STORED);
    memset(ret, 0, POOL * sizeof *ret);
    for (int r = 0; r < DRAWS; r++) {
        SCOPED(round) round = kit_round(f->store, IDLE_NONE);
        for (size_t i = 0; i < round->groups; i++) {
            assert_true(!i || round->group[i - 1].slot < round->group[i].slot); // each once
            assert_int_equal(round->group[i].use, ++ret[round->group[i].slot]);
        }
    }
    assert_int_equal(counts_of(f).live, POOL * rules.max_uses - DRAWS * TAKE);
}

static double none(size_t i)
{
    (void)i;
    return 0;
}

static double second_half(size_t i)
{
    return i < POOL / 2 ? 0 : 1;
}

static double quarters(size_t i)
{
    return i < POOL / 2 ? 1 : 3;
}

static double sum(const int *at, size_t n)
{
    double all = 0;
    for (size_t i = 0; i < n; i++)
        all += at[i];
    return all;
}

/* 50 uses of each are expected, with a standard deviation below 7. */
static void uniform_leaves_none_out(void **)
{
    int uses[POOL];
    draw_often(rules_of(REPLAY_UNIFORM, TAKE, 9999, 1000), second_half, uses);
    double square = 0;
    for (size_t i = 0; i < POOL; i++) {
        assert_in_range(uses[i], 25, 80);
        square += (uses[i] - 50.0) * (uses[i] - 50.0) / 50 / (1 - 1.0 / POOL);
    }
    print_message("uniform: chi square %.1f of %d degrees\n", square, POOL - 1);
    assert_true(square > 10 && square < 70); // neither skewed nor dealt out in turn
}

static void priority_prefers_rewards_that_differ(void **)
{
    int uses[POOL];
    struct store_rules rules = rules_of(REPLAY_PRIORITY, TAKE, 9999, 1000);
    draw_often(rules, second_half, uses);
    double low = sum(uses, POOL / 2), high = sum(uses + POOL / 2, POOL / 2);
    assert_true(low > 0 && low < 0.03 * high); // weights 0.01 and 2.01
    draw_often(rules, quarters, uses);
    low = sum(uses, POOL / 2), high = sum(uses + POOL / 2, POOL / 2);
    assert_true(high > 2.2 * low && high < 3.2 * low); // 0.51 and 1.51, less as each is taken once
    draw_often(rules, none, uses);
    for (size_t i = 0; i < POOL; i++)
        assert_in_range(uses[i], 25, 80); // no spread at all: all alike
    rules.priority_exponent = 0;
    draw_often(rules, quarters, uses);
    low = sum(uses, POOL / 2), high = sum(uses + POOL / 2, POOL / 2);
    assert_true(high < 1.15 * low && low < 1.15 * high);
}

/* What is drawn follows from what is stored: not from the order in which it came, nor from a
 * restart. */
static void draws_follow_from_seed_round_and_slots(void **)
{
    uint64_t drawn[2][3][TAKE];
    for (int reverse = 0; reverse < 2; reverse++) {
        SCOPED(fixture) f = fixture_new(100, rules_of(REPLAY_PRIORITY, TAKE, 9, 1));
        SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 20);
        for (size_t i = 0; i < 20; i++)
            deliver_spread(f->store, &grants.grant[reverse ? 19 - i : i], 0, 1);
        for (int r = 0; r < 3; r++) {
            SCOPED(round) round = kit_round(f->store, IDLE_NONE);
            for (size_t i = 0; i < TAKE; i++)
                drawn[reverse][r][i] = round->group[i].slot;
            if (reverse)
                reopen(f, 0);
        }
    }
    assert_memory_equal(drawn[0], drawn[1], sizeof drawn[0]);
    assert_true(drawn[0][0][TAKE - 1] != TAKE - 1); // not simply the first ones
    assert_memory_not_equal(drawn[0][0], drawn[0][1], sizeof drawn[0][0]);
}

static void uses_are_durable_and_the_last_lets_go(void **)
{
    SCOPED(fixture) f = fixture_new(100, rules_of(REPLAY_FIFO, 2, 3, 3));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 8);
    assert_int_equal(grants.count, 2); // of 8 uses that fit the lag, 6; 3 more do not
    for (int i = 0; i < 2; i++)
        kit_deliver(f->store, &grants.grant[i], 0);
    for (uint64_t r = 0; r < 3; r++) {
        assert_int_equal(counts_of(f).stored, 2);
        assert_int_equal(counts_of(f).live, 6 - 2 * r);
        SCOPED(round) round = kit_round(f->store, IDLE_NONE);
        assert_int_equal(round->group[1].slot, 1);
        assert_int_equal(round->group[1].use, r + 1);
        kit_train(f->store, round);
        reopen(f, 0);
        assert_int_equal(kit_deliver(f->store, &grants.grant[0], 0), OUTCOME_DUPLICATE);
        struct trace trace;
        assert_ok(store_trace(f->store, 0, 1, &trace));
        assert_int_equal(trace.reason, REASON_TRAINED);
        trace_done(&trace);
        struct group **groups;
        assert_ok(store_round_groups(f->store, round, &groups));
        round_groups_free(groups, 2);
    }
    assert_int_equal(counts_of(f).gone[REASON_TRAINED], 2);
    assert_int_equal(counts_of(f).live, 0);
    round_free(kit_round(f->store, IDLE_NO_GROUPS));
}

/* Left over when the limit takes them: those that were never used are free again, those that were
 * are done. */
static void too_old_leaves_as_stale_or_as_trained(void **)
{
    SCOPED(fixture) f = fixture_new(100, rules_of(REPLAY_UNIFORM, 2, 3, 2));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 4);
    assert_int_equal(grants.count, 4);
    for (int i = 0; i < 4; i++)
        kit_deliver(f->store, &grants.grant[i], 0);
    SCOPED(round) first = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, first);
    f->rules.eta = f->rules.limit = 1;
    assert_ok(kit_set_rules(f->store, &f->rules, 0));
    SCOPED_VALUE(grants) young = kit_lease(f->store, "g", 1, 9);
    assert_int_equal(young.count, 0); // 6 live uses, 4 fit
    SCOPED(round) second = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, second);
    round_free(kit_round(f->store, IDLE_NO_GROUPS)); // round 2: what is of age 0 is too old
    struct store_counts counts = counts_of(f);
    assert_int_equal(counts.live, 0);
    bool same = first->group[0].slot == second->group[0].slot;
    uint64_t used = 0;
    for (uint64_t slot = 0; slot < 4; slot++) {
        struct trace trace;
        err_t e = store_trace(f->store, slot, 1, &trace);
        assert_ok(e);
        used += trace.reason == REASON_TRAINED;
        assert_true(trace.reason == REASON_TRAINED || trace.reason == REASON_STALE);
        trace_done(&trace);
    }
    assert_int_equal(counts.gone[REASON_TRAINED], used);
    assert_int_equal(counts.gone[REASON_STALE], 4 - used);
    assert_int_equal(counts.free, 4 - used);
    assert_in_range(used, 2, same ? 3 : 4);
}

static void uses_that_do_not_fit_the_lag_are_refused(void **)
{
    struct store_rules rules = rules_of(REPLAY_FIFO, 2, 1, 3);
    struct store_options options = kit_options(10);
    struct store *store = NULL;
    assert_err(ERR_INVALID, "max_uses is 3: allowed is 1 to lag.max + 1 = 2",
               store_open(kit_directory(), &options, &rules, 0, &store));
    rules.max_uses = 0;
    assert_err(ERR_INVALID, "max_uses is 0",
               store_open(kit_directory(), &options, &rules, 0, &store));
}

/* --- all of it at random --- */

enum { SLOTS_MAX = 2048, ROUNDS_MAX = 1024, HELD_MAX = 64, STEPS_MAX = 20000 };

struct sim {
    struct rng rng;
    uint64_t draws, published, end[ROUNDS_MAX], ends, trained, again, forks, voided, restarts;
    struct fixture *f;
    struct grant held[HELD_MAX];
    size_t held_n;
    uint32_t uses[SLOTS_MAX], attempt[SLOTS_MAX]; // of the attempt trained in this history
    uint64_t in[ROUNDS_MAX][8];                   // slots of each round
    size_t in_n[ROUNDS_MAX];
    bool given_up[SLOTS_MAX]; // in a voided round: this attempt is used no more
    struct round *training;
    bool ended;
};

static uint64_t below(struct sim *sim, uint64_t n)
{
    return rng_below(&sim->rng, sim->draws++, n);
}

static void lease(struct sim *sim)
{
    size_t want = below(sim, HELD_MAX - sim->held_n + 1);
    uint64_t version = below(sim, 4) || !sim->ends ? sim->published : sim->end[sim->ends - 1];
    SCOPED_VALUE(grants) grants = kit_lease(sim->f->store, "g", version, want);
    for (size_t i = 0; i < grants.count; i++)
        sim->held[sim->held_n++] = grants.grant[i];
}

static void deliver(struct sim *sim)
{
    if (!sim->held_n)
        return;
    size_t i = below(sim, sim->held_n);
    struct grant grant = sim->held[i];
    enum outcome outcome =
        deliver_spread(sim->f->store, &grant, sim->published, (double)below(sim, 3));
    assert_int_not_equal(outcome, OUTCOME_REJECTED);
    if (below(sim, 5)) // else it is sent again
        sim->held[i] = sim->held[--sim->held_n];
}

static void check_round(struct sim *sim, const struct round *round)
{
    const struct store_rules *rules = &sim->f->rules;
    struct group **groups;
    assert_ok(store_round_groups(sim->f->store, round, &groups));
    round_groups_free(groups, round->groups);
    sim->in_n[round->round] = round->groups;
    for (size_t i = 0; i < round->groups; i++) {
        const struct round_group *group = &round->group[i];
        if (sim->attempt[group->slot] != group->attempt)
            assert_int_equal(sim->uses[group->slot], 0); // no two attempts are trained
        assert_true(!sim->given_up[group->slot] || sim->attempt[group->slot] != group->attempt);
        sim->given_up[group->slot] = false;
        sim->attempt[group->slot] = group->attempt;
        assert_int_equal(group->use, ++sim->uses[group->slot]);
        assert_true(group->use <= rules->max_uses);
        assert_true(round->round - group->age <= rules->limit);
        sim->again += group->use > 1;
        sim->trained++;
        sim->in[round->round][i] = group->slot;
    }
}

static void train(struct sim *sim)
{
    enum idle idle;
    if (sim->training) {
        kit_train(sim->f->store, sim->training);
        sim->end[sim->ends++] = sim->published =
            sim->training->first_version + sim->training->updates;
        round_free(STEAL(sim->training));
        if (below(sim, 3) == 0)
            assert_ok(store_checkpointed(sim->f->store, sim->ends, sim->published));
        return;
    }
    assert_ok(store_form_round(sim->f->store, 0, &plan, &idle, &sim->training));
    if (sim->f->rules.max_uses > 1 || sim->f->rules.policy != REPLAY_FIFO)
        assert_int_not_equal(idle, IDLE_STRAGGLER);
    sim->ended = idle == IDLE_ENDED;
    if (sim->training)
        check_round(sim, sim->training);
}

/* The uses of a round that counts no more. */
static void take_back(struct sim *sim, uint64_t round, bool given_up)
{
    for (size_t i = 0; i < sim->in_n[round]; i++) {
        uint64_t slot = sim->in[round][i];
        sim->uses[slot] = given_up ? 0 : sim->uses[slot] - (sim->uses[slot] > 0);
        sim->given_up[slot] |= given_up;
    }
    sim->trained -= sim->in_n[round];
    if (given_up)
        sim->in_n[round] = 0;
}

static void go_back(struct sim *sim)
{
    uint64_t rounds = sim->ends - below(sim, (sim->ends < 3 ? sim->ends : 3) + 1);
    for (uint64_t r = rounds; r < store_next_round(sim->f->store); r++)
        take_back(sim, r, false);
    assert_ok(store_fork(sim->f->store, rounds, 0));
    round_free(STEAL(sim->training));
    sim->ends = rounds;
    sim->published = rounds ? sim->end[rounds - 1] : 0;
    sim->held_n = 0;
    sim->forks++;
}

static void give_up(struct sim *sim)
{
    if (!sim->training)
        return;
    assert_ok(store_void_round(sim->f->store, sim->training->round));
    take_back(sim, sim->training->round, true);
    sim->end[sim->ends++] = sim->published;
    round_free(STEAL(sim->training));
    sim->voided++;
}

static void step(struct sim *sim, bool branching)
{
    uint64_t kind = below(sim, 100);
    if (kind < 20)
        lease(sim);
    else if (kind < 70)
        deliver(sim);
    else if (kind < 94)
        train(sim);
    else if (kind < 95) {
        sim->restarts++;
        reopen(sim->f, 0);
    } else if (branching && sim->forks < 10 && kind < 98)
        go_back(sim);
    else if (branching && sim->voided < 6 && kind < 99)
        give_up(sim);
}

static void run(uint64_t seed, struct store_rules rules, bool branching)
{
    struct sim *sim = mem_new(sizeof *sim);
    rules.rounds = 60;
    rules.epochs = 0;
    sim->rng = rng_keyed(seed, RNG_TEST, 11, 0);
    sim->f = fixture_new(1 + seed % 2 * 40 + 7, rules);
    for (int i = 0; i < STEPS_MAX && !sim->ended; i++)
        step(sim, branching);
    assert_true(sim->ended);
    assert_int_equal(sim->ends, 60);
    store_free(STEAL(sim->f->store));
    struct audit audit = kit_audit(sim->f->dir);
    assert_int_equal(audit.stored + audit.leased + audit.free, 0);
    if (!branching) { // a fork and a voided round in one history: the audit alone keeps count
        assert_int_equal(audit.trained, sim->trained);
        assert_int_equal(sim->trained, 60 * rules.groups);
    }
    if (rules.max_uses > 1)
        assert_true(sim->again > 20);
    print_message(
        "policy %d, uses %u, lag %d: %llu trained, %llu again, %llu stale, %llu restarts\n",
        (int)rules.policy, rules.max_uses, (int)rules.eta, (unsigned long long)sim->trained,
        (unsigned long long)sim->again, (unsigned long long)audit.groups[REASON_STALE],
        (unsigned long long)sim->restarts);
    fixture_free(sim->f);
    free(sim);
}

static void every_run_ends_and_counts(void **)
{
    for (int policy = REPLAY_FIFO; policy <= REPLAY_PRIORITY; policy++)
        for (uint32_t uses = policy == REPLAY_FIFO ? 2 : 1; uses <= 3; uses += 1 + (uses == 1)) {
            run(uses, rules_of((enum replay_policy)policy, 4, 2, uses), false);
            run(uses + 7, rules_of((enum replay_policy)policy, 3, 4, uses), true);
        }
}

TESTS(cmocka_unit_test(uniform_leaves_none_out),
      cmocka_unit_test(priority_prefers_rewards_that_differ),
      cmocka_unit_test(draws_follow_from_seed_round_and_slots),
      cmocka_unit_test(uses_are_durable_and_the_last_lets_go),
      cmocka_unit_test(too_old_leaves_as_stale_or_as_trained),
      cmocka_unit_test(uses_that_do_not_fit_the_lag_are_refused),
      cmocka_unit_test(every_run_ends_and_counts))
