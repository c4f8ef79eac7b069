/* rlhfctl's commands: one table, a file per noun.
 *
 * To add one: a row in commands.c, a file with its run function. argv[0] is the command's own name
 * ("tokenizer train"). */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

struct command {
    const char *name, *summary; // summary: NULL: not listed
    err_t (*run)(int argc, char **argv);
};
const struct command *commands_all(size_t *ret_count);

/* The command that argv[1] and, if its name has two words, argv[2] name; *ret_words says how many.
 * NULL: none. */
const struct command *command_find(int argc, char **argv, int *ret_words);

/* Exit statuses of rlhfctl (docs/rlhfctl.md). */
enum exit_status {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,       // the command line, or a recipe that it names
    EXIT_NOT_THERE = 3,   // a run, file, key, worker, group, version
    EXIT_REFUSED = 4,     // the daemon does not do that: a value, or not now
    EXIT_CONFLICT = 5,    // something has changed since, or is there already
    EXIT_UNREACHABLE = 6, // nobody answers, or not in time
};
enum exit_status exit_status_of(enum err_code code);

/* Says it on standard error, a line; as JSON: {"error": {"status": 4, "message", "field",
 * "allowed", "reason"}}. Takes e. */
enum exit_status command_report(err_t e, bool json);

err_t command_up(int argc, char **argv);
err_t command_check(int argc, char **argv);
err_t command_sft(int argc, char **argv);
err_t command_train(int argc, char **argv);
err_t command_reward_train(int argc, char **argv);
err_t command_generate(int argc, char **argv);
err_t command_eval(int argc, char **argv);
err_t command_reward_score(int argc, char **argv);
err_t command_reward_eval(int argc, char **argv);
err_t command_values(int argc, char **argv);
err_t command_reward_audit(int argc, char **argv);
err_t command_status(int argc, char **argv);
err_t command_top(int argc, char **argv);
err_t command_open(int argc, char **argv);
err_t command_watch(int argc, char **argv);
err_t command_get(int argc, char **argv);
err_t command_set(int argc, char **argv);
err_t command_changes(int argc, char **argv);
err_t command_pause(int argc, char **argv);
err_t command_resume(int argc, char **argv);
err_t command_drain(int argc, char **argv);
err_t command_workers(int argc, char **argv);
err_t command_groups_list(int argc, char **argv);
err_t command_groups_show(int argc, char **argv);
err_t command_groups_evict(int argc, char **argv);
err_t command_groups_retry(int argc, char **argv);
err_t command_export_csv(int argc, char **argv);
err_t command_export_tensorboard(int argc, char **argv);
err_t command_trace(int argc, char **argv);
err_t command_checkpoint(int argc, char **argv);
err_t command_backup(int argc, char **argv);
err_t command_rollback(int argc, char **argv);
err_t command_context_list(int argc, char **argv);
err_t command_context_add(int argc, char **argv);
err_t command_context_use(int argc, char **argv);
err_t command_context_remove(int argc, char **argv);
err_t command_certs_init(int argc, char **argv);
err_t command_certs_issue(int argc, char **argv);
err_t command_certs_show(int argc, char **argv);
err_t command_completion(int argc, char **argv);
err_t command_complete_words(int argc, char **argv);
err_t command_explain_version(int argc, char **argv);
err_t command_objectives_list(int argc, char **argv);
err_t command_objectives_show(int argc, char **argv);
err_t command_recipe(int argc, char **argv);
err_t command_plan(int argc, char **argv);
err_t command_chat_render(int argc, char **argv);
err_t command_data_show(int argc, char **argv);
err_t command_tokenizer_train(int argc, char **argv);
err_t command_tokenizer_encode(int argc, char **argv);
err_t command_tokenizer_decode(int argc, char **argv);
err_t command_model_new(int argc, char **argv);
err_t command_model_show(int argc, char **argv);
err_t command_model_export(int argc, char **argv);
err_t command_model_merge(int argc, char **argv);

/* A number from a flag, checked. INVALID names the flag, the text and the allowed values. */
err_t flag_int(const char *flag, const char *text, long min, long max, long *ret);
err_t flag_number(const char *flag, const char *text, double min, double max, double *ret);

/* Path of a program that is installed beside this one; the caller's. */
char *program_beside(const char *name);
