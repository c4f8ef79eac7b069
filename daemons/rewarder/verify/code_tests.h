/* Unit tests of code, as datasets have them.
 *
 *     TRY(code_tests_read(column, "tests", code, false, &tests));
 *     for (size_t i = 0; i < tests.count; i++)
 *         run(tests.at[i].source, tests.at[i].input), then code_test_passed(&tests.at[i], output)
 *
 * A column is a text or a list of texts that are appended to the code (MBPP's, HumanEval's
 * asserts); or an object with inputs and outputs, which are a program's (APPS, TACO, verl's
 * prime_code); with fn_name too, arguments and results of a Python function. It may also be the
 * JSON text of one of these. Any thread. */
#pragma once
#include "base/bytes.h"
#include "rewarder/scorer.h"

enum { CODE_TESTS = 1000 };

struct code_test {
    struct bytes source; // the program, with a zero behind it
    struct bytes input;  // its standard input
    bool compares;       // the output must be `wanted`; else its last line is `token`
    struct text_slice wanted;
    char token[33];
};
struct code_tests {
    size_t count;
    struct code_test *at; // (count)
    json_t *column;       // of texts that tests borrow
};

/* apart: each assert is a test of its own. INVALID: the row's column is none of these. */
err_t code_tests_read(const json_t *column, const char *name, struct text_slice code, bool apart,
                      struct code_tests *ret);

/* Lines are compared without blanks at their ends, and so is the end of the text. A program of
 * asserts passes if it came to their end: to leave before is no success. */
bool code_test_passed(const struct code_test *test, struct text_slice output);
void code_tests_done(struct code_tests *tests);
