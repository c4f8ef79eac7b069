/* Every cause that can hold the run up, its words, and which goes first when several are there. */
#include "learner/steer/learner_hold.h"
#include "svc/peer.h"
#include "testing/testing.h"
#include <stdio.h>
#include <string.h>

/* A run that trains: nothing holds it up. */
static struct hold_facts fine(void)
{
    return (struct hold_facts){.run = "RUN",
                               .store = "RUN/store",
                               .needed = true,
                               .generators = {.connected = 2, .were = true},
                               .rewarders = {.connected = 1, .were = true},
                               .groups = 64};
}

static void store_silent(struct hold_facts *f)
{
    f->store_silent_s = 12;
}

static void unusable(struct hold_facts *f)
{
    f->generation_paused = f->by_breaker = true;
    snprintf(f->paused_why, sizeof f->paused_why, "64 slots in a row ...");
}

static void paused(struct hold_facts *f)
{
    f->training_paused = true;
    snprintf(f->paused_by, sizeof f->paused_by, "ann");
    if (!f->by_breaker)
        snprintf(f->paused_why, sizeof f->paused_why, "lunch");
}

static void disk(struct hold_facts *f)
{
    f->disk_low = true;
    f->disk_free = 3 << 20;
    f->disk_needed = 9 << 20;
}

static void no_generator(struct hold_facts *f)
{
    f->generators = (struct hold_peers){.were = true, .gone_s = 7, .last = "g-2 (1.2.3.4:5)"};
}

static void stream(struct hold_facts *f)
{
    f->rewarders.breaks = PEER_BREAKS;
    snprintf(f->rewarders.refused, sizeof f->rewarders.refused, "ipv4:1.2.3.4:5");
    snprintf(f->rewarders.refused_why, sizeof f->rewarders.refused_why, "group: malformed");
}

static void no_rewarder(struct hold_facts *f)
{
    f->rewarders.connected = 0;
    f->rewarders.gone_s = 8;
}

static void scorer_down(struct hold_facts *f)
{
    snprintf(f->rewarders.held_by, sizeof f->rewarders.held_by, "ipv4:1.2.3.4:5");
    snprintf(f->rewarders.held, sizeof f->rewarders.held, "rewarder.scorers[0] does not answer");
}

static void lease(struct hold_facts *f)
{
    f->has_lease = true;
    f->leased = 5;
    f->lease = (struct store_lease){.slot = 17, .prompt = 3, .leased_s = 30};
    snprintf(f->lease_holder, sizeof f->lease_holder, "generator-2");
}

static void straggler(struct hold_facts *f)
{
    f->idle = IDLE_STRAGGLER;
    lease(f);
}

static void weights(struct hold_facts *f)
{
    f->idle = IDLE_NO_GROUPS;
    f->leaseless_s = 60;
    f->has_worker = true;
    f->newest = 9;
    f->worker = (struct hold_worker){"generator-1", "old weights", 4};
}

static void leases(struct hold_facts *f)
{
    weights(f);
    f->worker = (struct hold_worker){"generator-1", "full", 9};
}

static void groups(struct hold_facts *f)
{
    f->idle = IDLE_NO_GROUPS;
    f->stored = 60;
    lease(f);
}

static void complete(struct hold_facts *f)
{
    f->complete = true;
    f->rounds = 12;
    f->newest = 24;
}

static void replay(struct hold_facts *f)
{
    f->replaying = true;
    f->replayed = 3;
    f->replays = 14;
}

static void evaluation(struct hold_facts *f)
{
    f->evaluating = true;
}

/* In order of precedence. */
static const struct {
    void (*set)(struct hold_facts *facts);
    enum hold_cause cause;
    const char *part[3];
} cases[] = {
    {complete, HOLD_COMPLETE, {"12 rounds", "version 24", "run.on_complete"}},
    {store_silent, HOLD_STORE, {"'RUN/store' has not answered for 12 s"}},
    {replay, HOLD_REPLAY, {"3 of 14 are done"}},
    {unusable, HOLD_UNUSABLE, {"64 slots in a row", "rlhfctl resume --run RUN"}},
    {paused, HOLD_PAUSED, {"paused by ann", "resume --run RUN"}},
    {disk, HOLD_DISK, {"'RUN/store' is low", "3 MiB free", "9 MiB are needed"}},
    {scorer_down,
     HOLD_SCORER_DOWN,
     {"nothing is leased", "ipv4:1.2.3.4:5 waits", "scorers[0] does not answer"}},
    {no_generator,
     HOLD_NO_GENERATOR,
     {"no generator is connected", "the last, g-2 (1.2.3.4:5), left 7 s ago"}},
    {stream, HOLD_STREAM, {"ipv4:1.2.3.4:5", "3 times", "malformed"}},
    {no_rewarder, HOLD_NO_REWARDER, {"no rewarder is connected", "8 s ago"}},
    {straggler, HOLD_STRAGGLER, {"slot 17 (row 3)", "generator-2", "30 s ago"}},
    {weights, HOLD_WEIGHTS, {"generator-1 waits for new weights", "is 9", "serves 4"}},
    {groups, HOLD_GROUPS, {"60 of 64 groups", "slot 17", "generator-2"}},
    {evaluation, HOLD_EVALUATION, {"last version"}},
};
enum { CASES = sizeof cases / sizeof *cases };

static void assert_case(size_t i, const struct hold_facts *facts)
{
    struct hold hold = learner_hold(facts);
    if (hold.cause != cases[i].cause)
        print_error("'%s' instead of '%s': %s\n", hold_word(hold.cause), hold_word(cases[i].cause),
                    hold.text);
    assert_int_equal(hold.cause, cases[i].cause);
    for (int p = 0; p < 3 && cases[i].part[p]; p++)
        if (!strstr(hold.text, cases[i].part[p]))
            fail_msg("no '%s' in: %s", cases[i].part[p], hold.text);
}

static void each_cause_has_its_words(void **)
{
    struct hold_facts facts = fine();
    assert_int_equal(learner_hold(&facts).cause, HOLD_NONE);
    for (size_t i = 0; i < CASES; i++) {
        facts = fine();
        cases[i].set(&facts);
        assert_case(i, &facts);
    }
}

static void the_first_of_several_is_named(void **)
{
    for (size_t i = 0; i < CASES; i++)
        for (size_t j = i + 1; j < CASES; j++) {
            struct hold_facts facts = fine();
            cases[j].set(&facts);
            cases[i].set(&facts);
            assert_case(i, &facts);
        }
}

static void words_that_depend(void **)
{
    struct hold_facts facts = fine();
    facts.generators = (struct hold_peers){.gone_s = 4, .refused = "g", .refused_why = "run 'x'"};
    assert_non_null(strstr(learner_hold(&facts).text, "no generator has connected yet, for 4 s"));
    assert_non_null(strstr(learner_hold(&facts).text, "refused: g: run 'x'"));
    facts.needed = false; // the last rounds have all they need
    assert_int_equal(learner_hold(&facts).cause, HOLD_NONE);
    facts.evaluating = true;
    assert_int_equal(learner_hold(&facts).cause, HOLD_NO_GENERATOR);
    facts = fine();
    leases(&facts);
    assert_int_equal(learner_hold(&facts).cause, HOLD_LEASES);
    assert_non_null(strstr(learner_hold(&facts).text, "generator-1 is granted no slots (full)"));
    facts.leaseless_s = 1; // between two rounds
    assert_int_equal(learner_hold(&facts).cause, HOLD_NONE);
    facts = fine();
    groups(&facts);
    facts.unusable = 12;
    assert_non_null(strstr(learner_hold(&facts).text, "the last 12 slots left without"));
    facts = fine();
    paused(&facts);
    assert_non_null(strstr(learner_hold(&facts).text, "training is paused by ann: lunch"));
    facts.generation_paused = true;
    assert_non_null(strstr(learner_hold(&facts).text, "generation and training are paused"));
}

TESTS(cmocka_unit_test(each_cause_has_its_words), cmocka_unit_test(the_first_of_several_is_named),
      cmocka_unit_test(words_that_depend))
