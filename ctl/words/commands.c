/* The table of commands, and what their errors become. */
#include "base/json.h"
#include "base/mem.h"
#include "base/printable.h"
#include "base/scoped.h"
#include "base/streams.h"
#include "ctl/words/command.h"
#include <stdio.h>
#include <string.h>

/* Names of two words before the one word that they begin with. */
static const struct command commands[] = {
    {"up", "train: start the three daemons on this machine and show the run", command_up},
    {"check", "check a recipe and every file that it names", command_check},
    {"sft", "fine-tune a model on demonstrations by a recipe's sft section", command_sft},
    {"train", "train a model on preferences from files", command_train},
    {"reward train", "train a reward model on what people prefer or rate", command_reward_train},
    {"generate", "complete prompts with a model directory", command_generate},
    {"eval", "complete held-out prompts and score them by a recipe", command_eval},
    {"reward score", "show the scores that a reward model gives the answers of a file",
     command_reward_score},
    {"reward eval", "measure a reward model against people's choices and ratings",
     command_reward_eval},
    {"values", "show what a critic expects of given completions, token by token", command_values},
    {"reward audit", "look for wrong labels and planted texts in preference rows",
     command_reward_audit},
    {"status", "show the state of a run's daemons", command_status},
    {"top", "show the run as a live picture", command_top},
    {"open", "show the pages of a run's daemons in a browser", command_open},
    {"watch", "print a line about the run at intervals", command_watch},
    {"get", "show the settings of a run as they are now", command_get},
    {"set", "change settings while the run goes on", command_set},
    {"changes", "show changes with author, time and reason", command_changes},
    {"pause", "pause generation, training or both", command_pause},
    {"resume", "end a pause", command_resume},
    {"workers", "list the generators and rewarders of a run", command_workers},
    {"drain", "let a worker or the whole run finish and leave", command_drain},
    {"checkpoint", "write a checkpoint now", command_checkpoint},
    {"backup", "copy the run as it is now, to begin from again", command_backup},
    {"rollback", "go back to a version that has a checkpoint", command_rollback},
    {"groups list", "list groups that are leased, stored or quarantined", command_groups_list},
    {"groups show", "show one group with all its completions", command_groups_show},
    {"groups evict", "remove stored groups", command_groups_evict},
    {"groups retry", "score quarantined groups once more", command_groups_retry},
    {"groups", NULL, command_groups_list},
    {"export csv", "write a run's figures as a table", command_export_csv},
    {"export tensorboard", "write a run's figures for TensorBoard", command_export_tensorboard},
    {"trace", "show one group's way through the ring, with times", command_trace},
    {"explain version", "show the origin of a version of the weights", command_explain_version},
    {"plan", "estimate bytes, seconds, generators and lag of a ring", command_plan},
    {"context list", "list the named runs", command_context_list},
    {"context add", "name a run", command_context_add},
    {"context use", "choose the run of later commands", command_context_use},
    {"context remove", "forget a name", command_context_remove},
    {"certs init", "make a certificate authority for the daemons of runs", command_certs_init},
    {"certs issue", "make certificates for daemons and operators", command_certs_issue},
    {"certs show", "show certificates and what is wrong with them", command_certs_show},
    {"objectives list", "list the objectives of training", command_objectives_list},
    {"objectives show", "show one objective: data, defaults, source, lag", command_objectives_show},
    {"objectives", NULL, command_objectives_list},
    {"recipe", "print every key of a recipe, with defaults and ranges", command_recipe},
    {"data show", "show rows of a dataset as tokens, with the masks of their loss",
     command_data_show},
    {"tokenizer train", "learn a byte-level BPE tokenizer from JSONL or text",
     command_tokenizer_train},
    {"tokenizer encode", "show the tokens of a text, or of the rows of a file",
     command_tokenizer_encode},
    {"tokenizer decode", "show the text of rows of tokens", command_tokenizer_decode},
    {"chat render", "show conversations as a model's chat template writes them",
     command_chat_render},
    {"model new", "make a model directory with fresh weights", command_model_new},
    {"model show", "describe a model directory", command_model_show},
    {"model export", "write a model directory again, in bfloat16 or float32", command_model_export},
    {"model merge", "merge models that began from one into one", command_model_merge},
    {"completion", "print a completion script for bash or zsh", command_completion},
};

const struct command *commands_all(size_t *ret_count)
{
    *ret_count = sizeof commands / sizeof *commands;
    return commands;
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

const struct command *command_find(int argc, char **argv, int *ret_words)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        *ret_words = words_matched(&commands[i], argc, argv);
        if (*ret_words)
            return &commands[i];
    }
    return NULL;
}

enum exit_status exit_status_of(enum err_code code)
{
    switch (code) {
    case ERR_NONE:
        return EXIT_OK;
    case ERR_INVALID:
        return EXIT_USAGE;
    case ERR_NOT_FOUND:
        return EXIT_NOT_THERE;
    case ERR_RANGE:
    case ERR_PRECONDITION:
    case ERR_DENIED:
    case ERR_UNIMPLEMENTED:
        return EXIT_REFUSED;
    case ERR_ABORTED:
    case ERR_EXISTS:
        return EXIT_CONFLICT;
    case ERR_UNAVAILABLE:
    case ERR_DEADLINE:
        return EXIT_UNREACHABLE;
    default:
        return EXIT_FAILED;
    }
}

static void report_json(err_t e)
{
    SCOPED_MEM char *message =
        utf8_is(err_message(e)) ? mem_string(err_message(e)) : printable_text(err_message(e), "");
    SCOPED_JSON json_t *object =
        json_pack("{s:{s:i, s:s, s:s*, s:s*, s:s*}}", "error", "status",
                  (int)exit_status_of(err_code(e)), "message", message, "field", err_field_name(e),
                  "allowed", err_field_allowed(e), "reason", err_reason_word(e));
    json_dumpf(object, stderr, JSON_COMPACT);
    fputc('\n', stderr);
}

static void report_text(err_t e)
{
    const char *field = err_field_name(e), *allowed = err_field_allowed(e);
    SCOPED_VALUE(bytes) line = {0};
    bytes_text(&line, err_message(e));
    if (field && allowed && *allowed && !strstr(err_message(e), allowed))
        bytes_printf(&line, " (%s: allowed: %s)", field, allowed);
    SCOPED_MEM char *shown = printable_text((const char *)line.data, "");
    fprintf(stderr, "rlhfctl: %s\n", shown);
}

enum exit_status command_report(err_t e, bool json)
{
    err_t printed = streams_flush();
    if (!err_failed(e))
        e = printed;
    else
        err_free(printed);
    const enum exit_status status = exit_status_of(err_code(e));
    if (status && json)
        report_json(e);
    else if (status)
        report_text(e);
    err_free(e);
    return status;
}
