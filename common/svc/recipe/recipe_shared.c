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

/* The value of a key that builds before this one do not know: only if it is not the default. */
static void tell_other(const struct recipe *recipe, const char *key, const char *usual,
                       recipe_tell fn, void *arg)
{
    if (!recipe_has(recipe, key, usual))
        tell(recipe, &key, 1, fn, arg);
}

void recipe_of_samples(const struct recipe *recipe, recipe_tell fn, void *arg)
{
    tell(recipe, samples, sizeof samples / sizeof *samples, fn, arg);
    tell_other(recipe, "data.special_tokens", "text", fn, arg);
    tell_other(recipe, "data.add_special_tokens", "false", fn, arg);
    tell_other(recipe, "generator.greedy_baseline", "false", fn, arg);
    tell_other(recipe, "data.now", "1767225600", fn, arg);
    tell_other(recipe, "model.head", "float32", fn, arg);
}

void recipe_of_scores(const struct recipe *recipe, recipe_tell fn, void *arg)
{
    tell(recipe, scores, sizeof scores / sizeof *scores, fn, arg);
    if (!recipe_has_reference(recipe))
        return;
    tell(recipe, referred, sizeof referred / sizeof *referred, fn, arg);
    tell_other(recipe, "model.head", "float32", fn, arg);
}
