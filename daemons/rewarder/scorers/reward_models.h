/* The reward models of a rewarder: each directory once in memory, however many scorers and
 * ensembles name it, and one backend for all. Adapters beside the same base share it.
 *
 *     TRY(reward_models_join(context, &models));                    -- the first stage makes them
 *     TRY(reward_models_get(models, "/models/reward", &model));
 *     TRY(reward_model_scores(model, sequence, count, &watch, score));
 *     reward_models_leave(models);                                  -- the last one frees them
 *
 * Owner: the thread of the stages of the class (STAGE_TOGETHER); at the start and at the end the
 * one that opens and closes them. */
#pragma once
#include "base/scoped.h"
#include "model/scores.h"
#include "rewarder/stage.h"

struct reward_models;
struct reward_model;

err_t reward_models_join(const struct stage_context *context, struct reward_models **ret);

/* Loads it, or finds it; it lives as long as the models do. NOT_FOUND, INVALID: no reward model is
 * there. PRECONDITION: the policy has another vocabulary, tokenizer or longer sequences. EXHAUSTED:
 * this process may not have so much memory, with the models that are loaded. */
err_t reward_models_get(struct reward_models *models, const char *directory,
                        struct reward_model **ret);

/* scores_run_all by this model, and its figures. */
err_t reward_model_scores(struct reward_model *model, const struct sequence *sequence, size_t count,
                          const struct scores_watch *watch, float *ret);

void reward_models_leave(struct reward_models *models);
