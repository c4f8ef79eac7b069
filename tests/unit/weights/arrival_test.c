/* The rules of versions in a subscriber by themselves: every event in every state against flags
 * that tell the same story in another way, and random events against what must hold whatever
 * happens. */
#include "base/rng.h"
#include "testing/testing.h"
#include "weights/stream/arrival.h"

/* The same rules as seven flags and plain statements: the second witness of the table. */
struct flags {
    bool receiving, unfinished, complete; // incoming
    bool has, staged, taken, loaded;      // ready
    unsigned actions;
};

static bool flags_refuse(const struct flags *f, enum arrival_event event)
{
    switch (event) {
    case ARRIVAL_BEGIN:
        return f->complete;
    case ARRIVAL_GO_ON:
        return !f->unfinished;
    case ARRIVAL_KNOWN:
    case ARRIVAL_RIGHT:
    case ARRIVAL_WRONG:
        return !f->receiving;
    case ARRIVAL_AGAIN:
        return f->receiving || f->unfinished || f->complete;
    case ARRIVAL_TAKE:
        return !f->staged || f->taken;
    case ARRIVAL_APPLIED:
        return !f->taken;
    default:
        return false;
    }
}

static void flags_stage(struct flags *f)
{
    f->actions |= ARRIVAL_STAGE | (f->staged ? ARRIVAL_REPLACE : 0);
    f->complete = f->loaded = false;
    f->has = f->staged = true;
}

static void flags_right(struct flags *f)
{
    f->receiving = false;
    f->complete = f->taken;
    if (f->taken)
        f->actions |= ARRIVAL_PAUSE;
    else
        flags_stage(f);
}

static void flags_poison(struct flags *f)
{
    f->actions |= ARRIVAL_FORGET | (f->complete ? ARRIVAL_READ : 0);
    f->has = f->staged = f->loaded = f->receiving = f->unfinished = f->complete = false;
}

static void flags_applied(struct flags *f)
{
    f->taken = false;
    f->actions |= f->has ? ARRIVAL_SERVE : 0;
    if (!f->complete)
        return;
    flags_stage(f);
    f->actions |= ARRIVAL_READ;
}

static void flags_step(struct flags *f, enum arrival_event event)
{
    f->actions = flags_refuse(f, event) ? ARRIVAL_REFUSED : 0;
    if (f->actions)
        return;
    if (event == ARRIVAL_BEGIN || event == ARRIVAL_GO_ON || event == ARRIVAL_AGAIN) {
        f->unfinished = false;
        f->receiving = true;
    } else if (event == ARRIVAL_KNOWN || event == ARRIVAL_WRONG) {
        f->receiving = false;
    } else if (event == ARRIVAL_RIGHT) {
        flags_right(f);
    } else if (event == ARRIVAL_POISON) {
        flags_poison(f);
    } else if (event == ARRIVAL_DROP) {
        f->receiving = f->unfinished = false;
    } else if (event == ARRIVAL_LOST) {
        f->unfinished |= f->receiving;
        f->receiving = false;
    } else if (event == ARRIVAL_TAKE) {
        f->staged = false;
        f->taken = true;
    } else {
        flags_applied(f);
    }
}

static struct flags flags_of(const struct arrival *arrival)
{
    return (struct flags){.receiving = arrival->incoming == INCOMING_RECEIVING,
                          .unfinished = arrival->incoming == INCOMING_UNFINISHED,
                          .complete = arrival->incoming == INCOMING_COMPLETE,
                          .has = arrival_has(arrival),
                          .staged = arrival->ready == READY_STAGED,
                          .taken = arrival_is_taken(arrival),
                          .loaded = arrival->ready == READY_LOADED};
}

static bool same_flags(const struct flags *a, const struct flags *b)
{
    return a->receiving == b->receiving && a->unfinished == b->unfinished &&
           a->complete == b->complete && a->has == b->has && a->staged == b->staged &&
           a->taken == b->taken && a->loaded == b->loaded && a->actions == b->actions;
}

/* A version waits only for one that is taken. */
static bool can_be(const struct arrival *arrival)
{
    return arrival->incoming != INCOMING_COMPLETE || arrival_is_taken(arrival);
}

static void every_event_in_every_state_is_as_the_flags_say(void **state)
{
    int steps = 0, refused = 0;
    (void)state;
    for (int incoming = 0; incoming < INCOMING_STATES; incoming++)
        for (int ready = 0; ready < READY_STATES; ready++)
            for (int event = 0; event < ARRIVAL_EVENTS; event++) {
                struct arrival arrival = {(enum incoming)incoming, (enum ready)ready};
                if (!can_be(&arrival))
                    continue;
                struct flags expected = flags_of(&arrival);
                flags_step(&expected, (enum arrival_event)event);
                const unsigned actions = arrival_step(&arrival, (enum arrival_event)event);
                struct flags got = flags_of(&arrival);
                got.actions = actions;
                if (!same_flags(&got, &expected))
                    fail_msg("incoming %d, ready %d, event %d: now %d and %d with actions %x; "
                             "expected %x",
                             incoming, ready, event, (int)arrival.incoming, (int)arrival.ready,
                             actions, expected.actions);
                assert_true(can_be(&arrival));
                steps++;
                refused += actions == ARRIVAL_REFUSED;
            }
    assert_int_equal(steps, (3 * READY_STATES + 2) * ARRIVAL_EVENTS);
    assert_in_range(refused, 1, steps - 1);
}

static void what_is_refused_changes_nothing(void **state)
{
    (void)state;
    for (int incoming = 0; incoming < INCOMING_STATES; incoming++)
        for (int ready = 0; ready < READY_STATES; ready++)
            for (int event = 0; event < ARRIVAL_EVENTS; event++) {
                struct arrival arrival = {(enum incoming)incoming, (enum ready)ready};
                if (arrival_step(&arrival, (enum arrival_event)event) != ARRIVAL_REFUSED)
                    continue;
                assert_int_equal(arrival.incoming, incoming);
                assert_int_equal(arrival.ready, ready);
            }
}

/* What a subscriber carries out, in numbers. */
struct world {
    bool reads, serves, trusted; // trusted: memory has not been found wrong since the last stage
    int64_t right, staged, dropped, lying; // versions; lying: complete and waiting
};

static void carry_out(struct world *world, const struct arrival *before, enum arrival_event event,
                      unsigned actions)
{
    if (event == ARRIVAL_POISON) {
        world->trusted = false;
        world->dropped += world->lying;
        world->lying = 0;
    }
    world->right += event == ARRIVAL_RIGHT;
    if (event == ARRIVAL_RIGHT)
        world->lying++;
    if (actions & ARRIVAL_FORGET)
        world->serves = false;
    if (actions & ARRIVAL_SERVE) {
        assert_true(world->trusted); // nothing that was found wrong is said to be served
        world->serves = true;
    }
    if (actions & ARRIVAL_STAGE) {
        /* The model reads the memory until it says that it has applied it. */
        assert_true(event == ARRIVAL_APPLIED || !arrival_is_taken(before));
        world->staged++;
        world->lying--;
        world->trusted = true;
    }
    if (actions & ARRIVAL_PAUSE) {
        assert_true(world->reads);
        world->reads = false;
    }
    if (actions & ARRIVAL_READ) {
        assert_false(world->reads);
        world->reads = true;
    }
}

static void whatever_happens_each_right_version_is_staged_or_dropped(void **state)
{
    int64_t staged = 0, waited = 0, dropped = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        const struct rng rng = rng_keyed(seed, RNG_TEST, 14, 0);
        struct arrival arrival = {.ready = seed % 2 ? READY_LOADED : READY_EMPTY};
        struct world world = {.reads = true, .serves = seed % 2, .trusted = true};
        for (uint64_t i = 0; i < 2000; i++) {
            /* Two of three events are in season, the others are any. */
            static const enum arrival_event season[] = {ARRIVAL_BEGIN, ARRIVAL_RIGHT, ARRIVAL_TAKE,
                                                        ARRIVAL_APPLIED};
            const uint64_t dice = rng_below(&rng, i, 3 * 4 * ARRIVAL_EVENTS);
            const enum arrival_event event =
                dice % 3 ? season[dice / 3 % 4] : (enum arrival_event)(dice / 3 % ARRIVAL_EVENTS);
            const struct arrival before = arrival;
            const unsigned actions = arrival_step(&arrival, event);
            if (actions & ARRIVAL_REFUSED) {
                assert_int_equal(actions, ARRIVAL_REFUSED);
                continue;
            }
            carry_out(&world, &before, event, actions);
            const bool waits = arrival.incoming == INCOMING_COMPLETE;
            assert_true(can_be(&arrival));
            assert_int_equal(world.reads, !waits); // memory that waits is never written to
            assert_int_equal(world.lying, waits);
            assert_int_equal(world.right, world.staged + world.lying + world.dropped);
            if (arrival.ready == READY_SERVED)
                assert_true(world.serves);
            if (arrival.ready == READY_TAINTED)
                assert_false(world.serves);
            waited += waits;
        }
        staged += world.staged;
        dropped += world.dropped;
    }
    assert_true(staged > 10000 && waited > 1000 && dropped > 100); // they do reach what matters
}

TESTS(cmocka_unit_test(every_event_in_every_state_is_as_the_flags_say),
      cmocka_unit_test(what_is_refused_changes_nothing),
      cmocka_unit_test(whatever_happens_each_right_version_is_staged_or_dropped))
