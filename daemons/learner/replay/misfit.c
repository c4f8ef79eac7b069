#include "learner/replay/misfit.h"
#include "base/mem.h"
#include "learner/settings.h"
#include "rl/pairs.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct misfit_rules misfit_rules(const struct recipe *recipe, struct misfit_vocabulary vocabulary,
                                 uint32_t longest)
{
    return (struct misfit_rules){.recipe = recipe,
                                 .run = recipe->run.name,
                                 .completions = (uint32_t)recipe->generator.num_generations,
                                 .vocabulary = vocabulary,
                                 .longest = longest,
                                 .scores = (uint32_t)recipe->rewarder.scorers.count,
                                 .temperature = (float)recipe->generator.temperature,
                                 .needs = settings_columns(recipe),
                                 .trained_needs = settings_trained_columns(recipe)};
}

/* The first of the tokens that the model cannot read or draw. */
static const char *misfit_tokens(const struct misfit_rules *o, const char *where,
                                 const uint32_t *token, uint32_t tokens, char why[MISFIT_WHY])
{
    for (uint32_t t = 0; t < tokens; t++) {
        const struct misfit_vocabulary *v = &o->vocabulary;
        const bool outside = token[t] >= v->size;
        if (!outside && !token_ranges_have(v->vacant, v->vacants, (int32_t)token[t]))
            continue;
        if (outside)
            snprintf(why, MISFIT_WHY, "%stoken %u is outside the vocabulary of %u", where, token[t],
                     v->size);
        else
            snprintf(why, MISFIT_WHY, "%stoken %u is none of the tokenizer's", where, token[t]);
        return why;
    }
    return NULL;
}

static const char *misfit_completion(const struct misfit_rules *o, const struct group *group,
                                     uint32_t i, char why[MISFIT_WHY])
{
    const struct completion *c = &group->completion[i];
    if ((uint64_t)group->prompt_tokens + c->tokens > o->longest) {
        snprintf(why, MISFIT_WHY, "completion %u: %u prompt tokens and %u more; at most %u fit", i,
                 group->prompt_tokens, c->tokens, o->longest);
        return why;
    }
    char where[40];
    snprintf(where, sizeof where, "completion %u: ", i);
    return misfit_tokens(o, where, c->token, c->tokens, why);
}

/* The first column of the set that completion i lacks, and whose fault that may be. */
static const char *lacks(const struct group *group, uint32_t i, uint64_t needs,
                         char why[MISFIT_WHY])
{
    for (unsigned id = 0; id < COLUMNS; id++) {
        if (!(needs & COLUMN_BIT(id)) || group_values(group, id, i))
            continue;
        const struct column_row *row = column_row(id);
        if (*row->key)
            snprintf(why, MISFIT_WHY, "completion %u has no %s; %s is %s", i, row->name, row->key,
                     row->value);
        else
            snprintf(why, MISFIT_WHY, "completion %u has no %s: the %s's status and log say why", i,
                     row->name, row->origin == ORIGIN_GENERATOR ? "generator" : "rewarder");
        return why;
    }
    return NULL;
}

/* A finite number may still be too large to count with. This one's square is a float32's, which
 * gradients are. */
static const double VALUE_MAX = 1e18;

const char *misfit_values(const struct group *group, char why[MISFIT_WHY])
{
    for (uint32_t c = 0; c < group->columns.count; c++) {
        const struct column_values *column = &group->columns.at[c];
        const size_t count = column->bytes / column_size(column->dtype);
        for (size_t k = 0; column_row(column->id) && k < count; k++) {
            const double value = column_number(column->data, column->dtype, k);
            if (fabs(value) <= VALUE_MAX)
                continue;
            snprintf(why, MISFIT_WHY, "%s[%zu] is %g; numbers from %g to %g can be trained",
                     column_name(column->id), k, value, -VALUE_MAX, VALUE_MAX);
            return why;
        }
    }
    return NULL;
}

/* The two completions that are trained of a group of pairs; false: it has no pair. */
static bool trained_pair(const struct recipe *recipe, const struct group *group,
                         struct rl_pair *ret)
{
    const struct recipe_dpo *dpo = &recipe->learner.dpo;
    SCOPED_MEM double *reward = mem_array(group->completions, sizeof *reward);
    for (uint32_t i = 0; i < group->completions; i++)
        reward[i] = group_value(group, COLUMN_REWARD, i);
    return rl_pair_of(reward, group->completions, dpo->margin, dpo->ties == RECIPE_TIES_FIRST, ret);
}

static const char *misfit_columns(const struct misfit_rules *o, const struct group *group,
                                  char why[MISFIT_WHY])
{
    const bool pairs = recipe_refers_to_pairs(o->recipe);
    for (uint32_t i = 0; i < group->completions; i++)
        if (lacks(group, i, o->needs, why))
            return why;
    if (o->scores && group_width(group, COLUMN_SCORES) != o->scores) {
        snprintf(why, MISFIT_WHY, "completion 0 has %zu scores; the recipe has %u scorers",
                 group_width(group, COLUMN_SCORES), o->scores);
        return why;
    }
    const size_t not = group_width(group, COLUMN_INAPPLICABLE);
    if (o->scores && not &&not != o->scores) {
        snprintf(why, MISFIT_WHY, "%zu scorers apply or not; the recipe has %u", not, o->scores);
        return why;
    }
    if (misfit_values(group, why))
        return why;
    struct rl_pair pair;
    if (pairs && !trained_pair(o->recipe, group, &pair))
        return NULL;
    for (uint32_t i = 0; i < group->completions; i++)
        if ((!pairs || i == pair.chosen || i == pair.rejected) &&
            lacks(group, i, o->trained_needs, why))
            return why;
    return NULL;
}

const char *misfit(const struct misfit_rules *o, const struct group *group, char why[MISFIT_WHY])
{
    if (strcmp(group->run, o->run) != 0)
        snprintf(why, MISFIT_WHY, "of run '%.60s'; this is '%.60s'", group->run, o->run);
    else if (group->completions != o->completions)
        snprintf(why, MISFIT_WHY, "%u completions; generator.num_generations is %u",
                 group->completions, o->completions);
    else if (group->temperature != o->temperature)
        snprintf(why, MISFIT_WHY, "sampled at temperature %g; generator.temperature is %g",
                 (double)group->temperature, (double)o->temperature);
    else {
        if (misfit_tokens(o, "prompt ", group->prompt_token, group->prompt_tokens, why))
            return why;
        for (uint32_t i = 0; i < group->completions; i++)
            if (misfit_completion(o, group, i, why))
                return why;
        return misfit_columns(o, group, why);
    }
    return why;
}
