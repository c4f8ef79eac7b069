/* Unit tests of code, as datasets have them.
 *
 *     TRY(code_tests_read(column, "tests", code, false, &tests));
 *     for (size_t i = 0; i < tests.count; i++)
 *         run(tests.at[i].source, tests.at[i].input), then code_test_passed(&tests.at[i], output)
 *
 * A column of texts has asserts (MBPP, HumanEval), which are appended to the code. An object's
 * inputs and outputs are those of a program (APPS, TACO, verl's prime_code); with fn_name they are
 * arguments and results of a Python function. All this may stand in the column as JSON text. Any
 * thread. */
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
