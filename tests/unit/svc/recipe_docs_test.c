/* --help and docs/recipe.md are what the tables say. */
#include "svc/recipe/recipe.h"
#include "svc/recipe/recipe_cli.h"
#include "testing/testing.h"
#include <string.h>

static err_t visit_count(const char *text, const char *part)
{
    return strstr(text, part) ? OK : err_new(ERR_NOT_FOUND, "'%s' is not in it", part);
}

static void help_and_docs_come_from_the_table(void **state)
{
    (void)state;
    struct recipe_cli cli = {.program = "rlhfd-learner", .purpose = "Trains."};
    SCOPED_VALUE(bytes) help = {0}, docs = {0};
    recipe_help(&cli, &help);
    recipe_markdown("\n## Stages\n", &docs);
    static const char *const keys[] = {"run.name", "learner.optimizer.lr", "sft.optimizer.betas",
                                       "net.insecure"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_ok(visit_count((char *)help.data, keys[i]));
    assert_ok(visit_count((char *)help.data, "(a whole number from 0 to 1000; default 1)"));
    assert_ok(visit_count((char *)help.data, "usage: rlhfd-learner RECIPE.yaml"));
    assert_ok(visit_count((char *)docs.data, "| `optimizer.lr` | `3e-4` |"));
    assert_ok(visit_count((char *)docs.data, "\n| `rloo` | "));
    assert_ok(visit_count((char *)docs.data, "\n\n## Stages\n\n## Objectives\n"));
}

TESTS(cmocka_unit_test(help_and_docs_come_from_the_table))
