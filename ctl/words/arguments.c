#include "ctl/words/arguments.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/recipe/suggest.h"
#include <stdio.h>
#include <string.h>

enum { FLAGS_MAX = 32 };

static const char *dashes(const char *name)
{
    return name[1] ? "--" : "-";
}

void arguments_help(const struct arguments *arguments, struct bytes *ret)
{
    bytes_printf(ret, "Usage: rlhfctl %s\n%s\n", arguments->usage, arguments->purpose);
    if (arguments->flags_count)
        bytes_text(ret, "\nFlags:\n");
    for (size_t i = 0; i < arguments->flags_count; i++) {
        const struct argument_flag *flag = &arguments->flags[i];
        SCOPED_MEM char *left = mem_printf("%s%s %s", dashes(flag->name), flag->name,
                                           flag->argument ? flag->argument : "");
        bytes_printf(ret, "  %-22s %s\n", left, flag->help);
    }
    if (arguments->examples)
        bytes_printf(ret, "\nExamples:\n%s\n", arguments->examples);
}

static err_t unknown_flag(const struct arguments *arguments, const char *word)
{
    const char *names[FLAGS_MAX + 1];
    size_t count = 0;
    for (; count < arguments->flags_count && count < FLAGS_MAX; count++)
        names[count] = arguments->flags[count].name;
    names[count++] = "help";
    const char *name = word + strspn(word, "-");
    SCOPED_MEM char *plain = mem_printf("%.*s", (int)strcspn(name, "="), name);
    const char *meant = suggest(plain, names, count);
    if (meant)
        return err_new(ERR_INVALID, "%.*s: no such flag; did you mean '%s%s'?",
                       (int)strcspn(word, "="), word, dashes(meant), meant);
    return err_new(ERR_INVALID, "%.*s: no such flag; --help lists them", (int)strcspn(word, "="),
                   word);
}

static const struct argument_flag *flag_of(const struct arguments *arguments, const char *word)
{
    for (size_t i = 0; i < arguments->flags_count; i++) {
        const struct argument_flag *flag = &arguments->flags[i];
        const size_t dash = strlen(dashes(flag->name)), len = strlen(flag->name);
        if (strncmp(word, dashes(flag->name), dash) == 0 &&
            strncmp(word + dash, flag->name, len) == 0 &&
            (!word[dash + len] || word[dash + len] == '='))
            return flag;
    }
    return NULL;
}

static err_t put(const struct argument_flag *flag, const char *argument)
{
    if (!flag->list) {
        *flag->text = argument;
        return OK;
    }
    if (flag->list->count == ARGUMENT_LIST)
        return err_new(ERR_INVALID, "%s%s: more than %d of them", dashes(flag->name), flag->name,
                       ARGUMENT_LIST);
    flag->list->at[flag->list->count++] = argument;
    return OK;
}

/* *at is the flag's place in argv, and that of its argument afterwards. */
static err_t take_flag(const struct arguments *arguments, int argc, char **argv, int *at)
{
    const char *word = argv[*at], *equals = strchr(word, '=');
    const struct argument_flag *flag = flag_of(arguments, word);
    if (!flag)
        return unknown_flag(arguments, word);
    if (!flag->argument) {
        if (equals)
            return err_new(ERR_INVALID, "%s%s takes no argument", dashes(flag->name), flag->name);
        *flag->flag = true;
        return OK;
    }
    if (!equals && *at + 1 >= argc)
        return err_new(ERR_INVALID, "%s%s: %s is needed", dashes(flag->name), flag->name,
                       flag->argument);
    return put(flag, equals ? equals + 1 : argv[++*at]);
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

err_t arguments_read(const struct arguments *arguments, int argc, char **argv, bool *ret_helped)
{
    size_t count = 0;
    bool plain = false;
    *ret_helped = asks_for_help(argc, argv);
    if (*ret_helped) {
        SCOPED_VALUE(bytes) text = {0};
        arguments_help(arguments, &text);
        fwrite(text.data, 1, text.len, stdout);
        return OK;
    }
    for (int i = 1; i < argc; i++) {
        if (!plain && strcmp(argv[i], "--") == 0) {
            plain = true;
        } else if (!plain && argv[i][0] == '-' && argv[i][1]) {
            TRY(take_flag(arguments, argc, argv, &i));
        } else {
            if (count == arguments->words_max)
                return err_new(ERR_INVALID, "'%s' is too much: rlhfctl %s", argv[i],
                               arguments->usage);
            arguments->words[count++] = argv[i];
        }
    }
    if (count < arguments->words_min)
        return err_new(ERR_INVALID, "a word is missing: rlhfctl %s", arguments->usage);
    if (arguments->words_count)
        *arguments->words_count = count;
    return OK;
}
