/* A reward model's directory opened to score lines of a file: model, tokenizer, chat template.
 *
 *     SCOPED_VALUE(reward_scorer) scorer = {0};
 *     TRY(reward_scorer_open(recipe, "reward", &scorer));
 *     TRY(reward_scorer_check(&scorer, rows, note, arg));      -- every line can be scored
 *     TRY(reward_scorer_run(&scorer, rows, each, arg));
 *
 * A score has the bits that a rewarder of the ring gives the same tokens. Owner: one thread. */
#pragma once
#include "base/jsonl.h"
#include "ctl/reward/answers.h"
#include "model/scores.h"
#include "svc/recipe/recipe.h"

struct reward_scorer {
    struct backend *be;
    struct model *model;
    struct tokenizer *tokenizer;
    struct row_chat chat;
    struct row_rules rules;
    struct scores *scores;
    const char *directory; // borrowed
    bool text;             // completions by their text and not by their ids
    int longest;           // tokens of the longest sequence that the model takes
    size_t sequences, too_long;
};

/* The recipe's rewarder.* says where it computes, data.* how rows are read. INVALID, NOT_FOUND: one
 * line that names the directory and the fault. */
err_t reward_scorer_open(const struct recipe *recipe, const char *directory,
                         struct reward_scorer *ret);
void reward_scorer_done(struct reward_scorer *scorer);

/* A line with its answers; an error ends the work. */
typedef err_t reward_line(void *arg, json_t *line, const char *name, const struct answers *answers,
                          const double *score);

/* Tokenizes all lines, and hands each to fn with score NULL. Makes room for the longest sequence;
 * those beyond the model's positions are counted in too_long. */
err_t reward_scorer_check(struct reward_scorer *scorer, const struct jsonl *rows, reward_line *fn,
                          void *arg);

/* Scores all lines, in their order; fn may change the line. NaN: the sequence is too long. Standard
 * error says now and then how far the work is. */
err_t reward_scorer_run(struct reward_scorer *scorer, const struct jsonl *rows, reward_line *fn,
                        void *arg);
