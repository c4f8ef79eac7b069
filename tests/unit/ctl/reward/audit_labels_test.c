/* Flipped labels, and who flips them: drawn with known flips, and found again. */
#include "audit_kit.h"
#include "ctl/reward/audit_flips.h"
#include "ctl/reward/audit_groups.h"
#include "testing/testing.h"
#include <math.h>

enum { PAIRS = 4000 };

struct drawn {
    struct audit_pairs pairs;
    double *margin, *deviation;
    bool *flipped;
};

static void drawn_done(struct drawn *d)
{
    audit_pairs_done(&d->pairs);
    mem_free(d->margin);
    mem_free(d->deviation);
    mem_free(d->flipped);
}

typedef bool flips(const struct audit_pair *pair, double u);

/* The model is calibrated: a true label is for the larger score with sigmoid(|margin|), so 9 % are
 * against it anyway. */
static struct drawn draw(flips *flip)
{
    struct drawn d = {kit_pairs(PAIRS, 5, 0, NULL), mem_array(PAIRS, sizeof(double)),
                      mem_array(PAIRS, sizeof(double)), mem_array(PAIRS, sizeof(bool))};
    for (size_t i = 0; i < PAIRS; i++) {
        struct audit_pair *pair = &d.pairs.at[i];
        const struct rng rng = rng_keyed(9, RNG_TEST, i, 2);
        pair->annotator = (int)(i % 4);
        const double size = fabs(3.5 + 2 * rng_normal(&rng, 0));
        d.margin[i] = rng_uniform(&rng, 5) < 1 / (1 + exp(-size)) ? size : -size;
        d.deviation[i] = 0.2;
        d.flipped[i] = flip(pair, rng_uniform(&rng, 9));
        if (d.flipped[i])
            d.margin[i] = -d.margin[i];
    }
    for (int k = 0; k < 4; k++) {
        d.pairs.annotators.at = mem_grow(d.pairs.annotators.at, (size_t)k + 1, sizeof(char *));
        d.pairs.annotators.at[k] = mem_printf("a%d", k);
    }
    d.pairs.annotators.count = 4;
    return d;
}

static double recall(const struct drawn *d, const struct audit_flips *flips)
{
    double found = 0, all = 0;
    for (size_t i = 0; i < PAIRS; i++)
        all += d->flipped[i];
    for (size_t i = 0; i < flips->listed; i++)
        found += d->flipped[flips->order[i]];
    return found / all;
}

static bool nobody(const struct audit_pair *, double)
{
    return false;
}

static bool anybody(const struct audit_pair *, double u)
{
    return u < 0.05;
}

static bool third(const struct audit_pair *pair, double u)
{
    return pair->annotator == 2 && u < 0.2;
}

static bool longest(const struct audit_pair *pair, double u)
{
    return kit_gap(pair) >= 4 && u < 0.8;
}

static void flips_of_anybody(void **)
{
    SCOPED_VALUE(drawn) d = draw(anybody);
    SCOPED_VALUE(audit_flips) flips = {0};
    audit_flips_find(&d.pairs, d.margin, d.deviation, 0.1, &flips);
    assert_int_equal(flips.listed, PAIRS / 10);
    assert_int_equal(flips.scored, PAIRS);
    assert_true(recall(&d, &flips) > 0.75);
    assert_true(flips.longer_p > 0.05);
    for (size_t i = 1; i < flips.listed; i++)
        assert_true(flips.chance[flips.order[i - 1]] >= flips.chance[flips.order[i]]);
    for (int k = 0; k < 4; k++) // one and the same for all
        assert_near(flips.annotator[k], flips.share, 0.03);
}

static void an_annotator_who_flips(void **)
{
    SCOPED_VALUE(drawn) d = draw(third);
    SCOPED_VALUE(audit_flips) flips = {0};
    SCOPED_VALUE(audit_groups) groups = {0};
    audit_flips_find(&d.pairs, d.margin, d.deviation, 0.1, &flips);
    audit_groups_count(&d.pairs, AUDIT_BY_ANNOTATOR, d.margin, &groups);
    assert_true(recall(&d, &flips) > 0.85);
    assert_true(flips.annotator[2] > 0.15 && flips.annotator[2] < 0.3);
    for (size_t k = 0; k < 4; k++) {
        assert_true(k == 2 ? groups.at[k].against_p < 1e-6 : groups.at[k].against_p > 0.05);
        assert_true(k == 2 || flips.annotator[k] < 0.05);
        assert_true(groups.at[k].longer_p > 0.05 && groups.at[k].pairs == PAIRS / 4);
    }
}

static void flips_that_favour_the_longer(void **)
{
    SCOPED_VALUE(drawn) d = draw(longest);
    SCOPED_VALUE(audit_flips) flips = {0};
    audit_flips_find(&d.pairs, d.margin, d.deviation, 0.1, &flips);
    assert_true(recall(&d, &flips) > 0.85);
    assert_true(flips.longer_p < 1e-6);
    const struct audit_bin *last = &flips.bin[flips.bins - 1];
    assert_true(last->flips / last->pairs > 0.5);
    assert_true(flips.bin[0].flips / flips.bin[0].pairs < 0.05);
}

static void a_clean_set_has_few(void **)
{
    SCOPED_VALUE(drawn) d = draw(nobody);
    SCOPED_VALUE(audit_flips) flips = {0};
    SCOPED_VALUE(audit_groups) groups = {0};
    audit_flips_find(&d.pairs, d.margin, d.deviation, 0.1, &flips);
    audit_groups_count(&d.pairs, AUDIT_BY_ANNOTATOR, d.margin, &groups);
    assert_true(flips.share < 0.02 && flips.longer_p > 0.05);
    for (size_t k = 0; k < 4; k++)
        assert_true(groups.at[k].against_p > 0.05);
}

/* Of two pairs with one margin the one that models agree on is the more suspect. */
static void uncertain_margins_count_less(void **)
{
    SCOPED_VALUE(drawn) d = draw(anybody);
    SCOPED_VALUE(audit_flips) flips = {0};
    d.margin[7] = d.margin[8] = -3;
    d.deviation[8] = 4;
    d.margin[9] = NAN;
    audit_flips_find(&d.pairs, d.margin, d.deviation, 0.1, &flips);
    assert_true(flips.chance[7] > flips.chance[8] + 0.1);
    assert_true(isnan(flips.chance[9]));
    assert_int_equal(flips.scored, PAIRS - 1);
}

static void margins_of_none(void **)
{
    SCOPED_VALUE(drawn) d = draw(anybody);
    SCOPED_VALUE(audit_flips) flips = {0};
    for (size_t i = 0; i < PAIRS; i++)
        d.margin[i] = NAN;
    audit_flips_find(&d.pairs, d.margin, d.deviation, 0.1, &flips);
    assert_true(!flips.scored && !flips.listed);
}

static void lengths_by_quarters(void **)
{
    SCOPED_VALUE(drawn) d = draw(nobody);
    struct audit_length length;
    double compared = 0, longer = 0;
    for (size_t i = 0; i < PAIRS; i++)
        if (kit_gap(&d.pairs.at[i]) < -3) { // the longest win
            struct audit_pair *pair = &d.pairs.at[i];
            const int words = pair->winner_words;
            pair->winner_words = pair->loser_words;
            pair->loser_words = words;
        }
    audit_length_count(&d.pairs, d.margin, &length);
    for (int q = 0; q < AUDIT_QUARTERS; q++) {
        compared += length.quarter[q].compared;
        longer += length.quarter[q].longer;
        assert_true(!q || length.quarter[q].words >= length.quarter[q - 1].words);
    }
    assert_true(compared == length.compared && longer == length.longer);
    assert_near(length.quarter[0].longer / length.quarter[0].compared, 0.5, 0.1);
    assert_true(length.quarter[3].longer / length.quarter[3].compared > 0.8);
    assert_true(fabs(length.correlation) < 0.1);
}

TESTS(cmocka_unit_test(flips_of_anybody), cmocka_unit_test(an_annotator_who_flips),
      cmocka_unit_test(flips_that_favour_the_longer), cmocka_unit_test(a_clean_set_has_few),
      cmocka_unit_test(uncertain_margins_count_less), cmocka_unit_test(margins_of_none),
      cmocka_unit_test(lengths_by_quarters))
