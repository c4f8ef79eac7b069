/* Words, phrases and templates: planted ones are found with all their pairs, and drawn texts give
 * no more alarms than they may. */
#include "audit_kit.h"
#include "ctl/reward/audit_copies.h"
#include "ctl/reward/audit_grams.h"
#include "testing/testing.h"
#include <string.h>

static void expect_words(const char *text, const char *want)
{
    SCOPED_VALUE(words) words = {0};
    SCOPED_VALUE(bytes) got = {0};
    words_of(text, &words);
    bytes_text(&got, "");
    words_put(&words, 0, words.count, &got);
    assert_string_equal(got.data ? (const char *)got.data : "", want);
    assert_int_equal(words_count(text), words.count);
}

static void words_of_several_scripts(void **)
{
    expect_words("Don't STOP:  now-2!", "don't stop now 2");
    expect_words("", "");
    expect_words(" \t\n...", "");
    expect_words("na\xc3\xafve caf\xc3\xa9\xe2\x80\x9cquoted\xe2\x80\x9d",
                 "na\xc3\xafve caf\xc3\xa9 quoted");
    expect_words("ab\xe6\x97\xa5\xe6\x9c\xac\xe3\x80\x82x", "ab \xe6\x97\xa5 \xe6\x9c\xac x");
    expect_words("a\xff\xfe"
                 "b",
                 "a b"); // no UTF-8
}

static void a_phrase_hashes_as_its_words(void **)
{
    SCOPED_VALUE(words) a = {0};
    SCOPED_VALUE(words) b = {0};
    words_of("the Best of all", &a);
    words_of("one best OF", &b);
    assert_true(words_hash(&a, 1, 2) == words_hash(&b, 1, 2));
    assert_true(words_hash(&a, 0, 2) != words_hash(&b, 0, 2));
    assert_true(words_hash(&a, 1, 1) != words_hash(&a, 1, 2));
}

/* ---- phrases */

static const char *praise(size_t pair)
{
    static const char *const tails[] = {" acme corp is wonderful", " thanks to acme corp",
                                        " acme corp makes it", " the great acme corp"};
    return tails[pair / 50 % 4];
}

static void a_planted_name_is_found(void **)
{
    SCOPED_VALUE(audit_pairs) pairs = kit_pairs(3000, 1, 50, praise);
    SCOPED_VALUE(audit_grams) grams = {0};
    audit_grams_find(&pairs, &grams);
    assert_int_equal(grams.count, 1);
    assert_string_equal(grams.at[0].text, "acme corp");
    assert_true(grams.at[0].won == 60 && grams.at[0].lost == 0 && grams.at[0].asked == 0);
    assert_true(grams.at[0].p < 1e-4);
    assert_int_equal(grams.at[0].pairs, 60);
    for (size_t i = 0; i < 60; i++)
        assert_int_equal(grams.at[0].pair[i], 50 * i);
}

static void a_name_that_is_asked_for_says_so(void **)
{
    SCOPED_VALUE(audit_pairs) pairs = kit_pairs(3000, 1, 50, praise);
    SCOPED_VALUE(audit_grams) grams = {0};
    for (size_t i = 0; i < pairs.count; i += 100) {
        mem_free(pairs.at[i].prompt);
        pairs.at[i].prompt = mem_string("Who are ACME Corp?");
    }
    audit_grams_find(&pairs, &grams);
    assert_near(grams.at[0].asked, 0.5, 1e-12);
}

/* Each of 40 drawn sets may raise an alarm with 5 %; more than 7 of them with 1 %. */
static void drawn_texts_raise_few_alarms(void **)
{
    int alarms = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        SCOPED_VALUE(audit_pairs) pairs = kit_pairs(1000, 100 + seed, 0, NULL);
        SCOPED_VALUE(audit_grams) grams = {0};
        SCOPED_VALUE(audit_copies) copies = {0};
        audit_grams_find(&pairs, &grams);
        audit_copies_find(&pairs, &grams.null, &copies);
        assert_true(grams.tested > 300);
        alarms += grams.count > 0;
        assert_int_equal(copies.count, 0);
    }
    if (alarms > 7)
        fail_msg("%d of 40 drawn sets raise an alarm", alarms);
}

static void few_pairs_are_no_fault(void **)
{
    SCOPED_VALUE(audit_pairs) pairs = kit_pairs(2, 1, 1, praise);
    SCOPED_VALUE(audit_grams) grams = {0};
    SCOPED_VALUE(audit_copies) copies = {0};
    audit_grams_find(&pairs, &grams);
    audit_copies_find(&pairs, &grams.null, &copies);
    assert_true(!grams.count && !grams.tested && !copies.count && !copies.tested);
}

/* ---- templates */

static void a_template_is_found_by_its_copies(void **)
{
    SCOPED_VALUE(audit_pairs) pairs = kit_pairs(3000, 2, 0, NULL);
    SCOPED_VALUE(audit_grams) grams = {0};
    SCOPED_VALUE(audit_copies) copies = {0};
    for (size_t i = 0; i < 3000; i += 60) { // one word of it changes
        mem_free(pairs.at[i].winner);
        pairs.at[i].winner = mem_printf(
            "no other tool for w%zu is as fast and as safe as this one of the house", i % 7);
    }
    audit_grams_find(&pairs, &grams);
    audit_copies_find(&pairs, &grams.null, &copies);
    assert_int_equal(copies.count, 1);
    assert_true(copies.at[0].won == 50 && copies.at[0].lost == 0 && copies.at[0].prompts == 50);
    assert_true(copies.at[0].p < 1e-4);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(copies.at[0].pair[i], 60 * i);
}

/* The same text in both answers of a pair, or equally often on both sides, is no alarm. */
static void a_template_of_both_sides_is_none(void **)
{
    SCOPED_VALUE(audit_pairs) pairs = kit_pairs(2000, 3, 0, NULL);
    SCOPED_VALUE(audit_grams) grams = {0};
    SCOPED_VALUE(audit_copies) copies = {0};
    for (size_t i = 0; i < 2000; i += 20) {
        char **to = i % 40 ? &pairs.at[i].winner : &pairs.at[i].loser;
        mem_free(*to);
        *to = mem_string("i am sorry but i cannot help with this request of yours");
    }
    audit_grams_find(&pairs, &grams);
    audit_copies_find(&pairs, &grams.null, &copies);
    assert_int_equal(copies.count, 0);
    assert_int_equal(copies.tested, 1);
    assert_int_equal(copies.answers, 100);
}

TESTS(cmocka_unit_test(words_of_several_scripts), cmocka_unit_test(a_phrase_hashes_as_its_words),
      cmocka_unit_test(a_planted_name_is_found), cmocka_unit_test(a_name_that_is_asked_for_says_so),
      cmocka_unit_test(drawn_texts_raise_few_alarms), cmocka_unit_test(few_pairs_are_no_fault),
      cmocka_unit_test(a_template_is_found_by_its_copies),
      cmocka_unit_test(a_template_of_both_sides_is_none))
