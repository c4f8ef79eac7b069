/* The store against a model of the rules, over thousands of random events: leases, groups that
 * come, late or never, rounds, rules that change in every way, restarts. The model is a list of
 * what is live and the rules of store/lag.h, counted anew each time. What is granted, which
 * limit is in force, how much a change costs, which groups make a round or why none do: the
 * same. */
#include "base/rng.h"
#include "learner/store/lag.h"
#include "unit/learner/store_kit.h"
#include <stdio.h>

enum { GROUPS = 3, ETA_MAX = 6, EASE_MAX = 8, MOST = 512, STEPS = 2500, SEEDS = 3 };

struct member {
    struct grant grant;
    uint64_t age; // the lease's start, or the round of the stored group's oldest version
    bool stored;
    bool lost; // its lease was taken back: it may still come
};

struct model {
    struct fixture *f;
    struct rng rng;
    uint64_t draws;
    struct member member[MOST];
    size_t n;
    uint64_t rounds; // recorded, each trained into one version: the round of version v is v
    uint64_t leases, formed, waited, shed, eased, changes, late, restarts, lag_max;
    uint64_t limit; // in force, as the model has it
};

static uint64_t below(struct model *m, uint64_t n)
{
    return rng_below(&m->rng, m->draws++, n);
}

static uint64_t live(const struct model *m, uint64_t age)
{
    uint64_t count = 0;
    for (size_t i = 0; i < m->n; i++)
        count += !m->member[i].lost && m->member[i].age <= age;
    return count;
}

/* By how many what is live exceeds a limit: the largest excess of live(<= s) over the places in
 * rounds next .. s + limit. */
static uint64_t excess(const struct model *m, uint64_t next, uint64_t limit)
{
    uint64_t most = 0;
    for (uint64_t s = 0; s <= next; s++) {
        uint64_t room = s + limit + 1 > next ? (s + limit + 1 - next) * GROUPS : 0, n = live(m, s);
        if (n > room && n - room > most)
            most = n - room;
    }
    return most;
}

/* The least that everything live can keep, from rules.limit to rules.ease. */
static uint64_t eased(const struct model *m)
{
    uint64_t limit = m->f->rules.limit;
    while (limit < m->f->rules.ease && excess(m, m->rounds, limit))
        limit++;
    return limit;
}

static void drop(struct model *m, size_t i)
{
    m->member[i] = m->member[--m->n];
}

/* What the store says that it took back is lost in the model, too; counts how many. */
static uint64_t take_revoked(struct model *m)
{
    struct revoked *revoked;
    size_t n;
    store_revoked(m->f->store, &revoked, &n);
    for (size_t r = 0; r < n; r++) {
        bool found = false;
        for (size_t i = 0; i < m->n && !found; i++)
            if (digest_equal(&m->member[i].grant.id, &revoked[r].id)) {
                assert_false(m->member[i].stored || m->member[i].lost);
                found = m->member[i].lost = true;
            }
        assert_true(found);
    }
    revoked_free(revoked, n);
    return n;
}

/* After every event: both have as many leased and stored, and the limit is what it should be;
 * nothing is over it. */
static void agree(struct model *m)
{
    uint64_t leased = 0, stored = 0;
    struct store_counts counts = counts_of(m->f);
    for (size_t i = 0; i < m->n; i++) {
        leased += !m->member[i].lost && !m->member[i].stored;
        stored += m->member[i].stored;
    }
    assert_int_equal(counts.leased, leased);
    assert_int_equal(counts.stored, stored);
    assert_int_equal(counts.next_round, m->rounds);
    assert_true(counts.limit >= eased(m)); // it falls with the next sweep
    assert_int_equal(excess(m, m->rounds, counts.limit), 0);
    m->limit = counts.limit;
}

static void lease(struct model *m)
{
    const struct store_rules *rules = &m->f->rules;
    uint64_t held = m->rounds - below(m, m->rounds < 4 ? m->rounds + 1 : 4),
             behind = m->rounds - held;
    uint64_t want = 1 + below(m, 12), all = live(m, UINT64_MAX), room = 0;
    if (behind <= rules->eta && (rules->eta - behind + 1) * GROUPS > all)
        room = (rules->eta - behind + 1) * GROUPS - all;
    SCOPED_VALUE(grants) grants = kit_lease(m->f->store, "g", held, want);
    assert_int_equal(grants.count, want < room ? want : room);
    for (size_t i = 0; i < grants.count; i++) {
        for (size_t j = 0; j < m->n; j++)
            if (m->member[j].lost && m->member[j].grant.slot == grants.grant[i].slot)
                drop(m,
                     j--); // its place is given away; that it would be superseded, other tests show
        assert_true(m->n < MOST);
        m->member[m->n++] = (struct member){.grant = grants.grant[i], .age = held};
        m->leases++;
    }
}

/* One group comes, drawn by the lease's weights or newer ones. */
static void deliver(struct model *m, size_t i)
{
    struct member *member = &m->member[i];
    uint64_t oldest =
        member->grant.start_round + below(m, m->rounds - member->grant.start_round + 1);
    SCOPED(group) group = kit_group(&member->grant, oldest, m->rounds);
    bool stored = true;
    if (member->lost) {
        *member = (struct member){.grant = member->grant, .age = oldest};
        stored = !excess(m, m->rounds, m->limit);
        m->late += stored;
    }
    assert_int_equal(kit_append(m->f->store, group, 0).outcome,
                     stored ? OUTCOME_STORED : OUTCOME_STALE);
    member->age = oldest;
    member->stored = stored;
    if (!stored)
        drop(m, i);
}

static void deliver_some(struct model *m, uint64_t among)
{
    for (size_t i = m->n; i-- > 0;)
        if (!m->member[i].stored && below(m, among) == 0)
            deliver(m, i);
}

/* The oldest stored ones, ties by slot, marked; false if they are fewer than a round. */
static bool pick(const struct model *m, bool *ret)
{
    memset(ret, 0, MOST * sizeof *ret);
    for (int taken = 0; taken < GROUPS; taken++) {
        const struct member *best = NULL;
        for (size_t i = 0; i < m->n; i++) {
            const struct member *at = &m->member[i];
            if (at->stored && !ret[i] &&
                (!best || at->age < best->age ||
                 (at->age == best->age && at->grant.slot < best->grant.slot)))
                best = at;
        }
        if (!best)
            return false;
        ret[best - m->member] = true;
    }
    return true;
}

/* Rule 2 by the book: with those taken out, could all others still be trained in time? */
static enum idle may_form(struct model *m, const bool *picked, bool enough)
{
    struct model *after = mem_copy(m, sizeof *m);
    after->n = 0;
    for (size_t i = 0; i < m->n; i++)
        if (!picked[i])
            after->member[after->n++] = m->member[i];
    bool late = excess(after, m->rounds + 1, eased(m)) > 0;
    mem_free(after);
    return !enough ? IDLE_NO_GROUPS : late ? IDLE_STRAGGLER : IDLE_NONE;
}

static void check_round(struct model *m, const struct round *round, const bool *picked)
{
    assert_int_equal(round->groups, GROUPS);
    assert_int_equal(round->limit, eased(m));
    for (size_t i = 0; i < round->groups; i++) {
        size_t at = 0;
        while (at < m->n && !digest_equal(&m->member[at].grant.id, &round->group[i].id))
            at++;
        assert_true(at < m->n && picked[at]);
        assert_int_equal(round->group[i].age, m->member[at].age);
        uint64_t lag = round->round - round->group[i].age;
        assert_true(lag <= round->limit); // the promise
        m->lag_max = lag > m->lag_max ? lag : m->lag_max;
    }
}

static enum idle form(struct model *m)
{
    bool picked[MOST];
    bool enough = pick(m, picked);
    enum idle wanted = may_form(m, picked, enough);
    SCOPED(round) round = kit_round(m->f->store, wanted);
    if (!round) {
        m->waited += wanted == IDLE_STRAGGLER;
        return wanted;
    }
    check_round(m, round, picked);
    for (size_t i = m->n; i-- > 0;)
        if (picked[i])
            drop(m, i); // what takes its place has been looked at
    kit_train(m->f->store, round);
    m->rounds++;
    m->formed++;
    return wanted;
}

/* Stored groups that a change left no room for, as the store chooses: the oldest age that is over
 * its room first, and of what is as old the youngest, then the highest slot. */
static void find_shed(struct model *m, uint64_t stored, uint64_t limit)
{
    for (; stored; stored--) {
        uint64_t s = 0;
        while (live(m, s) <= (s + limit + 1 > m->rounds ? (s + limit + 1 - m->rounds) * GROUPS : 0))
            s++;
        size_t youngest = m->n;
        for (size_t i = 0; i < m->n; i++)
            if (m->member[i].stored && m->member[i].age <= s &&
                (youngest == m->n || m->member[i].age > m->member[youngest].age ||
                 (m->member[i].age == m->member[youngest].age &&
                  m->member[i].grant.slot > m->member[youngest].grant.slot)))
                youngest = i;
        assert_true(youngest < m->n);
        drop(m, youngest);
    }
}

static struct store_rules random_rules(struct model *m)
{
    struct store_rules rules = m->f->rules;
    rules.eta = rules.limit = below(m, ETA_MAX + 1);
    uint64_t kind = below(m, 3);
    if (kind == 1) // kept: the promise is wider than the target
        rules.limit += below(m, 3);
    rules.ease = kind == 2 ? EASE_MAX : rules.limit;
    return rules;
}

/* The least that has to leave does, whether the rules change while it runs or over a restart. */
static void change(struct model *m, bool restart)
{
    struct store_counts before = counts_of(m->f), after;
    m->f->rules = random_rules(m);
    uint64_t limit = m->f->rules.ease > m->f->rules.limit ? m->f->rules.ease : m->f->rules.limit;
    uint64_t expected = excess(m, m->rounds, limit);
    if (restart)
        reopen(m->f, 0);
    else
        assert_ok(kit_set_rules(m->f->store, &m->f->rules, 0));
    after = counts_of(m->f);
    uint64_t left = before.leased + before.stored - after.leased - after.stored;
    assert_int_equal(left, expected);
    assert_int_equal(take_revoked(m), before.leased - after.leased);
    find_shed(m, before.stored - after.stored, limit);
    assert_int_equal(after.gone[REASON_STALE] - before.gone[REASON_STALE],
                     before.stored - after.stored);
    assert_int_equal(after.limit, eased(m));
    m->shed += left;
    m->eased += !left && excess(m, m->rounds, m->f->rules.limit) > 0;
    m->changes++;
    m->restarts += restart;
}

/* Wherever it stands: once all that is leased has come, rounds are formed until too little is left,
 * and then leases are granted. So waiting ends. */
static void waiting_ends(struct model *m)
{
    deliver_some(m, 1);
    while (form(m) == IDLE_NONE)
        agree(m);
    uint64_t stored = live(m, UINT64_MAX);
    assert_true(stored < GROUPS);
    SCOPED_VALUE(grants) grants = kit_lease(m->f->store, "g", m->rounds, GROUPS - stored);
    assert_int_equal(grants.count, GROUPS - stored);
    for (size_t i = 0; i < grants.count; i++)
        assert_int_equal(kit_deliver(m->f->store, &grants.grant[i], m->rounds), OUTCOME_STORED);
    SCOPED(round) round = kit_round(m->f->store, IDLE_NONE);
    kit_train(m->f->store, round);
    m->rounds++;
    m->n = 0; // what was lost and late is of slots that are used now, or of no more interest
}

static void step(struct model *m)
{
    uint64_t kind = below(m, 100);
    if (kind < 30)
        lease(m);
    else if (kind < 60)
        deliver_some(m, 3);
    else if (kind < 88)
        form(m);
    else if (kind < 95)
        change(m, false);
    else if (kind < 97)
        change(m, true);
    else if (kind < 99)
        reopen(m->f, 0);
    else
        waiting_ends(m);
    agree(m);
}

static void the_store_does_what_the_rules_say(void **)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        SCOPED(fixture) f = fixture_new(97, kit_rules(GROUPS, seed));
        store_free(STEAL(f->store));
        f->rules.epochs = 0;
        f->rules.lease_ms = 1 << 30;
        assert_ok(store_open(f->dir, &f->options, &f->rules, 0, &f->store));
        struct model *m = mem_new(sizeof *m);
        m->f = f;
        m->rng = rng_keyed(seed, RNG_TEST, 60, 0);
        for (int i = 0; i < STEPS; i++)
            step(m);
        print_message(
            "seed %d: rounds %d waits %d; %d changes (%d over restarts) cost %d groups, %d eased; late %d, lag %d\n",
            (int)seed, (int)m->formed, (int)m->waited, (int)m->changes, (int)m->restarts,
            (int)m->shed, (int)m->eased, (int)m->late, (int)m->lag_max);
        assert_true(m->formed > 200 && m->waited > 10 && m->changes > 100 && m->restarts > 20);
        assert_true(m->shed > 50 && m->eased > 10 && m->late > 5 && m->lag_max >= 4);
        mem_free(m);
    }
}

/* Under `ease` nothing is thrown away: the limit falls as what was leased before is used. */
static void a_limit_that_eases_costs_nothing(void **)
{
    SCOPED(fixture) f = fixture_new(200, kit_rules(2, 4));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 100);
    assert_int_equal(grants.count, 10);
    f->rules.eta = f->rules.limit = 1;
    f->rules.ease = 4;
    assert_ok(kit_set_rules(f->store, &f->rules, 0));
    assert_int_equal(counts_of(f).leased, 10);
    assert_int_equal(counts_of(f).limit, 4);
    for (size_t i = 0; i < grants.count; i++)
        assert_int_equal(kit_deliver(f->store, &grants.grant[i], 0), OUTCOME_STORED);
    for (uint64_t r = 0; r < 5; r++) {
        SCOPED(round) round = kit_round(f->store, IDLE_NONE);
        assert_int_equal(round->limit, 4);
        kit_train(f->store, round);
        SCOPED_VALUE(grants) more = kit_lease(f->store, "g", r + 1, 100);
        assert_int_equal(more.count, r < 3 ? 0 : 2); // paced by 1: (1 + 1) * 2 live at the most
        for (size_t i = 0; i < more.count; i++)
            assert_int_equal(kit_deliver(f->store, &more.grant[i], r + 1), OUTCOME_STORED);
    }
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    assert_int_equal(round->limit, 1);
    assert_int_equal(counts_of(f).gone[REASON_STALE], 0);
    assert_int_equal(counts_of(f).revoked, 0);
}

/* Little's law, to the group: the lags of all that is trained come to what each round left behind
 * and to how far weights were behind when they were leased with. */
static void lag_is_what_was_left_behind(void **)
{
    SCOPED(fixture) f = fixture_new(60, kit_rules(3, 4));
    struct grant grant[60];
    size_t leased = 0, delivered = 0;
    uint64_t lags = 0, left = 0;
    for (uint64_t step = 0, rounds = 0; rounds < 20; step++) {
        struct rng rng = rng_keyed(5, RNG_TEST, step, 0);
        uint64_t held = rounds - rng_below(&rng, 0, rounds < 3 ? rounds + 1 : 3);
        SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", held, 1 + rng_below(&rng, 1, 5));
        memcpy(grant + leased, grants.grant, grants.count * sizeof *grant);
        leased += grants.count;
        for (uint64_t n = rng_below(&rng, 2, 5); n && delivered < leased; n--, delivered++)
            kit_deliver(f->store, &grant[delivered], grant[delivered].start_round);
        SCOPED(round) round = NULL;
        enum idle idle;
        assert_ok(store_form_round(f->store, 0, &plan, &idle, &round));
        if (!round)
            continue;
        for (size_t i = 0; i < round->groups; i++)
            lags += round->round - round->group[i].age;
        left += counts_of(f).leased + counts_of(f).stored;
        kit_train(f->store, round);
        rounds++;
    }
    assert_int_equal(counts_of(f).gone[REASON_TRAINED], 60);
    assert_true(counts_of(f).behind > 10);
    assert_int_equal(lags, left + counts_of(f).behind);
}

/* At a hello: what was taken from a holder that was away. */
static void what_a_holder_lost_is_known(void **)
{
    SCOPED(fixture) f = fixture_new(50, kit_rules(2, 3));
    struct store_holder holder = {"g", 1}, other = {"h", 1};
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 8);
    f->rules.eta = f->rules.limit = 0;
    assert_ok(kit_set_rules(f->store, &f->rules, 0));
    int held = 0;
    for (size_t i = 0; i < grants.count; i++) {
        held += store_holds(f->store, &holder, &grants.grant[i].id);
        assert_false(store_holds(f->store, &other, &grants.grant[i].id));
    }
    assert_int_equal(held, 2);
}

TESTS(cmocka_unit_test(the_store_does_what_the_rules_say),
      cmocka_unit_test(a_limit_that_eases_costs_nothing),
      cmocka_unit_test(lag_is_what_was_left_behind), cmocka_unit_test(what_a_holder_lost_is_known))
