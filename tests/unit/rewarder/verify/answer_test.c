#include "base/mem.h"
#include "rewarder/verify/answer.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"
#include <string.h>

/* "" where none is found. */
static void finds(enum answer_place place, const char *text, const char *want)
{
    struct text_slice got = {"", 0};
    const bool found = answer_find((struct text_slice){text, strlen(text)}, place, &got);
    if (found != (*want != 0) || !scorer_same(got, (struct text_slice){want, strlen(want)}))
        fail_msg("'%s': found %d, '%.*s', not '%s'", text, found, (int)got.len, got.data, want);
}

static void the_last_box_counts(void **state)
{
    (void)state;
    finds(ANSWER_BOXED, "first \\boxed{1}, then \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}");
    finds(ANSWER_BOXED, "\\boxed{\\{1,2\\}}", "\\{1,2\\}");
    finds(ANSWER_BOXED, "so $\\boxed 5$", "5");
    finds(ANSWER_BOXED, "so $\\boxed{1}$ and \\(\\boxed{2}\\).", "\\boxed{1}$ and \\(\\boxed{2}");
    finds(ANSWER_BOXED, "\\boxed{1}, no: \\boxed{2}", "2");
    finds(ANSWER_BOXED, "so $\\fbox{5}$", "5");
    finds(ANSWER_BOXED, "cut off: \\boxed{1 + \\frac{1}{2", "");
    finds(ANSWER_BOXED, "the answer is 5", "");
    finds(ANSWER_BOXED, "", "");
}

static void others_by_their_order(void **state)
{
    (void)state;
    finds(ANSWER_HASH, "1+1=2\n#### 1,234\nbye", "1,234");
    finds(ANSWER_HASH, "1+1=2", "");
    finds(ANSWER_AUTO, "#### 5\nso \\boxed{6}", "6");
    finds(ANSWER_AUTO, "The answer is 42.", "42");
    finds(ANSWER_AUTO, "the final answer is $x = \\frac{1}{2}$. I hope it is correct.",
          "x = \\frac{1}{2}");
    finds(ANSWER_AUTO, "**Answer:** 3 apples. That is it.", "3 apples");
    finds(ANSWER_AUTO, "Final Answer: The largest $n$ is 34.", "34");
    finds(ANSWER_AUTO, "Answer:\n\\(7\\)", "7");
    finds(ANSWER_AUTO, "we get $a=1$ and then $b=2$", "b=2");
    finds(ANSWER_AUTO, "first 1, then 2/3 of them", "2/3");
    finds(ANSWER_AUTO, "that makes 7-3", "3");
    finds(ANSWER_AUTO, "that makes -3%", "-3%");
    finds(ANSWER_AUTO, "I do not know", "");
    finds(ANSWER_WHOLE, " 5 ", "5");
}

static void what_a_row_holds(void **state)
{
    (void)state;
    const char *solution = "Each has 3.\n#### 18";
    struct text_slice got = answer_wanted((struct text_slice){solution, strlen(solution)});
    assert_true(scorer_same(got, (struct text_slice){"18", 2}));
    got = answer_block((struct text_slice){"Here:\n```json\n{\"a\": 1}\n```\nDone", 32});
    assert_true(scorer_same(got, (struct text_slice){"{\"a\": 1}", 8}));
    got = answer_block((struct text_slice){"{}", 2});
    assert_true(scorer_same(got, (struct text_slice){"{}", 2}));
}

static double scored(const char *row, const char *text)
{
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_JSON json_t *object = NULL;
    double one = -1, reward;
    assert_ok(kit_open("[{kind: verify, check: math, column: answer}]", &kit));
    assert_ok(json_parse(row, strlen(row), "row", &object));
    assert_ok(kit_score_text(&kit, object, text, strlen(text), FINISH_EOS, &one, &reward));
    return one;
}

static void a_stage_scores(void **state)
{
    (void)state;
    assert_near(scored("{\"answer\": \"\\\\frac{1}{2}\"}", "It is \\boxed{0.5}."), 1, 0);
    assert_near(scored("{\"answer\": \"So 9.\\n#### 18\"}", "The answer is 18."), 1, 0);
    assert_near(scored("{\"answer\": 18}", "The answer is 18."), 1, 0);
    assert_near(scored("{\"answer\": 0.5}", "\\boxed{\\frac12}"), 1, 0);
    assert_near(scored("{\"answer\": 18}", "The answer is 19."), 0, 0);
    assert_near(scored("{\"answer\": 18}", "no idea"), 0, 0);
    SCOPED_VALUE(score_kit) kit = {0};
    assert_err(ERR_INVALID, "ring.yaml:2: rewarder.scorers[0].check",
               kit_open("[{kind: verify, check: maths, column: answer}]", &kit));
}

TESTS(cmocka_unit_test(the_last_box_counts), cmocka_unit_test(others_by_their_order),
      cmocka_unit_test(what_a_row_holds), cmocka_unit_test(a_stage_scores))
