/* Whose turn it is: seconds of evaluation against those of training, and nothing owed where nobody
 * waits. */
#include "generator/turns.h"
#include "testing/testing.h"

static void an_idle_thread_steps_whoever_has_work(void **state)
{
    (void)state;
    struct turns turns = {0};
    enum track_kind kind;
    assert_false(turns_next(&turns, false, false, &kind));
    assert_true(turns_next(&turns, true, false, &kind));
    assert_int_equal(kind, TRACK_TRAINING);
    turns.credit_s = -5;
    assert_true(turns_next(&turns, false, true, &kind));
    assert_int_equal(kind, TRACK_EVALUATION);
    turns_took(&turns, TRACK_EVALUATION, 3, false); // training had nothing: nothing is owed
    assert_true(turns.credit_s == 0);
    turns_took(&turns, TRACK_TRAINING, 100, false); // nor saved up for an evaluation to come
    assert_true(turns.credit_s == 0);
}

/* Steps of any lengths: of training's seconds an eighth, and never two long ones in a row. */
static void beside_training_it_gets_an_eighth(void **state)
{
    (void)state;
    static const double steps[][2] = {{0.010, 0.010}, {0.100, 0.002}, {0.003, 0.200}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct turns turns = {0};
        double spent[TRACKS] = {0}, wait = 0, longest = 0;
        while (spent[TRACK_TRAINING] < 100) {
            enum track_kind kind;
            assert_true(turns_next(&turns, true, true, &kind));
            spent[kind] += steps[i][kind];
            wait = kind == TRACK_EVALUATION ? wait + steps[i][kind] : 0;
            longest = wait > longest ? wait : longest;
            turns_took(&turns, kind, steps[i][kind], true);
        }
        assert_near(spent[TRACK_EVALUATION] / spent[TRACK_TRAINING], 0.125, 0.005);
        assert_true(longest <= steps[i][TRACK_EVALUATION] + steps[i][TRACK_TRAINING] / 8);
    }
}

TESTS(cmocka_unit_test(an_idle_thread_steps_whoever_has_work),
      cmocka_unit_test(beside_training_it_gets_an_eighth))
