#include "svc/recipe/recipe_shared.h"
#include "base/mem.h"
#include <assert.h>

static const char *const samples[] = {
    "run.name",
    "run.seed",
    "model.kv",
    "data.prompt_column",
    "data.max_prompt_tokens",
    "generator.num_generations",
    "generator.max_tokens",
    "generator.temperature",
    "generator.top_p",
    "generator.top_k",
    "generator.min_p",
    "generator.repetition_penalty",
    "generator.stop",
    "generator.stop_tokens",
    "generator.in_flight",
    "eval.every",
    "eval.temperature",
};
static const char *const scores[] = {"run.name", "rewarder.scorers", "rewarder.reference"};
/* Which completions the reference sees, and how long a sequence may be. */
static const char *const referred[] = {
    "model.kv",          "data.max_prompt_tokens", "generator.max_tokens",
    "learner.objective", "learner.dpo.ties",
};

static void tell(const struct recipe *recipe, const char *const *keys, size_t count, recipe_tell fn,
                 void *arg)
{
    for (size_t i = 0; i < count; i++) {
        SCOPED_MEM char *value = NULL;
        err_t unknown = recipe_get(recipe, keys[i], &value);
        assert(!err_failed(unknown)); // a key of the table
        err_free(unknown);
        if (value)
            fn(arg, keys[i], value);
    }
}

void recipe_of_samples(const struct recipe *recipe, recipe_tell fn, void *arg)
{
    static const char *const special[] = {"data.special_tokens"};
    tell(recipe, samples, sizeof samples / sizeof *samples, fn, arg);
    if (recipe->data.special_tokens != RECIPE_SPECIAL_TEXT) // builds before it do not know it
        tell(recipe, special, 1, fn, arg);
}

void recipe_of_scores(const struct recipe *recipe, recipe_tell fn, void *arg)
{
    tell(recipe, scores, sizeof scores / sizeof *scores, fn, arg);
    if (recipe_has_reference(recipe))
        tell(recipe, referred, sizeof referred / sizeof *referred, fn, arg);
}
