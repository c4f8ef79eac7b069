/* The tables that others read: objectives, words, figures; and the gate and the estimators that the
 * words name. */
#include "rl/objective.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

/* What others read of a row is what it computes with, and every row can be computed. */
static void the_table_is_whole(void **state)
{
    (void)state;
    const struct objective *objective;
    size_t i = 0;
    for (; (objective = objective_at(i)); i++) {
        const struct objective_row *row = objective_row_at(i);
        assert_ptr_equal(objective_find(row->name), objective);
        assert_string_equal(objective_row(row->name)->help, objective->row.help);
        assert_memory_equal(&row->defaults, &objective->row.defaults, sizeof row->defaults);
        assert_ok(objective_check(objective, &row->defaults));
        assert_true(strstr(OBJECTIVE_WORDS, row->name) != NULL);
        assert_true(row->outputs & (OUTPUT_LOGP | OUTPUT_VALUE));
        assert_true(objective->kernel != NULL);
        assert_int_equal(objective_needs(objective, &row->defaults) & row->needs, row->needs);
    }
    assert_null(objective_row_at(i));
    assert_null(objective_find("rlooo"));
    assert_null(objective_row("rlooo"));
    assert_true(objective_compares(objective_row("rloo"), ADVANTAGE_LOO));
    assert_false(objective_compares(objective_row("rloo"), ADVANTAGE_RAW));
    assert_true(objective_compares(objective_row("online_dpo"), ADVANTAGE_ONE));
    assert_false(objective_compares(objective_row("sft"), ADVANTAGE_ONE));
}

/* Every word is found again, and what has none is named so. */
static void words_are_found_by_their_names(void **state)
{
    (void)state;
    const struct word_row *row;
    size_t words = 0;
#define FOUND(type)                                                                                \
    for (size_t i = 0; (row = type##_word(i)); i++, words++) {                                     \
        enum type found = (enum type)0;                                                            \
        assert_true(type##_find(row->word, &found));                                               \
        assert_int_equal(found, row->value);                                                       \
        assert_string_equal(type##_name(found), row->word);                                        \
    }                                                                                              \
    assert_false(type##_find("k4", &(enum type){0}))
    FOUND(gate);
    FOUND(ratio_base);
    FOUND(mask);
    FOUND(ratio);
    FOUND(advantage);
    FOUND(correction);
    FOUND(reduce);
    FOUND(kl);
    FOUND(pair_loss);
    FOUND(score);
    FOUND(nll);
    FOUND(anchor);
    FOUND(label_loss);
    FOUND(label_rule);
    FOUND(list_loss);
    FOUND(residual);
    FOUND(residual_base);
    FOUND(objective_unit);
    FOUND(objective_data);
#undef FOUND
    assert_true(words > 30);
    assert_string_equal(advantage_name(ADVANTAGE_ONE), "none");
    assert_string_equal(WORD_LIST(RATIOS), "token|sequence|geometric");
    assert_string_equal(WORD_LIST_AFTER("default", RATIOS), "default|token|sequence|geometric");
}

static void a_clipped_token_gets_no_slope(void **state)
{
    (void)state;
    const struct gate_config clip = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.3};
    static const struct {
        double advantage, ratio, loss, slope;
        bool clipped;
    } cases[] = {
        {1, 1.1, -1.1, -1.1, false}, {1, 1.4, -1.3, 0, true}, {1, 0.5, -0.5, -0.5, false},
        {-1, 1.4, 1.4, 1.4, false},  {-1, 0.5, 0.8, 0, true}, {-1, 0.9, 0.9, 0.9, false},
        {0, 2, 0, 0, false},         {-2, 0.7, 1.6, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gate_value v = gate_at(&clip, cases[i].advantage, log(cases[i].ratio), -1);
        assert_near(v.loss, cases[i].loss, 1e-15);
        assert_near(v.slope, cases[i].slope, 1e-15);
        assert_int_equal(v.clipped, cases[i].clipped);
    }
    struct gate_value far = gate_at(&clip, -1, 500, -1);
    assert_true(isfinite(far.loss) && far.slope == 0);
    far = gate_at(&(struct gate_config){GATE_CAP, .cap = 2}, -1, 500, -3);
    assert_true(far.loss == -6 && far.slope == 2 && far.clipped);
}

/* A round's figures: means over its updates, counts are sums. */
static void figures_of_updates_become_a_rounds(void **state)
{
    (void)state;
    struct rl_figures round = {0};
    rl_figures_add(&round, &(struct rl_figures){.clip_frac = 0.5, .pairs = 3});
    rl_figures_add(&round, &(struct rl_figures){.clip_frac = 0.1, .pairs = 4});
    rl_figures_average(&round, 2);
    assert_true(round.clip_frac == 0.3 && round.pairs == 7);
    assert_true(round.at[FIGURE_clip_frac] == 0.3);
    assert_string_equal(rl_figure_name(FIGURE_clip_frac), "clip_frac");
    struct rl_figures none = {0}; // no update had anything to train
    rl_figures_average(&none, 0);
    assert_true(isnan(none.clip_frac) && none.pairs == 0);
}

static void estimators_stay_finite(void **state)
{
    (void)state;
    for (int i = KL_K1; i <= KL_K3_PLUS; i++) {
        assert_true(isfinite(kl_at((enum kl)i, -1e9).value));
        assert_true(kl_at((enum kl)i, -1e9).slope == 0 && kl_at((enum kl)i, 0).value == 0);
    }
}

TESTS(cmocka_unit_test(the_table_is_whole), cmocka_unit_test(words_are_found_by_their_names),
      cmocka_unit_test(a_clipped_token_gets_no_slope),
      cmocka_unit_test(figures_of_updates_become_a_rounds),
      cmocka_unit_test(estimators_stay_finite))
