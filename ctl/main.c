/* rlhfctl: the one client. Starts rings on this machine, trains and samples offline, asks daemons how they are and steers
 * them. */
#include "base/log.h"
#include "ctl/command.h"
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
    fputs("\n`rlhfctl COMMAND --help` explains one.\n", to);
}

static int report(err_t e)
{
    if (!err_failed(e))
        return EXIT_OK;
    fflush(stdout);
    fprintf(stderr, "rlhfctl: %s\n", err_message(e));
    enum exit_status status = exit_status_of(err_code(e));
    err_free(e);
    return (int)status;
}

int main(int argc, char **argv)
{
    int words;
    log_open("rlhfctl", LOG_WARNING);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                     strcmp(argv[1], "help") == 0)) {
        usage(stdout);
        return EXIT_OK;
    }
    const struct command *command = command_find(argc, argv, &words);
    if (command) {
        char name[64];
        snprintf(name, sizeof name, "rlhfctl %s", command->name);
        argv[words] = name;
        return report(command->run(argc - words, argv + words));
    }
    if (argc > 1)
        fprintf(stderr, "rlhfctl: no command '%s'\n\n", argv[1]);
    usage(stderr);
    return EXIT_USAGE;
}
