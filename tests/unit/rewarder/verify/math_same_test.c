#include "base/json.h"
#include "base/mem.h"
#include "rewarder/verify/math_same.h"
#include "rewarder/verify/math_tree.h"
#include "testing/testing.h"
#include <string.h>

static bool same(const char *want, const char *got)
{
    return math_same((struct text_slice){want, strlen(want)}, (struct text_slice){got, strlen(got)},
                     1e-6);
}

struct pair {
    const char *want, *got;
    bool same;
};

static void check(const struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pair *p = &pairs[i];
        if (same(p->want, p->got) != p->same || same(p->got, p->want) != p->same)
            fail_msg("'%s' and '%s': same is %d", p->want, p->got, !p->same);
    }
}
#define CHECK(pairs) check(pairs, sizeof(pairs) / sizeof *(pairs))

/* By construction, and as math-verify has them (tests/golden/maths.py). */
static void pairs_of_sympy(void **state)
{
    (void)state;
    SCOPED_JSON json_t *pairs = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/maths.json", 1 << 20, &pairs));
    assert_true(json_array_size(pairs) > 300);
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        const json_t *pair = json_array_get(pairs, i);
        const struct pair one = {json_string_value(json_array_get(pair, 0)),
                                 json_string_value(json_array_get(pair, 1)),
                                 json_is_true(json_array_get(pair, 2))};
        check(&one, 1);
    }
}

static void numbers_by_value(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"1/2", "0.5", true},
        {"\\frac{1}{2}", "\\dfrac12", true},
        {"3.5", "3\\frac{1}{2}", true},
        {"7/2", "3 1/2", true},
        {"\\frac{1}{3}", "0.3333333", true},
        {"\\frac{1}{3}", "0.\\overline{3}", true},
        {"\\frac{1}{6}", "0.1\\overline{6}", true},
        {"\\frac{1}{3}", "0.33", false},
        {"3.14", "3.14159", false},
        {"13742.19", "13742.18", false},
        {"1,234,567", "1234567", true},
        {"1{,}234", "1234", true},
        {"1,234", "1.234", false},
        {"-5", "5", false},
        {"10^{30}+1", "10^{30}", false},
        {"1267650600228229401496703205376", "2^{100}", true},
        {"1267650600228229401496703205377", "2^{100}", false},
        {"9^{9^9}", "9^{387420489}", true},
        {"5!", "120", true},
        {"\\binom{10}{3}", "120", true},
        {"1.5e3", "1500", true},
        {"3\\times 10^8", "300000000", true},
        {"1011_2", "1011_{2}", true},
        {"1011_2", "1011_3", false},
        {"\\sqrt[3]{-8}", "-2", true},
        {"|-3|", "3", true},
        {"\\left\\lfloor 7/2 \\right\\rfloor", "3", true},
        {"\\sin 30^\\circ", "1/2", true},
        {"\\log_2 8", "3", true},
        {"0", "-0", true},
        {"1/0", "2/0", false},
    };
    CHECK(pairs);
}

static void letters_at_drawn_places(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"x^2-1", "(x-1)(x+1)", true},
        {"xy", "y x", true},
        {"x", "y", false},
        {"x_1+x_{2}", "x_{1} + x_2", true},
        {"\\sqrt{x^2}", "|x|", true},
        {"\\sqrt{x^2}", "x", false},
        {"y = 2x + 1", "2x+1", true},
        {"y=2x+1", "2x - y + 1 = 0", true},
        {"y=2x+1", "y=2x+2", false},
        {"x \\ne 2", "x \\neq 2", true},
        {"\\frac{n!}{k!(n-k)!}", "\\binom{n}{k}", true},
        {"2^n", "2^{n+1}/2", true},
        {"2\\pi r", "\\pi d", false},
    };
    CHECK(pairs);
}

static void lists_sets_and_intervals(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"1, 2, 3", "3,1,2", true},
        {"\\{1,2\\}", "2, 1", true},
        {"(1,2)", "(2,1)", false},
        {"(1,2)", "1, 2", true},
        {"25,100,55", "25, 100, 55", true},
        {"1,2", "1,2,3", false},
        {"1,2", "2,1,2", true},
        {"(1,2)", "(1,2,2)", false},
        {"\\boxed{1}$ and \\(\\boxed{2}", "2,1", true},
        {"\\left[\\begin{array}{cc}1 & 2\\end{array}\\right]", "\\begin{pmatrix}1&2\\end{pmatrix}",
         true},
        {"3", "1, 2, 3", false},
        {"x=1 \\text{ or } x=2", "1, 2", true},
        {"1 \\pm \\sqrt{2}", "1+\\sqrt2, 1-\\sqrt2", true},
        {"5", "\\pm 5", false},
        {"[1,2)", "[1,2]", false},
        {"(3,\\infty)", "x > 3", true},
        {"x \\le 3", "(-\\infty, 3]", true},
        {"1 < x \\le 5", "(1,5]", true},
        {"5 > x", "x < 5", true},
        {"(-\\infty,-1)\\cup(1,\\infty)", "(1,\\infty) \\cup (-\\infty,-1)", true},
        {"\\emptyset", "\\{\\}", true},
        {"\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{bmatrix} 1 \\\\ 4/2 \\end{bmatrix}",
         true},
        {"\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1&2\\end{pmatrix}", false},
    };
    CHECK(pairs);
}

static void units_and_percent(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"5", "5 \\text{ cm}", true},
        {"5 \\text{ cm}", "5\\text{ cm}^2", false},
        {"1 \\text{ m}", "100 \\text{ cm}", true},
        {"1 \\text{ m}", "100 \\text{ mm}", false},
        {"72 \\text{ km/h}", "20 \\text{ m/s}", true},
        {"2 hours", "120 minutes", true},
        {"5 apples", "5", true},
        {"\\$4.50", "4.5 dollars", true},
        {"50\\%", "50", true},
        {"50%", "0.5", true},
        {"50%", "0.05", false},
        {"90^\\circ", "90", true},
        {"180^\\circ", "\\pi \\text{ radians}", true},
    };
    CHECK(pairs);
}

static void words_by_letters(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"\\text{Evelyn}", "evelyn", true},
        {"\\text{(A)}", "A", true},
        {"(B)", "\\textbf{B}", true},
        {"B", "C", false},
        {"east", "seat", false},
        {"no solution", "No solution.", true},
        {"x \\mapsto x", "x\\mapsto  x", true}, // no tree: token by token
        {"x \\mapsto x", "x \\mapsto y", false},
        {"x@\\", "x @ \\", true}, // bytes that are nothing, one at the end
        {"x@\\", "x @ #", false},
    };
    CHECK(pairs);
}

/* Whatever a completion says ends soon, and is a plain no. */
static void hostile_answers_end(void **state)
{
    (void)state;
    static const char *const pieces[] = {"(",    "\\frac{",       "-",    "x^",
                                         "1+",   "\\sqrt",        "|",    "9!",
                                         "2^",   "\\text{",       "1,",   "\\begin{pmatrix}",
                                         "\\pm", "\xff",          "_",    "\\sin ",
                                         "{",    "0.\\overline{", "5 cm "};
    char text[MATH_BYTES + 64];
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        const size_t len = strlen(pieces[i]);
        size_t at = 0;
        for (; at + len < MATH_BYTES; at += len)
            memcpy(text + at, pieces[i], len);
        text[at] = 0;
        assert_false(same("7", text));
        assert_false(same(text, "7"));
    }
    memset(text, '1', sizeof text);
    assert_false(math_same((struct text_slice){"7", 1}, (struct text_slice){text, sizeof text}, 0));
    assert_false(same("7", ""));
    assert_false(same("7", "1000000!"));
    assert_false(same("7", "(9^9^9)!"));
    assert_false(same("7", "\\binom{10^9}{10^8}"));
}

TESTS(cmocka_unit_test(pairs_of_sympy), cmocka_unit_test(numbers_by_value),
      cmocka_unit_test(letters_at_drawn_places), cmocka_unit_test(lists_sets_and_intervals),
      cmocka_unit_test(units_and_percent), cmocka_unit_test(words_by_letters),
      cmocka_unit_test(hostile_answers_end))
