/* rlhfctl: the one client. Starts rings on this machine, trains and samples offline, asks daemons how they are. */
#include "base/log.h"
#include "ctl/command.h"
#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
    {"up", "train: start the three daemons on this machine and show the run", command_up},
    {"check", "check a recipe and every file that it names", command_check},
    {"sft", "supervised fine-tuning by a recipe's sft section", command_sft},
    {"generate", "complete prompts with a model directory", command_generate},
    {"eval", "complete held-out prompts and score them by a recipe", command_eval},
    {"status", "ask the daemons of a run how they are", command_status},
    {"explain version", "show what made a version of the weights", command_explain_version},
    {"plan", "what a ring of some size would do: bytes, seconds, generators, lag", command_plan},
    {"recipe", "print every key of a recipe, with defaults and ranges", command_recipe},
    {"tokenizer train", "learn a byte-level BPE tokenizer from JSONL or text",
     command_tokenizer_train},
    {"tokenizer encode", "show the tokens of a text", command_tokenizer_encode},
    {"model new", "make a model directory with fresh weights", command_model_new},
    {"model show", "describe a model directory", command_model_show},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void usage(FILE *to)
{
    fputs(
        "rlhfctl: train language models from feedback while they generate\n\nUsage: rlhfctl COMMAND [ARGUMENTS]\n\n",
        to);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-18s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`rlhfctl COMMAND --help` explains one.\n", to);
}

/* How many words of argv name the command; 0: they do not. */
static int words_matched(const struct command *command, int argc, char **argv)
{
    const char *space = strchr(command->name, ' ');
    size_t first = space ? (size_t)(space - command->name) : strlen(command->name);
    if (argc < 2 || strlen(argv[1]) != first || strncmp(argv[1], command->name, first) != 0)
        return 0;
    if (!space)
        return 1;
    return argc > 2 && strcmp(argv[2], space + 1) == 0 ? 2 : 0;
}

static int report(err_t e)
{
    if (!err_failed(e))
        return 0;
    fprintf(stderr, "rlhfctl: %s\n", err_message(e));
    int status = err_code(e) == ERR_INVALID ? 2 : 1;
    err_free(e);
    return status;
}

int main(int argc, char **argv)
{
    log_open("rlhfctl", LOG_WARNING);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                     strcmp(argv[1], "help") == 0)) {
        usage(stdout);
        return 0;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        int words = words_matched(&commands[i], argc, argv);
        if (!words)
            continue;
        char name[64];
        snprintf(name, sizeof name, "rlhfctl %s", commands[i].name);
        argv[words] = name;
        return report(commands[i].run(argc - words, argv + words));
    }
    if (argc > 1)
        fprintf(stderr, "rlhfctl: no command '%s'\n\n", argv[1]);
    usage(stderr);
    return 2;
}
