/* Words of a command: flags, positionals, help; commands by name; exit statuses. */
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "testing/testing.h"
#include <string.h>

static const char *reason, *output, *words[2];
static bool dry;
static size_t count;
static const struct argument_flag flags[] = {{"reason", "TEXT", "why", .text = &reason},
                                             {"o", "FORMAT", "table or json", .text = &output},
                                             {"dry-run", NULL, "change nothing", .flag = &dry}};
static const struct arguments arguments = {.usage = "set KEY=VALUE...",
                                           .purpose = "Changes settings.",
                                           .examples = "  rlhfctl set a=1",
                                           .flags = flags,
                                           .flags_count = 3,
                                           .words = words,
                                           .words_min = 1,
                                           .words_max = 2,
                                           .words_count = &count};

#define READ(...)                                                                                  \
    read_words((char *[]){"rlhfctl set", __VA_ARGS__},                                             \
               sizeof((char *[]){"rlhfctl set", __VA_ARGS__}) / sizeof(char *))
static err_t read_words(char **argv, size_t argc)
{
    bool helped = false;
    reason = output = words[0] = words[1] = NULL;
    dry = false;
    count = 0;
    err_t failed = arguments_read(&arguments, (int)argc, argv, &helped);
    assert_false(helped);
    return failed;
}

static void flags_stand_anywhere(void **state)
{
    (void)state;
    assert_ok(READ("a=1", "--reason", "the learner starves", "b=2", "-o=json", "--dry-run"));
    assert_int_equal(count, 2);
    assert_string_equal(words[0], "a=1");
    assert_string_equal(words[1], "b=2");
    assert_string_equal(reason, "the learner starves");
    assert_string_equal(output, "json");
    assert_true(dry);
    assert_ok(READ("--reason=--dry-run", "-o", "table", "--", "--dry-run"));
    assert_string_equal(reason, "--dry-run");
    assert_string_equal(words[0], "--dry-run");
    assert_false(dry);
    assert_ok(READ("-", "--reason=")); // a dash alone is a word, a text may be empty
    assert_string_equal(reason, "");
}

static void mistakes_are_named(void **state)
{
    (void)state;
    assert_err(ERR_INVALID, "--reasn: no such flag; did you mean '--reason'?",
               READ("a=1", "--reasn=x"));
    assert_err(ERR_INVALID, "--zzzzzzzz: no such flag; --help lists them", READ("--zzzzzzzz"));
    assert_err(ERR_INVALID, "--reason: TEXT is needed", READ("a=1", "--reason"));
    assert_err(ERR_INVALID, "--dry-run takes no argument", READ("a=1", "--dry-run=1"));
    assert_err(ERR_INVALID, "--reasons", READ("a=1", "--reasons", "x")); // no prefixes
    assert_err(ERR_INVALID, "'c=3' is too much", READ("a=1", "b=2", "c=3"));
    assert_err(ERR_INVALID, "a word is missing", READ("--dry-run"));
    assert_err(ERR_INVALID, "--o", READ("--o", "json"));
}

static void help_shows_all(void **state)
{
    (void)state;
    struct bytes text = {0};
    arguments_help(&arguments, &text);
    assert_string_equal((char *)text.data, "Usage: rlhfctl set KEY=VALUE...\n"
                                           "Changes settings.\n"
                                           "\n"
                                           "Flags:\n"
                                           "  --reason TEXT          why\n"
                                           "  -o FORMAT              table or json\n"
                                           "  --dry-run              change nothing\n"
                                           "\n"
                                           "Examples:\n"
                                           "  rlhfctl set a=1\n");
    bytes_done(&text);
}

static void assert_command(const char *name, int wanted, char *a, char *b)
{
    int got;
    char *argv[] = {"rlhfctl", a, b};
    const struct command *command = command_find(b ? 3 : a ? 2 : 1, argv, &got);
    if (!name) {
        assert_null(command);
        return;
    }
    assert_non_null(command);
    assert_string_equal(command->name, name);
    assert_int_equal(got, wanted);
}

static void commands_have_one_or_two_words(void **state)
{
    (void)state;
    assert_command("up", 1, "up", "recipe.yaml");
    assert_command("groups show", 2, "groups", "show");
    assert_command("groups list", 2, "groups", "list");
    assert_command("groups", 1, "groups", "--filter");
    assert_command("groups", 1, "groups", NULL);
    assert_command(NULL, 0, "context", NULL);
    assert_command(NULL, 0, "context", "shw");
    assert_command(NULL, 0, "u", NULL);
    assert_command(NULL, 0, NULL, NULL);
}

static void every_code_has_its_exit_status(void **state)
{
    (void)state;
    static const int wanted[] = {0, 1, 1, 2, 6, 3, 5, 4, 1, 4, 5, 4, 4, 1, 6, 1};
    for (int code = 0; code < 16; code++)
        assert_int_equal(exit_status_of((enum err_code)code), wanted[code]);
}

TESTS(cmocka_unit_test(flags_stand_anywhere), cmocka_unit_test(mistakes_are_named),
      cmocka_unit_test(help_shows_all), cmocka_unit_test(commands_have_one_or_two_words),
      cmocka_unit_test(every_code_has_its_exit_status))
