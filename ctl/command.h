/* rlhfctl's commands: one table, a file per noun.
 *
 * To add one: a row in main.c, a file with its run function. argv[0] is the command's own name ("tokenizer train"). */
#pragma once
#include "base/err.h"

struct command {
    const char *name, *summary;
    err_t (*run)(int argc, char **argv);
};

err_t command_up(int argc, char **argv);
err_t command_check(int argc, char **argv);
err_t command_sft(int argc, char **argv);
err_t command_generate(int argc, char **argv);
err_t command_eval(int argc, char **argv);
err_t command_status(int argc, char **argv);
err_t command_explain_version(int argc, char **argv);
err_t command_recipe(int argc, char **argv);
err_t command_plan(int argc, char **argv);
err_t command_tokenizer_train(int argc, char **argv);
err_t command_tokenizer_encode(int argc, char **argv);
err_t command_model_new(int argc, char **argv);
err_t command_model_show(int argc, char **argv);

/* A number from a flag, checked. INVALID names the flag, the text and what is allowed. */
err_t flag_int(const char *flag, const char *text, long min, long max, long *ret);
err_t flag_number(const char *flag, const char *text, double min, double max, double *ret);

/* Path of a program that is installed beside this one; the caller's. */
char *program_beside(const char *name);
