#include "learner/offline/reward_run.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/text/tokenizer.h"
#include "svc/recipe/recipe_place.h"
#include <math.h>
#include <string.h>

/* The names of the objectives that train one, joined by ", ". The caller's. */
static char *objectives(void)
{
    struct bytes names = {0};
    const struct objective_row *row;
    bytes_text(&names, "");
    for (size_t i = 0; (row = objective_row_at(i)); i++)
        if (objective_is_judge(row))
            bytes_printf(&names, "%s%s", names.len ? ", " : "", row->name);
    return (char *)names.data;
}

err_t reward_check(const struct recipe *recipe, const struct objective_row *row, bool wanted)
{
    SCOPED_MEM char *names = objectives();
    if (!wanted)
        return recipe_wrong(recipe, "learner.objective",
                            "%s trains a reward model (rlhfctl reward train); rlhfctl train takes "
                            "those that train a policy",
                            row->name);
    if (!objective_is_judge(row))
        return recipe_wrong(recipe, "learner.objective",
                            "%s trains a policy; rlhfctl reward train allows %s", row->name, names);
    if (row->unit != OBJECTIVE_SEQUENCE && recipe->learner.reward_model.standardize)
        return recipe_wrong(recipe, "learner.reward_model.standardize",
                            "true is of ratings, and %s compares; allowed: false", row->name);
    if (recipe->learner.reference.kind != RECIPE_REFERENCE_NONE)
        return recipe_wrong(recipe, "learner.reference.kind",
                            "a reward model has no reference; allowed: none");
    if (recipe_shapes_rewards(recipe))
        return recipe_wrong(recipe, "learner.reward",
                            "shapes what scorers say of completions, and here people judge; "
                            "allowed: none of its keys");
    if (recipe->train.chunks != 1)
        return recipe_wrong(recipe, "train.chunks",
                            "each chunk moves the reference, and a reward model has none; "
                            "allowed: 1");
    return OK;
}

static bool ends_texts(const struct tokenizer *tokenizer, const struct model_config *config, int id)
{
    bool ends = id == tokenizer_end(tokenizer, config) || id == tokenizer_eos(tokenizer);
    for (int i = 0; i < config->eos_count; i++)
        ends = ends || id == config->eos[i];
    return ends;
}

err_t reward_pad(const struct recipe *recipe, const struct tokenizer *tokenizer,
                 struct model *model)
{
    static const char key[] = "learner.reward_model.pad_token";
    const char *token = recipe->learner.reward_model.pad_token;
    struct model_config *config = &model->config;
    int id = *token             ? tokenizer_id(tokenizer, token)
             : config->pad >= 0 ? config->pad
                                : tokenizer_pad(tokenizer);
    if (*token && (id < 0 || id >= config->V))
        return recipe_wrong(recipe, key, "'%s' is no token of '%s'; allowed: one that ends no text",
                            token, recipe->model.path);
    if (id < 0)
        return recipe_wrong(recipe, key,
                            "is empty, and '%s' names no pad token; allowed: a token of its "
                            "vocabulary that ends no text",
                            recipe->model.path);
    if (ends_texts(tokenizer, config, id))
        return recipe_wrong(recipe, key,
                            "%s%s%stoken %d ends texts, and scores are read at the last token "
                            "that is not pad; allowed: a token that ends no text",
                            token, *token ? ": " : "the pad token of model.path: ", "", id);
    config->pad = id;
    return OK;
}

/* ---- ratings in standard deviations */

struct ratings {
    double count, mean, squares; // squares: of the distances from the mean
};

/* Welford's: exact enough for ratings far from 0. */
static struct ratings ratings_of(const struct dataset *rows)
{
    struct ratings r = {0};
    for (uint64_t g = 0; g < rows->count; g++)
        for (uint32_t i = 0; i < rows->group[g]->completions; i++) {
            const double x = group_value(rows->group[g], COLUMN_REWARD, i), before = x - r.mean;
            r.count++;
            r.mean += before / r.count;
            r.squares += before * (x - r.mean);
        }
    return r;
}

static void standardize(struct dataset *rows, double mean, double std)
{
    for (uint64_t g = 0; g < rows->count; g++) {
        double *reward = (double *)group_values(rows->group[g], COLUMN_REWARD, 0);
        for (uint32_t i = 0; i < rows->group[g]->completions; i++)
            reward[i] = (reward[i] - mean) / std;
    }
}

err_t reward_standardize(const struct recipe *recipe, struct dataset *rows,
                         struct dataset *held_out)
{
    const struct ratings r = ratings_of(rows);
    const double std = sqrt(r.squares / r.count);
    if (!recipe->learner.reward_model.standardize)
        return OK;
    if (!(std > 0))
        return recipe_wrong(recipe, "learner.reward_model.standardize",
                            "true, and all ratings of data.train are %g; allowed: false", r.mean);
    standardize(rows, r.mean, std);
    standardize(held_out, r.mean, std);
    SCOPED_MEM char *path = file_join(recipe->directory, "ratings.json");
    SCOPED_MEM char *text =
        mem_printf("{\"count\": %.0f, \"mean\": %.17g, \"std\": %.17g}\n", r.count, r.mean, std);
    return file_write(path, text, strlen(text));
}
