/* For every test: cmocka, and assertions in our own terms.
 *
 *     assert_ok(replay_open(dir, &limits, &replay));
 *     assert_err(ERR_INVALID, "max_uses", replay_open(dir, &bad, &replay));   -- the code, and a part of the message
 *     assert_near(got, want, 1e-8);
 *
 * The golden files' directory is TEST_GOLDEN, the programs' TEST_BIN. */
#pragma once
/* cmocka needs these first, in this order. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/err.h"

#define assert_ok(call)               testing_ok((call), #call, __FILE__, __LINE__)
#define assert_err(code, part, call)  testing_err((code), (part), (call), #call, __FILE__, __LINE__)
#define assert_near(got, want, limit) testing_near((got), (want), (limit), #got, __FILE__, __LINE__)

void testing_ok(err_t e, const char *call, const char *file, int line);
void testing_err(enum err_code code, const char *part, err_t e, const char *call, const char *file,
                 int line);
/* |got - want| <= limit * max(1, |want|) */
void testing_near(double got, double want, double limit, const char *what, const char *file,
                  int line);

/* A new empty directory below $TMPDIR or /tmp, removed with all it holds when the process ends.
 * Owned by testing. */
const char *testing_directory(void);

/* directory/name, freed when the process ends. */
char *testing_path(const char *directory, const char *name);

/* ThreadSanitizer cannot follow a child that starts threads after a fork of a process with threads:
 * such tests skip. */
#if defined(__SANITIZE_THREAD__)
enum { TESTING_FORKS = 0 };
#else
enum { TESTING_FORKS = 1 };
#endif

/* AddressSanitizer's shadow memory does not fit into a sandbox's limit of addresses: such tests
 * skip. */
#if defined(__SANITIZE_ADDRESS__)
enum { TESTING_SANDBOX = 0 };
#else
enum { TESTING_SANDBOX = 1 };
#endif

#define TESTS(...)                                                                                 \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }
