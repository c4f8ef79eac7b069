/* Completions of a whole set of prompts, kept as JSON lines in the order of the prompts: what
 * generate and eval print.
 *
 *     SCOPED_VALUE(prompt_set) set = {0};
 *     TRY(prompt_set_read("test.jsonl", "prompt", 512, &set));
 *     SCOPED_VALUE(collected) collected = {.set = &set};
 *     TRY(complete(directory, &options, &set, &collected));
 *
 * Owner: one thread. */
#pragma once
#include "base/json.h"
#include "ctl/make/progress.h"
#include "ctl/make/sample.h"
#include "svc/recipe/recipe.h"
#include <stdio.h>

/* Prompts with their rows, in memory: text is borrowed from row. */
struct prompt_set {
    struct sample_prompt *at;
    json_t **row;
    size_t count;
};

void prompt_set_done(struct prompt_set *set);

/* Takes row. INVALID: it has no such text column; name is what the error calls the place. */
err_t prompt_set_add(struct prompt_set *set, json_t *row, const char *name, const char *column);
err_t prompt_set_read(const char *path, const char *column, uint64_t most, struct prompt_set *set);

/* A line: {"row", "text", "tokens", "ids", "ended", "logp", "prompt", "completion"}; ids: the
 * completion's tokens. */
struct collected {
    const struct prompt_set *set;
    json_t **line; // (prompts * completions)
    int completions;
    struct progress progress;
};

void collected_done(struct collected *c);

/* How far it is goes to standard error now and then. */
err_t complete(const char *model, const struct sample_options *options,
               const struct prompt_set *set, struct collected *ret);

/* The same with a sample that the caller keeps, opened with these options. */
err_t complete_with(struct sample *sample, const struct sample_options *options,
                    const struct prompt_set *set, struct collected *ret);
err_t collected_write(FILE *out, const struct collected *c);

/* How the recipe's generator samples, at another temperature; random draws are not those of
 * training. */
struct sample_options complete_options(const struct recipe *recipe, double temperature,
                                       int completions);

/* The flag's directory, or the run's newest checkpoint, or model.path. *ret is the caller's. */
err_t complete_model(const struct recipe *recipe, const char *flag, char **ret);
