/* Which addresses a recipe's security allows, and which keys. */
#include "base/file.h"
#include "base/mem.h"
#include "svc/recipe/recipe.h"
#include "svc/security.h"
#include "testing/certificates.h"
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

/* A recipe of run "sort" whose net.tls is a directory. */
static struct recipe *with_keys(const char *directory)
{
    struct recipe *recipe = NULL;
    SCOPED_MEM char *text = mem_printf("run: {name: sort}\nnet: {tls: %s}", directory);
    assert_ok(recipe_parse(text, strlen(text), "test.yaml", testing_directory(), NULL, &recipe));
    return recipe;
}

static void keys_have_to_be_ones_own(void **)
{
    struct authority *ca = authority_new("ca");
    char *directory = testing_path(testing_directory(), "keys");
    SCOPED_MEM char *own = file_join(directory, "g-7");
    SCOPED(recipe) recipe = with_keys(directory);
    SCOPED(recipe) none = with_keys("/nowhere");
    struct security security;
    authority_issue_to(ca, "sort", "generator", "g-7", own);
    authority_issue_to(ca, "other", "rewarder", "r", directory);
    assert_ok(security_open(recipe, CALLER_GENERATOR, "g-7", &security));
    SCOPED_MEM char *name = security_name(&security);
    SCOPED_VALUE(bytes) text = {0};
    security_text(&security, &text);
    assert_string_equal(name, "g-7");
    assert_non_null(
        strstr((char *)text.data, "TLS as spiffe://testing/run/sort/generator/g-7 until "));
    assert_ok(address_check("0.0.0.0:0", &security));
    assert_err(ERR_DENIED, "speaks no TLS", address_check("unix:/run/a", &security));
    security_done(&security);
    /* Without a directory of its name a daemon takes what lies in net.tls itself. */
    assert_err(ERR_DENIED, "rewarder/r; this is a learner",
               security_open(recipe, CALLER_LEARNER, "", &security));
    assert_err(ERR_DENIED, "this is run 'sort' (run.name)",
               security_open(recipe, CALLER_REWARDER, "", &security));
    assert_err(ERR_NOT_FOUND, "net.tls: ", security_open(none, CALLER_LEARNER, "", &security));
    authority_issue_to(ca, "sort", "generator", "g-8", own);
    assert_err(ERR_DENIED, "this is generator.name 'g-7'",
               security_open(recipe, CALLER_GENERATOR, "g-7", &security));
    authority_free(ca);
}

TESTS(cmocka_unit_test(loopback_alone_needs_no_word), cmocka_unit_test(keys_have_to_be_ones_own))
