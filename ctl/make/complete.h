/* Completions of a whole set of prompts, kept as JSON lines in the order of the prompts. generate
 * and eval print them.
 *
 *     SCOPED_VALUE(prompt_set) set = {0};
 *     TRY(prompt_set_read("test.jsonl", 512, &set));
 *     const struct decoder_options options = complete_options(recipe, directory, 0.7, 4);
 *     TRY(decoder_open(&options, &decoder));
 *     SCOPED_VALUE(collected) collected = {.set = &set, .completions = 4};
 *     TRY(complete(decoder, &set, &collected));
 *
 * Owner: one thread. */
#pragma once
#include "base/json.h"
#include "ctl/make/progress.h"
#include "model/engine/decoder.h"
#include "svc/recipe/recipe.h"
#include <stdio.h>

struct prompt {
    json_t *row;
    uint64_t number; // of its line, from 0; names its random draws
};

struct prompt_set {
    const char *path; // borrowed; NULL: no file
    struct prompt *at;
    size_t count, skipped; // skipped: prompts that were too long, and are not in the set any more
};

void prompt_set_done(struct prompt_set *set);

/* Takes row; whether it has a prompt says complete. */
void prompt_set_add(struct prompt_set *set, json_t *row);
err_t prompt_set_read(const char *path, uint64_t most, struct prompt_set *set);

/* Writes the name of prompt i in errors; returns ret. */
enum { PROMPT_NAME = 512 };
const char *prompt_name(const struct prompt_set *set, size_t i, char ret[PROMPT_NAME]);

/* A line: {"row", "text", "tokens", "ids", "ended", "logp", "prompt", "completion"}; ids: the
 * completion's tokens. */
struct collected {
    const struct prompt_set *set;
    json_t **line; // (prompts * completions)
    int completions;
    struct progress progress;
};

void collected_done(struct collected *c);

/* Prompts that are too long leave the set first; standard error says how many, and why. INVALID:
 * all of them are too long. Standard error also says now and then how far the work is. */
err_t complete(struct decoder *decoder, struct prompt_set *set, struct collected *ret);
err_t collected_write(FILE *out, const struct collected *c);

/* A decoder's options as evaluation has them (decoder_options_apart), for the model of a directory
 * and prompts with so many completions. */
struct decoder_options complete_options(const struct recipe *recipe, const char *directory,
                                        double temperature, int completions);

/* The flag's directory, or the run's newest checkpoint, or model.path. *ret is the caller's. */
err_t complete_model(const struct recipe *recipe, const char *flag, char **ret);
