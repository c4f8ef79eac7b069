/* The adapter that a recipe asks for. */
#include "model/adapter.h"
#include "svc/recipe/recipe.h"

static err_t begin_from(struct model *base, const char *directory, const struct recipe *recipe)
{
    const struct recipe_lora *lora = &recipe->lora;
    TRY(adapter_load(base, directory, lora->path));
    const int r = base->adapter->config.lora.r;
    if (!lora->r || lora->r == r)
        return OK;
    return err_new(ERR_INVALID, "'%s' has rank %d, and lora.r is %d: leave lora.r out", lora->path,
                   r, (int)lora->r);
}

err_t adapter_shape(const struct recipe *recipe, const struct model_config *base,
                    struct model_config *ret)
{
    const struct recipe_lora *from = &recipe->lora;
    struct model_config config = *base;
    config.lora = (struct lora){.r = (int)from->r};
    if (*from->path)
        TRY(adapter_config_read(from->path, base, &config.lora));
    else if (from->r)
        TRY(adapter_targets(base->family, (const char *const *)from->target_modules.at,
                            from->target_modules.count, &config.lora.roles));
    config.parts = PART_ADAPTER | (base->parts & PART_VALUE);
    *ret = config;
    return OK;
}

err_t adapter_begin(struct model *base, const char *directory, const struct recipe *recipe,
                    uint64_t seed)
{
    const struct recipe_lora *from = &recipe->lora;
    struct lora lora = {.r = (int)from->r, .alpha = from->alpha, .rslora = from->use_rslora};
    if (!from->r && !*from->path) // recipe_has_lora
        return OK;
    if (*from->path)
        return begin_from(base, directory, recipe);
    TRY(adapter_targets(base->config.family, (const char *const *)from->target_modules.at,
                        from->target_modules.count, &lora.roles));
    return adapter_new(base, directory, &lora, (enum lora_init)from->init, seed);
}
