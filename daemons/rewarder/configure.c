#include "rewarder/configure.h"
#include "base/mem.h"

err_t scorers_from_recipe(const struct recipe *recipe, struct scorers **ret)
{
    const struct recipe_scorers *list = &recipe->rewarder.scorers;
    SCOPED_MEM struct scorer_config *config = mem_array(list->count, sizeof *config);
    if (!list->count)
        return err_new(ERR_INVALID, "%s: rewarder.scorers is empty: without a scorer there is no reward", recipe->file);
    for (size_t i = 0; i < list->count; i++) {
        const struct recipe_scorer *from = &list->at[i];
        config[i] = (struct scorer_config){
            .kind = from->kind, .column = from->column, .weight = from->weight, .pattern = from->pattern,
            .strip = from->strip, .eos = from->eos, .min = from->min, .max = from->max,
            .unit = from->unit == RECIPE_CHARACTERS ? LENGTH_CHARACTERS : LENGTH_TOKENS};
    }
    return err_wrap(scorers_new(config, list->count, ret), "%s", recipe->file);
}
