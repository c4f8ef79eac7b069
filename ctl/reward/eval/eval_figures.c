#include "ctl/reward/eval/eval_figures.h"
#include "base/mem.h"
#include <math.h>

/* Two answers to one prompt by two models meet: in a row of a pair, and of those of one prompt the
 * first ones. */
enum { PROMPT_ANSWERS = 64, BATTLES_MAX = 20000000 };

static double who(double a, double b)
{
    return a > b ? 1 : a < b ? 0 : 0.5;
}

struct battles {
    struct battle *at;
    size_t count, room;
};

static void battles_done(struct battles *battles)
{
    mem_free(battles->at);
}

static void add_battle(struct battles *b, const struct battle *battle)
{
    const size_t none = EVAL_NONE;
    if (battle->a == none || battle->b == none || battle->a == battle->b || b->count == BATTLES_MAX)
        return;
    if (b->count == b->room) {
        b->room = 2 * b->room + 64;
        b->at = mem_grow(b->at, b->room, sizeof *b->at);
    }
    b->at[b->count++] = *battle;
}

static void add_prompt(const struct eval_data *data, size_t p, struct battles *ret)
{
    const struct eval_answer *answer = data->answer + data->first[p];
    const size_t all = data->first[p + 1] - data->first[p],
                 n = all < PROMPT_ANSWERS ? all : PROMPT_ANSWERS;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            add_battle(ret, &(struct battle){.a = answer[i].model,
                                             .b = answer[j].model,
                                             .people = who(answer[i].gold, answer[j].gold),
                                             .score = who(answer[i].score, answer[j].score),
                                             .cluster = p});
}

/* Of pairs, if any of them names its models; else of answers. */
static void find_battles(const struct eval_data *data, struct battles *ret)
{
    for (size_t i = 0; i < data->pairs; i++) {
        const struct eval_pair *p = &data->pair[i];
        add_battle(ret, &(struct battle){.a = p->model_chosen,
                                         .b = p->model_rejected,
                                         .people = p->target,
                                         .score = who(p->chosen, p->rejected),
                                         .cluster = p->prompt});
    }
    const bool told = ret->count;
    for (size_t p = 0; !told && p < data->prompts; p++)
        add_prompt(data, p, ret);
}

/* ---- groups */

/* The answers of a group, with the prompts of all: the bootstrap draws the same ones. */
static void of_group(const struct eval_data *data, size_t group, struct eval_data *ret)
{
    *ret = (struct eval_data){.prompts = data->prompts,
                              .first = mem_array(data->prompts + 2, sizeof *ret->first),
                              .answer = mem_array(data->answers, sizeof *ret->answer)};
    for (size_t p = 0; p < data->prompts; p++) {
        for (size_t i = data->first[p]; i < data->first[p + 1]; i++)
            if (data->answer[i].group == group)
                ret->answer[ret->answers++] = data->answer[i];
        ret->first[p + 1] = ret->answers;
    }
}

static void figures_of_groups(const struct eval_data *data, const struct bootstrap *bootstrap,
                              struct eval_figures *ret)
{
    ret->groups = data->groups.count;
    ret->group = mem_array(ret->groups, sizeof *ret->group);
    for (size_t g = 0; g < ret->groups; g++) {
        SCOPED_VALUE(eval_data) own = {0};
        of_group(data, g, &own);
        answer_figures_of(&own, bootstrap, &ret->group[g].answers);
        best_figures_of(&own, bootstrap, &ret->group[g].best);
    }
}

void eval_figures_of(const struct eval_data *data, const struct bootstrap *given,
                     struct eval_figures *ret)
{
    SCOPED_VALUE(battles) battles = {0};
    struct bootstrap bootstrap = *given;
    bootstrap.clusters = data->prompts;
    pair_figures_of(data, &bootstrap, &ret->pairs);
    answer_figures_of(data, &bootstrap, &ret->answers);
    best_figures_of(data, &bootstrap, &ret->best);
    if (data->answers && data->groups.count)
        figures_of_groups(data, &bootstrap, ret);
    if (data->models.count > 1)
        find_battles(data, &battles);
    ret->battles = battles.count;
    if (battles.count)
        league_of(battles.at, battles.count, data->models.count, &bootstrap, &ret->league);
}

static void best_done(struct best_figures *best)
{
    mem_free(best->gold);
    mem_free(best->pessimistic);
    mem_free(best->oracle);
    mem_free(best->regret);
    mem_free(best->score);
}

void eval_figures_done(struct eval_figures *figures)
{
    mem_free(figures->pairs.group);
    mem_free(figures->pairs.group_pairs);
    best_done(&figures->best);
    for (size_t g = 0; figures->group && g < figures->groups; g++)
        best_done(&figures->group[g].best);
    mem_free(figures->group);
    league_done(&figures->league);
}
