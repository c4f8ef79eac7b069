/* Which addresses a recipe's security allows. */
#include "svc/recipe/recipe.h"
#include "svc/security.h"
#include "testing/testing.h"
#include <string.h>

static struct security parsed(const char *text)
{
    SCOPED(recipe) recipe = NULL;
    struct security security;
    assert_ok(recipe_parse(text, strlen(text), "test.yaml", "/recipes", NULL, &recipe));
    assert_ok(security_open(recipe, CALLER_LEARNER, "", &security));
    security.run = NULL; // is the recipe's
    return security;
}

static void loopback_alone_needs_no_word(void **)
{
    static const char *const here[] = {"127.0.0.1:0", "[::1]:7003", "localhost:7003",
                                       "unix:/run/a"};
    static const char *const beyond[] = {"0.0.0.0:0", "[::]:0", "learner:7003"};
    const struct security closed = parsed("net: {}"), open = parsed("net: {insecure: true}");
    for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
        assert_ok(address_check(here[i], NULL));
        assert_ok(address_check(here[i], &closed));
        assert_ok(address_check(here[i], &open));
    }
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        assert_err(ERR_DENIED, beyond[i], address_check(beyond[i], NULL));
        assert_err(ERR_DENIED, beyond[i], address_check(beyond[i], &closed));
        assert_ok(address_check(beyond[i], &open));
    }
    assert_err(ERR_INVALID, "the path is missing", address_check("unix:", &open));
    assert_err(ERR_INVALID, "localhost", address_check("localhost", &open));
}

TESTS(cmocka_unit_test(loopback_alone_needs_no_word))
