/* The store in a small simulated ring: slow groups, deaths, lost answers, restarts, changing
 * limits, forks, rounds that are given up. Whatever happens no round holds a group over the limit
 * in force, no slot is trained twice, and the run ends. */
#include "base/rng.h"
#include "learner/store/history.h"
#include "unit/learner/store_kit.h"
#include <stdio.h>

enum { GENERATORS = 3, WORK_MAX = 64, SLOTS_MAX = 4096, ROUNDS_MAX = 4096, STEPS_MAX = 40000 };

struct work {
    struct grant grant;
    uint64_t oldest, newest; // versions that drew its tokens
    int left;                // steps until it is finished; 0: waits for an answer
    bool used, dead, early;  // dead: by weights that a fork cut off; early: leased ahead
};

struct generator {
    char name[16];
    uint64_t term, version;
    struct work work[WORK_MAX];
};

struct sim {
    struct rng rng;
    uint64_t draws;
    const char *dir;
    struct store *store;
    struct store_options options;
    struct store_rules rules;
    int64_t now_ms;
    struct generator generator[GENERATORS];
    uint64_t published, end[ROUNDS_MAX], ends; // last version of each round
    bool trained[SLOTS_MAX], stored[SLOTS_MAX];
    uint64_t in_round[SLOTS_MAX]; // of the trained ones
    uint64_t trained_n, lag_max, straggled, restarts, superseded, duplicate, changes;
    uint64_t forks, voided, voided_n, dead_n, begun_early;
    struct round *training;
    uint32_t updated;
    bool ended;
    bool branching;    // forks and voided rounds
    bool ahead;        // slots are leased ahead, too
    int restart_every; // in steps; 1: between any two calls
};

/* What happened at all, over every run: a simulation in which nothing happens shows nothing. */
static struct {
    uint64_t straggled, expired, revoked, stale, superseded, duplicate, restarts, forks, voided,
        dead, lost, begun_early;
} seen;

static uint64_t below(struct sim *sim, uint64_t n)
{
    return rng_below(&sim->rng, sim->draws++, n);
}

static void check_revoked(struct sim *sim)
{
    struct revoked *revoked;
    size_t n;
    store_revoked(sim->store, &revoked, &n);
    for (size_t i = 0; i < n; i++)
        for (int g = 0; g < GENERATORS; g++)
            for (int w = 0; w < WORK_MAX; w++) {
                struct work *work = &sim->generator[g].work[w];
                if (work->used && digest_equal(&work->grant.id, &revoked[i].id) && below(sim, 2))
                    work->used = false; // the other half is not told in time
            }
    revoked_free(revoked, n);
}

static void restart(struct sim *sim)
{
    struct store_counts before, after;
    check_revoked(sim);
    store_counts(sim->store, &before);
    store_free(sim->store);
    sim->store = NULL;
    sim->now_ms += (int64_t)below(sim, 5000); // time without the learner does not count
    assert_ok(store_open(sim->dir, &sim->options, &sim->rules, sim->now_ms, &sim->store));
    store_counts(sim->store, &after);
    before.disk_used_bytes = after.disk_used_bytes;
    before.disk_free_bytes = after.disk_free_bytes;
    before.spare = after.spare; // of this process
    before.behind = after.behind;
    assert_memory_equal(&before, &after, sizeof before);
    sim->restarts++;
}

static void lease(struct sim *sim, struct generator *generator)
{
    SCOPED_VALUE(grants) grants = {0};
    struct store_holder holder = {generator->name, generator->term};
    size_t want = 0;
    for (int w = 0; w < WORK_MAX; w++)
        want += !generator->work[w].used;
    want = want ? 1 + below(sim, want) : 0;
    assert_ok(store_lease(sim->store, &holder, generator->version, want, sim->now_ms, &grants));
    const size_t now = grants.count;
    if (sim->ahead)
        assert_ok(store_lease_ahead(sim->store, &holder, generator->version, 1 + below(sim, 3),
                                    want - now, sim->now_ms, &grants));
    for (size_t i = 0; i < grants.count; i++) {
        int w = 0;
        while (generator->work[w].used)
            w++;
        int steps = 1 + (int)below(sim, 4);
        if (below(sim, 50) == 0)
            steps *= 20;
        generator->work[w] = (struct work){
            grants.grant[i], generator->version, generator->version, steps, true, false, i >= now};
        assert_true((grants.grant[i].version > generator->version) == (i >= now));
    }
}

/* Hands in one finished group; its answer may be lost, then it is sent again. */
static void deliver(struct sim *sim, struct work *work)
{
    SCOPED(group) group = kit_group(&work->grant, work->oldest, work->newest);
    struct verdict verdict = kit_append(sim->store, group, sim->now_ms);
    uint64_t slot = work->grant.slot;
    assert_int_not_equal(verdict.outcome, OUTCOME_REJECTED);
    if (work->dead)
        assert_int_not_equal(verdict.outcome, OUTCOME_STORED);
    sim->dead_n += work->dead;
    if (verdict.outcome == OUTCOME_STORED)
        assert_false(sim->trained[slot]);
    if (verdict.outcome == OUTCOME_DUPLICATE)
        assert_true(sim->stored[slot]);
    sim->stored[slot] |= verdict.outcome == OUTCOME_STORED;
    sim->superseded += verdict.outcome == OUTCOME_SUPERSEDED;
    sim->duplicate += verdict.outcome == OUTCOME_DUPLICATE;
    work->used = below(sim, 10) == 0;
}

static void generate(struct sim *sim, struct generator *generator)
{
    for (int w = 0; w < WORK_MAX; w++) {
        struct work *work = &generator->work[w];
        if (!work->used)
            continue;
        if (work->early && work->grant.version > generator->version)
            continue;
        if (work->early) {
            work->early = false;
            work->oldest = generator->version;
            sim->begun_early++;
        }
        if (work->left) {
            if (!work->dead)
                work->newest = generator->version;
            work->left--;
        } else if (below(sim, 2)) {
            deliver(sim, work);
        }
    }
}

static void die(struct sim *sim, struct generator *generator)
{
    generator->term++;
    memset(generator->work, 0, sizeof generator->work);
    generator->version = sim->published;
    if (below(sim, 2)) // else its leases run out
        assert_ok(store_holder_gone(
            sim->store, &(struct store_holder){generator->name, generator->term}, sim->now_ms));
}

/* Its stream is gone for longer than the grace. Half of them decode on and hand their groups in. */
static void get_lost(struct sim *sim, struct generator *generator)
{
    size_t count;
    const struct store_holder holder = {generator->name, generator->term};
    assert_ok(store_free_leases(sim->store, &holder, REVOKED_LOST, sim->now_ms, &count));
    seen.lost += count;
    if (below(sim, 2))
        memset(generator->work, 0, sizeof generator->work);
}

static uint64_t round_of(const struct sim *sim, uint64_t version)
{
    uint64_t round = 0;
    while (round < sim->ends && sim->end[round] <= version)
        round++;
    return round;
}

static void check_round(struct sim *sim, const struct round *round)
{
    struct group **groups;
    assert_true(round->groups <= sim->rules.groups);
    assert_int_equal(round->limit, sim->rules.limit);
    assert_ok(store_round_groups(sim->store, round, &groups));
    for (size_t i = 0; i < round->groups; i++) {
        uint64_t slot = round->group[i].slot, oldest = round->group[i].age,
                 now = round_of(sim, group_oldest_version(groups[i]));
        /* The round of its oldest version when it was stored; a voided round moves that on. */
        assert_true(sim->voided ? oldest <= now : oldest == now);
        assert_true(digest_equal(&groups[i]->id, &round->group[i].id));
        assert_true(sim->stored[slot]);
        assert_false(sim->trained[slot]);
        sim->trained[slot] = true;
        sim->in_round[slot] = round->round;
        sim->trained_n++;
        assert_true(oldest <= round->round);
        assert_true(round->round - oldest <= sim->rules.limit);
        if (round->round - oldest > sim->lag_max)
            sim->lag_max = round->round - oldest;
        if (!i)
            continue;
        uint64_t before = round->group[i - 1].age;
        assert_true(before < oldest || (before == oldest && round->group[i - 1].slot < slot));
        if (!sim->rules.eta && sim->rules.limit == 0 && !sim->changes)
            assert_int_equal(slot, round->group[i - 1].slot + 1);
    }
    round_groups_free(groups, round->groups);
}

static void train(struct sim *sim)
{
    if (sim->training) {
        struct round *round = sim->training;
        uint64_t version = round->first_version + ++sim->updated;
        struct trainee_digests trainees = kit_trainees(version);
        bool last = sim->updated == round->updates || below(sim, 8) == 0;
        assert_ok(store_update_done(sim->store, version, &trainees, last));
        if (!last)
            return;
        sim->end[sim->ends++] = sim->published = version;
        round_free(STEAL(sim->training));
        if (below(sim, 4) == 0)
            assert_ok(store_checkpointed(sim->store, sim->ends, version));
        return;
    }
    enum idle idle;
    struct round_plan many = plan;
    many.updates = 1 + (uint32_t)below(sim, 3);
    assert_ok(store_form_round(sim->store, sim->now_ms, &many, &idle, &sim->training));
    sim->straggled += idle == IDLE_STRAGGLER;
    sim->ended = idle == IDLE_ENDED;
    sim->updated = 0;
    if (sim->training)
        check_round(sim, sim->training);
}

/* Back to the end of one of the last rounds. */
static void go_back(struct sim *sim)
{
    uint64_t most = sim->ends < 4 ? sim->ends : 4, rounds = sim->ends - below(sim, most + 1);
    assert_ok(store_fork(sim->store, rounds, sim->now_ms));
    round_free(STEAL(sim->training));
    sim->ends = rounds;
    sim->published = rounds ? sim->end[rounds - 1] : 0;
    for (uint64_t slot = 0; slot < SLOTS_MAX; slot++)
        if (sim->trained[slot] && sim->in_round[slot] >= rounds) {
            sim->trained[slot] = false;
            sim->trained_n--;
        }
    for (int g = 0; g < GENERATORS; g++) {
        sim->generator[g].version = sim->published; // none is granted anything with other weights
        for (int w = 0; w < WORK_MAX; w++)
            sim->generator[g].work[w].dead |= !sim->generator[g].work[w].early &&
                                              sim->generator[g].work[w].newest > sim->published;
    }
    sim->forks++;
}

static void give_up(struct sim *sim)
{
    if (!sim->training)
        return;
    struct round *round = sim->training;
    assert_ok(store_void_round(sim->store, round->round));
    sim->end[sim->ends++] = sim->published;
    sim->voided++;
    for (size_t i = 0; i < round->groups; i++)
        sim->trained[round->group[i].slot] = false;
    sim->trained_n -= round->groups;
    sim->voided_n += round->groups;
    round_free(STEAL(sim->training));
}

static void change_lag(struct sim *sim)
{
    static const uint64_t etas[] = {0, 1, 2, 4, 8};
    sim->rules.eta = etas[below(sim, 5)];
    sim->rules.limit = sim->rules.eta + (below(sim, 3) ? 0 : below(sim, 3));
    assert_ok(kit_set_rules(sim->store, &sim->rules, sim->now_ms));
    sim->changes++;
}

static void step(struct sim *sim, bool changes)
{
    struct generator *generator = &sim->generator[below(sim, GENERATORS)];
    uint64_t kind = below(sim, 100);
    if (kind < 35)
        generate(sim, generator);
    else if (kind < 60)
        lease(sim, generator);
    else if (kind < 80)
        train(sim);
    else if (kind < 92)
        generator->version = sim->published;
    else if (kind < 98)
        assert_ok(store_expire(sim->store, sim->now_ms += 20));
    else if (kind < 99 && below(sim, 2))
        get_lost(sim, generator);
    else if (kind < 99)
        die(sim, generator);
    else if (changes)
        change_lag(sim);
    if (sim->branching && sim->forks < 12 && below(sim, 150) == 0)
        go_back(sim);
    if (sim->branching && sim->voided < 8 && below(sim, 60) == 0)
        give_up(sim);
    if (below(sim, 4) == 0)
        check_revoked(sim);
    if (sim->restart_every && below(sim, (uint64_t)sim->restart_every) == 0)
        restart(sim);
}

/* TEST_SEED=n runs the same tests over other events. */
static uint64_t base_seed(void)
{
    const char *text = getenv("TEST_SEED");
    return text ? strtoull(text, NULL, 10) : 0;
}

static void sim_start(struct sim *sim, uint64_t seed, uint64_t rows, struct store_rules rules)
{
    *sim = (struct sim){.rng = rng_keyed(seed, RNG_TEST, rows, base_seed()),
                        .dir = kit_directory(),
                        .options = kit_options(rows),
                        .rules = rules};
    for (int g = 0; g < GENERATORS; g++)
        snprintf(sim->generator[g].name, sizeof sim->generator[g].name, "g%d", g);
    assert_ok(store_open(sim->dir, &sim->options, &sim->rules, 0, &sim->store));
}

static void sim_end(struct sim *sim, const char *what)
{
    struct store_counts counts;
    store_counts(sim->store, &counts);
    store_free(sim->store);
    struct audit audit = kit_audit(sim->dir);
    assert_int_equal(audit.trained, sim->trained_n);
    assert_int_equal(audit.free + audit.leased + audit.stored, 0);
    if (sim->forks)
        assert_true(audit.lag_max <= sim->lag_max); // what was cut off counts no more
    else
        assert_int_equal(audit.lag_max, sim->lag_max);
    seen.forks += sim->forks;
    seen.voided += sim->voided;
    seen.dead += sim->dead_n;
    seen.begun_early += sim->begun_early;
    seen.straggled += sim->straggled;
    seen.expired += counts.expired;
    seen.revoked += counts.revoked;
    seen.stale += counts.gone[REASON_STALE];
    seen.superseded += sim->superseded;
    seen.duplicate += sim->duplicate;
    seen.restarts += sim->restarts;
    assert_int_equal(counts.gone[REASON_TRAINED], sim->trained_n);
    print_message(
        "%s: rounds %llu trained %llu lag_max %llu waits %llu restarts %llu; granted %llu expired "
        "%llu revoked %llu stale %llu superseded %llu duplicate %llu\n",
        what, (unsigned long long)audit.rounds, (unsigned long long)sim->trained_n,
        (unsigned long long)sim->lag_max, (unsigned long long)sim->straggled,
        (unsigned long long)sim->restarts, (unsigned long long)counts.granted,
        (unsigned long long)counts.expired, (unsigned long long)counts.revoked,
        (unsigned long long)counts.gone[REASON_STALE], (unsigned long long)sim->superseded,
        (unsigned long long)sim->duplicate);
}

/* Steps until the run has ended; that it does is part of the promise. */
static void sim_run(struct sim *sim, bool changes)
{
    for (int i = 0; !sim->ended; i++) {
        assert_true(i < STEPS_MAX);
        step(sim, changes);
    }
}

static void run_of(uint64_t seed, uint64_t eta, enum straggler straggler, bool changes, bool ahead)
{
    struct sim *sim = mem_new(sizeof *sim);
    struct store_rules rules = kit_rules(4, eta);
    rules.straggler = straggler;
    rules.epochs = 2;
    sim_start(sim, seed, 81,
              rules); // 162 slots: 40 rounds of 4 and one of 2, unless lag leaves it shorter
    sim->restart_every = 250;
    sim->ahead = ahead;
    sim_run(sim, changes);
    assert_int_equal(sim->trained_n, 162);
    char what[64];
    snprintf(what, sizeof what, "eta %llu %s%s", (unsigned long long)eta,
             straggler == STRAGGLER_WAIT ? "wait" : "drop", changes ? " changing" : "");
    sim_end(sim, what);
    free(sim);
}

static void no_round_is_over_the_limit_and_every_run_ends(void **)
{
    static const uint64_t etas[] = {0, 1, 2, 4, 8};
    for (size_t i = 0; i < 10; i++) {
        run_of(1 + i / 5, etas[i % 5], STRAGGLER_WAIT, false, i >= 5);
        run_of(3 + i / 5, etas[i % 5], STRAGGLER_DROP, false, i >= 5);
    }
}

static void the_limit_may_change_at_any_time(void **)
{
    for (uint64_t seed = 0; seed < 4; seed++)
        run_of(10 + seed, seed, seed % 2 ? STRAGGLER_DROP : STRAGGLER_WAIT, true, seed >= 2);
}

/* Whatever is cut off and given up, every slot ends in one round or with a reason. */
static void forks_and_voided_rounds_lose_nothing(void **)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct sim *sim = mem_new(sizeof *sim);
        struct store_rules rules = kit_rules(4, seed % 3);
        sim_start(sim, 50 + seed, 120, rules);
        sim->restart_every = 60;
        sim->branching = true;
        sim->ahead = seed % 2;
        sim_run(sim, seed >= 3);
        sim_end(sim, "forks");
        SCOPED(store) store = NULL;
        struct store_counts counts;
        assert_ok(store_open(sim->dir, &sim->options, &sim->rules, sim->now_ms, &store));
        store_counts(store, &counts);
        assert_int_equal(counts.gone[REASON_ERRORED], sim->voided_n);
        assert_true(sim->trained_n + sim->voided_n >= 120); // a voided round may be cut off, too
        free(sim);
    }
}

/* The store is opened again between any two calls. */
static void a_restart_at_any_point_changes_nothing(void **)
{
    struct sim *sim = mem_new(sizeof *sim);
    sim_start(sim, 20, 8, kit_rules(3, 1));
    sim->restart_every = 1;
    sim_run(sim, false);
    assert_int_equal(sim->trained_n, 8);
    sim_end(sim, "restart at every step");
    free(sim);
}

/* With run.rounds no more is ever leased than the run can use. */
static void a_run_of_so_many_rounds_trains_exactly_these(void **)
{
    struct sim *sim = mem_new(sizeof *sim);
    struct store_rules rules = kit_rules(4, 2);
    rules.rounds = 9;
    rules.epochs = 0;
    sim_start(sim, 30, 7, rules);
    sim_run(sim, false);
    assert_int_equal(sim->ends, 9);
    assert_int_equal(sim->trained_n, 36);
    sim_end(sim, "9 rounds");
    free(sim);
}

/* At lag 0 a round is the next slots in order, whatever dies and in whichever order groups come. */
static void at_lag_0_rounds_are_the_slots_in_order(void **)
{
    struct sim *sim = mem_new(sizeof *sim);
    sim_start(sim, 40, 40, kit_rules(5, 0));
    sim->restart_every = 50;
    sim_run(sim, false);
    for (uint64_t r = 0; r < 8; r++) {
        SCOPED(round) round = NULL;
        assert_ok(store_round(sim->store, r, &round));
        for (uint64_t i = 0; i < 5; i++)
            assert_int_equal(round->group[i].slot, 5 * r + i);
    }
    assert_int_equal(sim->lag_max, 0);
    sim_end(sim, "lag 0");
    free(sim);
}

static void all_of_it_happened(void **)
{
    assert_true(seen.straggled > 100 && seen.expired > 10 && seen.revoked > 100);
    assert_true(seen.lost > 100 && seen.begun_early > 100);
    assert_true(seen.stale > 50 && seen.superseded > 20 && seen.duplicate > 100);
    assert_true(seen.restarts > 200);
    assert_true(seen.forks > 10 && seen.voided > 10 && seen.dead > 10);
}

TESTS(cmocka_unit_test(no_round_is_over_the_limit_and_every_run_ends),
      cmocka_unit_test(the_limit_may_change_at_any_time),
      cmocka_unit_test(forks_and_voided_rounds_lose_nothing),
      cmocka_unit_test(a_restart_at_any_point_changes_nothing),
      cmocka_unit_test(a_run_of_so_many_rounds_trains_exactly_these),
      cmocka_unit_test(at_lag_0_rounds_are_the_slots_in_order),
      cmocka_unit_test(all_of_it_happened))
