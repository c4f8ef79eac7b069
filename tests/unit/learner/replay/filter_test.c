/* The operators' filter: every key and operator, and what is refused. */
#include "base/mem.h"
#include "base/rng.h"
#include "learner/replay/filter.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

static const struct listed stored = {.slot = 12,
                                     .prompt = 3,
                                     .epoch = 1,
                                     .oldest_version = 17,
                                     .lag = 2,
                                     .attempt = 4,
                                     .lineage = 9,
                                     .stored = true,
                                     .reward = 0.25,
                                     .tokens = 100,
                                     .generator = "g0"};

static bool holds(const char *text, const struct listed *group)
{
    struct filter filter;
    assert_ok(filter_parse(text, &filter));
    return filter_holds(&filter, group);
}

static void every_key_with_every_operator(void **)
{
    static const struct {
        const char *key;
        const char *below, *same, *above;
    } keys[] = {{"slot", "11", "12", "13"},      {"prompt", "2", "3", "4"},
                {"epoch", "0", "1", "2"},        {"version", "16", "17", "18446744073709551615"},
                {"lag", "0", "2", "3"},          {"attempt", "3", "4", "5"},
                {"lineage", "8", "9", "10"},     {"tokens", "99", "100", "101"},
                {"reward", "-1e3", "0.25", "1."}};
    static const struct {
        const char *name;
        bool below, same, above; // whether it holds for the value compared with these
    } operators[] = {{"=", false, true, false}, {"!=", true, false, true},
                     {"<", false, false, true}, {"<=", false, true, true},
                     {">", true, false, false}, {">=", true, true, false}};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        for (size_t o = 0; o < sizeof operators / sizeof *operators; o++) {
            const char *values[] = {keys[k].below, keys[k].same, keys[k].above};
            bool wanted[] = {operators[o].below, operators[o].same, operators[o].above};
            for (int v = 0; v < 3; v++) {
                SCOPED_MEM char *term =
                    mem_printf("%s%s%s", keys[k].key, operators[o].name, values[v]);
                if (holds(term, &stored) != wanted[v])
                    fail_msg("'%s' should be %d", term, wanted[v]);
            }
        }
}

static void states_and_names(void **)
{
    struct listed leased = stored;
    leased.stored = false;
    assert_true(holds("state=stored", &stored) && !holds("state=stored", &leased));
    const struct listed kept = {.quarantined = true, .tokens = 9, .generator = "g"};
    assert_true(holds("state=quarantined tokens>8", &kept) && !holds("state=leased", &kept));
    assert_true(!holds("reward<1", &kept) && !holds("state=quarantined", &stored));
    assert_true(holds("state!=stored", &leased) && holds("state=leased", &leased));
    assert_true(holds("generator=g0", &stored) && !holds("generator=g", &stored));
    assert_true(holds("generator!=g", &stored) && holds("generator!=a=b<c", &stored));
    /* what a leased group has not got is neither equal nor unequal to anything */
    assert_false(holds("reward<1", &leased) || holds("reward!=1", &leased));
    assert_false(holds("tokens=0", &leased) || holds("tokens!=0", &leased));
    assert_true(holds("lag>=2 version<=17", &leased));
}

static void all_terms_must_hold(void **)
{
    assert_true(holds("", &stored) && holds("   ", &stored));
    assert_true(holds("  state=stored   lag>=2 reward<0.5 ", &stored));
    assert_false(holds("state=stored lag>2", &stored));
    assert_false(holds("lag>2 state=stored", &stored));
    assert_true(holds("slot>10 slot<13", &stored));
}

static void refuse(const char *text, const char *part)
{
    struct filter filter = {.terms = 77};
    assert_err(ERR_INVALID, part, filter_parse(text, &filter));
    assert_int_equal(filter.terms, 77);
}

static void rubbish_is_refused(void **)
{
    refuse("color=red", "'color=red': a term is KEY OPERATOR VALUE");
    refuse("slot", "KEY one of state generator reward");
    refuse("=3", "KEY OPERATOR VALUE");
    refuse("slot = 3", "'slot'");
    refuse("slot=", "1 to 255 bytes");
    refuse("slot!3", "the operators are = != < <= > >=");
    refuse("slot==3", "whole number");
    refuse("slot=-1", "whole number");
    refuse("slot=1e3", "whole number");
    refuse("slot=0x10", "whole number");
    refuse("slot=18446744073709551616", "whole number");
    refuse("reward<nan", "a reward is a number");
    refuse("reward<inf", "a reward is a number");
    refuse("reward<1e999", "a reward is a number");
    refuse("reward<0x1p3", "a reward is a number");
    refuse("reward<1.5.2", "a reward is a number");
    refuse("state=gone", "leased, stored, quarantined");
    refuse("state>leased", "= and !=");
    refuse("generator<=g0", "= and !=");
    refuse("slot=1\tlag=2", "whole number");
    refuse("slot=1\nlag=2", "whole number");
    refuse("SLOT=1", "KEY one of");
}

static void limits(void **)
{
    struct filter filter;
    SCOPED_MEM char *many = mem_new(8 * FILTER_TERMS + 16);
    for (int i = 0; i < FILTER_TERMS; i++)
        memcpy(many + 8 * i, "slot>=0 ", 8);
    assert_ok(filter_parse(many, &filter));
    assert_int_equal(filter.terms, FILTER_TERMS);
    memcpy(many + 8 * FILTER_TERMS, "lag=0", 6);
    refuse(many, "more than 32 terms");
    SCOPED_MEM char *name = mem_new(FILTER_MAX_BYTES + 16);
    memcpy(name, "generator=", 10);
    memset(name + 10, 'x', 255);
    assert_ok(filter_parse(name, &filter));
    assert_int_equal(strlen(filter.term[0].text), 255);
    name[265] = 'x';
    refuse(name, "1 to 255 bytes");
    memset(name, ' ', FILTER_MAX_BYTES + 1);
    refuse(name, "4097 bytes");
}

/* Whatever comes is taken or refused, and nothing else. */
static void random_bytes(void **)
{
    static const char alphabet[] = "slotreward=!<> 0123456789.-e\t\"\\\x01\xff";
    struct rng rng = rng_keyed(5, RNG_SHUFFLE, 0, 0);
    for (uint64_t i = 0, draw = 0; i < 20000; i++) {
        char text[64] = "";
        size_t len = (size_t)(rng_uniform(&rng, draw++) * 60);
        for (size_t c = 0; c < len; c++)
            text[c] = alphabet[(size_t)(rng_uniform(&rng, draw++) * (sizeof alphabet - 1))];
        struct filter filter;
        err_t failed = filter_parse(text, &filter);
        if (err_failed(failed))
            assert_int_equal(err_code(failed), ERR_INVALID);
        else
            filter_holds(&filter, &stored);
        err_free(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_with_every_operator),
        cmocka_unit_test(states_and_names),
        cmocka_unit_test(all_terms_must_hold),
        cmocka_unit_test(rubbish_is_refused),
        cmocka_unit_test(limits),
        cmocka_unit_test(random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
