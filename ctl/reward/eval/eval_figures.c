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

void eval_figures_of(const struct eval_data *data, const struct bootstrap *given,
                     struct eval_figures *ret)
{
    SCOPED_VALUE(battles) battles = {0};
    struct bootstrap bootstrap = *given;
    bootstrap.clusters = data->prompts;
    pair_figures_of(data, &bootstrap, &ret->pairs);
    answer_figures_of(data, &bootstrap, &ret->answers);
    best_figures_of(data, &bootstrap, &ret->best);
    if (data->models.count > 1)
        find_battles(data, &battles);
    ret->battles = battles.count;
    if (battles.count)
        league_of(battles.at, battles.count, data->models.count, &bootstrap, &ret->league);
}

void eval_figures_done(struct eval_figures *figures)
{
    mem_free(figures->pairs.group);
    mem_free(figures->pairs.group_pairs);
    mem_free(figures->best.gold);
    mem_free(figures->best.pessimistic);
    mem_free(figures->best.oracle);
    mem_free(figures->best.regret);
    mem_free(figures->best.score);
    league_done(&figures->league);
}
