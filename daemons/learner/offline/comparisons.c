#include "learner/offline/comparisons.h"
#include "base/mem.h"
#include "learner/offline/rated.h"
#include "svc/recipe/recipe_place.h"
#include <math.h>

err_t comparisons_open(const struct recipe *recipe, const struct tokenizer *tokenizer,
                       struct comparison **ret)
{
    const struct recipe_preference_model *keys = &recipe->learner.preference_model;
    if (recipe->generator.temperature != 1)
        return recipe_wrong(recipe, "generator.temperature",
                            "%g; a preference model's probabilities are of temperature 1: allowed "
                            "is 1",
                            recipe->generator.temperature);
    if (recipe_shapes_rewards(recipe))
        return recipe_wrong(recipe, "learner.reward",
                            "shapes rewards of completions, and a preference model's rows have "
                            "none; allowed: none of its keys");
    const struct comparison_config config = {.template = keys->template,
                                             .format = (enum comparison_format)keys->format,
                                             .labels = &keys->labels,
                                             .bos = keys->bos,
                                             .names = {.prompt = recipe->data.prompt_column,
                                                       .completion = recipe->data.completion_column,
                                                       .text = recipe->data.text_column},
                                             .now_s = recipe->data.now};
    return recipe_place(recipe, "learner.preference_model",
                        comparison_open(recipe->model.path, tokenizer, &config, ret));
}

/* ---- groups */

static void put_label(int32_t label, struct completion *ret)
{
    *ret = (struct completion){.tokens = 1,
                               .token = mem_array(1, sizeof *ret->token),
                               .spans = 1,
                               .span = mem_new(sizeof(struct span)),
                               .finish = FINISH_STOP,
                               .text = mem_string("")};
    ret->token[0] = (uint32_t)label;
    completion_one_turn(ret);
}

/* shown: where the better answer is, 0 or 1. */
static struct group *group_of(const struct dataset_rules *rules, const int32_t *id, int count,
                              int shown, double log_odds)
{
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.prompt_tokens = (uint32_t)count,
                            .prompt_token = mem_array((size_t)count, sizeof *group->prompt_token),
                            .temperature = rules->temperature,
                            .completions = 2};
    for (int i = 0; i < count; i++)
        group->prompt_token[i] = (uint32_t)id[i];
    group->completion = mem_array(2, sizeof *group->completion);
    put_label(comparison_label(rules->comparison, shown), &group->completion[0]);
    put_label(comparison_label(rules->comparison, !shown), &group->completion[1]);
    *(double *)group_add(group, COLUMN_REWARD, 1) = log_odds;
    return group;
}

/* The groups of one row, before all of them are known to fit. */
struct made {
    double log_odds; // of what people say
    struct group *group[ROW_SIDES * (ROW_SIDES - 1)];
    uint64_t count;
};

static void made_done(struct made *made)
{
    for (uint64_t i = 0; i < made->count; i++)
        group_free(made->group[i]);
}

/* *ret_fits: whether it was short enough. */
static err_t show(const struct dataset_rules *rules, const struct compared *row, int better,
                  int worse, const char *name, struct made *made, bool *ret_fits)
{
    for (int shown = 0; shown < 2; shown++) {
        SCOPED_MEM int32_t *id = NULL;
        int count;
        TRY(comparison_encode(rules->comparison, row->messages, row->answer[shown ? worse : better],
                              row->answer[shown ? better : worse], name, &id, &count));
        *ret_fits = *ret_fits && count <= rules->prompt_tokens;
        if (*ret_fits)
            made->group[made->count++] = group_of(rules, id, count, shown, made->log_odds);
    }
    return OK;
}

/* Annotators that are split in halves prefer neither. */
static err_t read_odds(const json_t *row, const char *name, double *ret)
{
    struct rating rating = {0};
    TRY(rated_labels(row, name, &rating));
    const double odds = rating.preferred / (1 - rating.preferred);
    *ret = rating.has_preferred ? fmax(-COMPARISON_SURE, fmin(COMPARISON_SURE, log(odds)))
                                : COMPARISON_SURE;
    return OK;
}

err_t comparisons_take(void *arg, const json_t *row, const char *name, uint64_t *ret_made)
{
    const struct comparisons *to = arg;
    SCOPED_VALUE(compared) compared = {0};
    SCOPED_VALUE(made) made = {0};
    bool fits = true;
    TRY(comparison_row(to->rules->comparison, row, name, &compared));
    TRY(read_odds(row, name, &made.log_odds));
    for (int i = 0; fits && i < compared.answers; i++)
        for (int j = 0; fits && j < compared.answers; j++)
            if (compared.score[i] > compared.score[j])
                TRY(show(to->rules, &compared, i, j, name, &made, &fits));
    if (!fits)
        return OK;
    for (uint64_t i = 0; i < made.count; i++)
        to->put(to->to, made.group[i]);
    *ret_made = made.count;
    made.count = 0;
    return OK;
}
