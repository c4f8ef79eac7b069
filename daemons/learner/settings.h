/* Makes the options of the learner's parts from the recipe. Any thread: pure. */
#pragma once
#include "learner/store/store.h"
#include "model/optimizer.h"
#include "rl/column_table.h"
#include "rl/objective.h"
#include "svc/recipe/recipe.h"
#include "wire/hello.h"

/* INVALID: a setting that this objective cannot have. */
err_t settings_objective(const struct recipe *recipe, const struct objective **ret,
                         struct objective_config *ret_config);
struct schedule settings_schedule(const struct recipe_optimizer *optimizer, int64_t updates);
struct optimizer_config settings_optimizer(const struct recipe_optimizer *optimizer);
struct store_rules settings_store(const struct recipe *recipe);

/* Bytes of a checkpoint of this model on disk, at least: weights, their masters, two moments. */
uint64_t settings_checkpoint_bytes(const struct model *model);

/* Tokens of a prompt and a completion together, at most. */
int settings_longest(const struct recipe *recipe, const struct model_config *config);

/* Sets of COLUMN_BIT: the columns that every completion must have; and the further ones of a
 * trained completion, which rewarders fill by this recipe. */
uint64_t settings_columns(const struct recipe *recipe);
uint64_t settings_trained_columns(const struct recipe *recipe);

/* The training id of the numerics, as rounds record it: equal texts and settings, equal bits. A
 * critic's layout is part of it; NULL: there is none. The caller's. */
char *settings_fingerprint(const struct model *policy, const struct model *critic);

/* INVALID: the backend's training is not repeatable, so a restart could not train recorded
 * rounds again. */
err_t settings_repeatable(const struct backend *be);

/* The hellos that a generator and a rewarder must have, by hello_check. chat: data have rows of
 * messages, so the model's chat template decides samples. */
err_t settings_hellos(const struct recipe *recipe, const struct model *policy, bool chat,
                      struct hello *ret_samples, struct hello *ret_scores);
