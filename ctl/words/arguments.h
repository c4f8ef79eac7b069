/* The words of a command: flags, the words between them, and --help, from one table.
 *
 *     const char *reason = NULL, *words[64];
 *     size_t count = 0;
 *     const struct argument_flag flags[] = {{"reason", "TEXT", "why; kept with the change", .text = &reason}};
 *     const struct arguments arguments = {.usage = "set KEY=VALUE...", .purpose = "Changes settings.", .flags = flags,
 *                                         .flags_count = 1, .words = words, .words_min = 1, .words_max = 64,
 *                                         .words_count = &count};
 *     bool helped;
 *     TRY(arguments_read(&arguments, argc, argv, &helped));     -- INVALID: "--reasn: no such flag; did you mean '--reason'?"
 *     if (helped)
 *         return OK;
 *
 * Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { ARGUMENT_LIST = 64 };
struct argument_list {
    size_t count;
    const char *at[ARGUMENT_LIST];
};

/* --name ARGUMENT or --name=ARGUMENT sets *text, or is added to *list; --name alone sets *flag
 * where argument is NULL. A name of one letter has one dash. */
struct argument_flag {
    const char *name, *argument, *help;
    const char **text;
    bool *flag;
    struct argument_list *list;
};

struct arguments {
    const char *usage;    // after "rlhfctl "
    const char *purpose;  // one or more lines
    const char *examples; // indented lines; NULL: none
    const struct argument_flag *flags;
    size_t flags_count;
    const char **words; // room for words_max, borrowed from argv
    size_t words_min, words_max, *words_count;
};

/* argv[0] is the command's name. Words after "--" are no flags. *ret_helped: --help or -h was asked
 * for, and printed. */
err_t arguments_read(const struct arguments *arguments, int argc, char **argv, bool *ret_helped);
void arguments_help(const struct arguments *arguments, struct bytes *ret);
