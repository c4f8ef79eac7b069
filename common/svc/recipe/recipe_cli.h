/* A program's command line: PROGRAM RECIPE.yaml [--run DIR] [--set section.key=value]... and flags
 * of its own.
 *
 *     const char *job = NULL;
 *     struct recipe_flag flags[] = {{"job", "KIND", "run one offline job (sft) and exit", .text = &job}};
 *     struct recipe_cli cli = {.program = "rlhfd-learner", .purpose = "Keeps scored groups, trains, publishes.",
 *                              .flags = flags, .flags_count = 1};
 *     TRY(recipe_load(&cli, argc, argv, &recipe));
 *
 * Owner: the main thread. */
#pragma once
#include "svc/recipe/recipe.h"

/* --name ARGUMENT or --name=ARGUMENT sets *text, borrowed from argv; without an argument's name,
 * --name sets *flag. */
struct recipe_flag {
    const char *name, *argument, *help;
    const char **text;
    bool *flag;
};

struct recipe_cli {
    const char *program, *purpose;
    struct recipe_flag *flags;
    size_t flags_count;
    bool recipe_optional; // without a file: defaults and --set
    /* A daemon's name: it takes the options that `rlhfctl up` gives, --recipe-fd and --log; NULL:
     * none */
    const char *member;
    /* For words after RECIPE.yaml ("PROMPT..."); NULL: none are allowed */
    const char *positional_help;
    const char **positional; // those words, borrowed from argv: room for positional_max
    size_t positional_max, *positional_count;
};

/* Reads the command line and the recipe. --help and --version print to standard output, and *ret
 * stays NULL with OK. INVALID: unknown flags (with did you mean), missing arguments, all of
 * recipe_read, and a recipe that cannot be read. */
err_t recipe_load(const struct recipe_cli *cli, int argc, char **argv, struct recipe **ret);

/* The text of --help. */
void recipe_help(const struct recipe_cli *cli, struct bytes *ret);

/* docs/recipe.md: every option, its range, its help. stages: the rewarder's part, on its stages
 * (rlhfd-rewarder --job document), as Markdown. */
void recipe_markdown(const char *stages, struct bytes *ret);
