/* How a recipe has a model decode. */
#include "model/backend_recipe.h"
#include "model/engine/decoder.h"
#include "svc/recipe/recipe.h"

struct decoder_options decoder_options_of(const struct recipe *recipe)
{
    const struct recipe_generator *g = &recipe->generator;
    return (struct decoder_options){
        .directory = recipe->model.path,
        .adapted = recipe,
        .backend = backend_of_generator(recipe),
        .kv = (enum kv_format)recipe->model.kv,
        .rows = row_rules_of(recipe, NULL, NULL, -1),
        .max_prompt_tokens = recipe->data.max_prompt_tokens,
        .max_tokens = g->max_tokens,
        .stop = {.text = g->stop.at,
                 .texts = g->stop.count,
                 .token = g->stop_tokens.at,
                 .tokens = g->stop_tokens.count},
        .sampling = {.repetition_penalty = (float)g->repetition_penalty,
                     .temperature = (float)g->temperature,
                     .top_k = (int)g->top_k,
                     .top_p = (float)g->top_p,
                     .min_p = (float)g->min_p,
                     .greedy_from = g->greedy_baseline ? (uint32_t)(g->num_generations - 1) : 0,
                     .seed = (uint64_t)recipe->run.seed},
        .slots = (int)g->slots,
        .step_rows = (int)(g->step_rows > g->slots ? g->step_rows : g->slots),
        .kv_bytes = (size_t)g->kv_bytes,
    };
}

struct decoder_options decoder_options_apart(const struct recipe *recipe, double temperature)
{
    struct decoder_options options = decoder_options_of(recipe);
    options.sampling.temperature = (float)temperature;
    options.sampling.greedy_from = 0;
    if (temperature == 0) {
        options.sampling.top_k = 0;
        options.sampling.top_p = options.sampling.min_p = 0;
    }
    return options;
}
