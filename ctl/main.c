/* rlhfctl: the one client. Starts rings on this machine, trains and samples offline, asks daemons
 * how they are and steers them. */
#include "base/log.h"
#include "base/printable.h"
#include "base/scoped.h"
#include "base/streams.h"
#include "base/version.h"
#include "ctl/words/command.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void usage(FILE *to)
{
    size_t count;
    const struct command *commands = commands_all(&count);
    fputs(
        "rlhfctl: train language models from feedback while they generate\n\nUsage: rlhfctl COMMAND [ARGUMENTS]\n\n",
        to);
    for (size_t i = 0; i < count; i++)
        if (commands[i].summary)
            fprintf(to, "  %-18s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`rlhfctl COMMAND --help` explains a command.\n", to);
}

static bool asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "-o=json") == 0 ||
            (strcmp(argv[i], "-o") == 0 && i + 1 < argc && strcmp(argv[i + 1], "json") == 0))
            return true;
    return false;
}

/* What is no UTF-8 would be left out of requests and of the files that say what was run. */
static err_t check_words(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!utf8_is(argv[i]))
            return err_new(ERR_INVALID, "'%.200s': words and paths given to rlhfctl must be UTF-8",
                           argv[i]);
    return OK;
}

static err_t run(const struct command *command, int argc, char **argv)
{
    char name[64];
    snprintf(name, sizeof name, "rlhfctl %s", command->name);
    argv[0] = name;
    TRY(check_words(argc, argv));
    return command->run(argc, argv);
}

/* `rlhfctl __complete` reads the table of commands, so the table has no row for it. */
static const struct command *find(int argc, char **argv, int *ret_words)
{
    static const struct command offers = {"__complete", NULL, command_complete_words};
    if (argc < 2 || strcmp(argv[1], offers.name) != 0)
        return command_find(argc, argv, ret_words);
    *ret_words = 1;
    return &offers;
}

int main(int argc, char **argv)
{
    int words;
    log_open("rlhfctl", LOG_WARNING);
    signal(SIGXFSZ, SIG_IGN); // a file that has reached its limit is an error of write
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                     strcmp(argv[1], "help") == 0)) {
        usage(stdout);
        return (int)command_report(OK, false);
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("rlhfctl %s\n", version_text);
        return (int)command_report(OK, false);
    }
    const struct command *command = find(argc, argv, &words);
    if (command)
        return (int)command_report(run(command, argc - words, argv + words),
                                   asks_for_json(argc, argv));
    if (argc > 1) {
        SCOPED_MEM char *word = printable_text(argv[1], "");
        fprintf(stderr, "rlhfctl: no command '%s'\n\n", word);
    }
    usage(stderr);
    return EXIT_USAGE;
}
