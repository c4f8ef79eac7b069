/* The parts of an offline run that only reward models have: rules of the recipe, the token that
 * pads, ratings in standard deviations.
 *
 *     TRY(reward_check(recipe, row, true));
 *     TRY(reward_pad(recipe, tokenizer, model));       -- the files that training writes name it
 *
 * Owner: the main thread. */
#pragma once
#include "learner/offline/dataset.h"
#include "model/model.h"
#include "rl/objective_table.h"
#include "svc/recipe/recipe.h"

struct tokenizer;

/* Whether the objective is of the command: `wanted` says that a reward model is to be trained.
 * INVALID: it is not, or the recipe has settings of policies. */
err_t reward_check(const struct recipe *recipe, const struct objective_row *row, bool wanted);

/* A score is read at the last token that is no padding. So the token that pads ends no text, or
 * transformers would read it before the end token. Sets the model's. INVALID: there is none, or it
 * is an end token. */
err_t reward_pad(const struct recipe *recipe, const struct tokenizer *tokenizer,
                 struct model *model);

/* learner.reward_model.standardize: the rewards of both become their distance from the mean of the
 * first's, in its standard deviations; RUN/ratings.json has the two. Without the key nothing
 * happens. INVALID: all ratings are the same. */
err_t reward_standardize(const struct recipe *recipe, struct dataset *rows,
                         struct dataset *held_out);
