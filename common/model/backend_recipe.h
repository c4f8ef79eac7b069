/* The backends of a recipe: what each daemon opens.
 *
 *     struct backend_config config = backend_of_learner(recipe);
 *     config.told = log_backend;
 *     TRY(backend_open(NULL, &config, &be));
 *
 * Any thread. The recipe outlives the result. */
#pragma once
#include "svc/recipe/recipe.h"
#include "tensor/backend.h"

struct backend_config backend_of_generator(const struct recipe *recipe);
struct backend_config backend_of_rewarder(const struct recipe *recipe);
struct backend_config backend_of_learner(const struct recipe *recipe); // with the ops of training
