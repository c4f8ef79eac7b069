/* Scored lines as numbers: pairs of answers with people's choice, answers with a gold score.
 *
 *     struct eval_columns columns = {.score = "score", .gold = "gold", .prompt = "prompt"};
 *     SCOPED_VALUE(eval_data) data = {.columns = columns};
 *     TRY(eval_data_add(&data, line, "scored.jsonl:7"));      -- each line
 *     eval_data_end(&data);                                   -- answers lie by prompt
 *
 * A column's name has the endings of `rlhfctl reward score`: NAME_chosen and NAME_rejected, NAMEs,
 * NAME. Owner: one thread. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/scoped.h"
#include "ctl/reward/eval/bradley_terry.h"
#include <stdint.h>

enum { EVAL_ANSWERS_MAX = 20000000, EVAL_GROUPS = 256 };
#define EVAL_NONE SIZE_MAX

struct eval_columns {
    const char *score;
    const char *gold;                // NULL: 'gold', else a label; of lists 'golds', else 'scores'
    const char *by;                  // the line's group; NULL: none
    const char *prompt, *completion; // those of rows (data.*)
};

struct eval_pair {
    double chosen, rejected; // scores
    double target;           // the share of people who prefer the chosen one
    double longer;           // the chosen answer's bytes above the rejected one's
    size_t prompt, group, model_chosen, model_rejected; // EVAL_NONE: not told
};

struct eval_answer {
    double score, gold; // gold of a label: 0 or 1
    double length;      // bytes
    size_t prompt, group, model;
};

/* Texts by number. */
struct eval_names {
    json_t *number; // of each text
    const char **at;
    size_t count;
};

struct eval_data {
    struct eval_columns columns;
    struct eval_pair *pair;
    struct eval_answer *answer; // those with a gold score
    size_t pairs, answers, prompts;
    size_t *first; // (prompts + 1) a prompt's answers, after eval_data_end
    struct eval_names groups, models;
    size_t lines, unscored, without_gold; // unscored: pairs and answers whose score is null
    json_t *known;                        // prompts by their digests
    size_t pairs_room, answers_room;
};
void eval_data_done(struct eval_data *data);

/* INVALID: "NAME: ...": no score, a value that is none, too many groups or models. */
err_t eval_data_add(struct eval_data *data, const json_t *line, const char *name);

/* Sorts the answers by prompt, each prompt's in the order of lines. */
void eval_data_end(struct eval_data *data);
