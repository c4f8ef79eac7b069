#include "generator/swap.h"
#include "base/clock.h"
#include "base/mem.h"

struct swap {
    struct model *model;
    struct engine *engine;
    enum recipe_in_flight mode;
    int offers; // since the last swap
    double offered_s;
    bool asked, forced;
    bool replaces; // the rebuild under way took the place of one that was not completed
};

struct swap *swap_new(struct model *model, struct engine *engine, enum recipe_in_flight mode)
{
    struct swap *swap = mem_new(sizeof *swap);
    *swap = (struct swap){.model = model, .engine = engine, .mode = mode};
    return swap;
}

void swap_offer(struct swap *swap)
{
    if (!swap->offers++)
        swap->offered_s = clock_s();
}

void swap_force(struct swap *swap)
{
    swap->forced = true;
}

static bool may_swap(const struct swap *swap)
{
    if (swap->forced)
        return true;
    switch (swap->mode) {
    case RECIPE_FINISH:
        return engine_active(swap->engine) == 0;
    case RECIPE_RECOMPUTE:
        return !swap->replaces || engine_rebuilding(swap->engine) == 0;
    case RECIPE_CONTINUE:
        break;
    }
    return true;
}

bool swap_wants(struct swap *swap)
{
    if (!swap->offers || swap->asked || !may_swap(swap))
        return false;
    swap->asked = true;
    return true;
}

bool swap_holds(const struct swap *swap)
{
    return swap->mode == RECIPE_FINISH && swap->offers;
}

err_t swap_apply(struct swap *swap, const bf16 *values, const bool *changed, uint64_t version,
                 struct swapped *ret)
{
    const double begun = clock_s();
    struct swapped done = {.waited_s = begun - swap->offered_s, .offers = swap->offers};
    if (values)
        TRY(model_put(model_trained(swap->model), values, changed));
    done.gave_way = engine_rebuilding(swap->engine) > 0;
    engine_set_version(swap->engine, version);
    if (swap->mode == RECIPE_RECOMPUTE || (swap->mode == RECIPE_FINISH && swap->forced))
        engine_recompute(swap->engine);
    done.reprefill = engine_rebuilding(swap->engine);
    done.pause_s = clock_s() - begun;
    swap->replaces = done.gave_way;
    swap->offers = 0;
    swap->asked = swap->forced = false;
    *ret = done;
    return OK;
}

const char *swap_mode_name(enum recipe_in_flight mode)
{
    static const char *const names[] = {[RECIPE_CONTINUE] = "continue",
                                        [RECIPE_RECOMPUTE] = "recompute",
                                        [RECIPE_FINISH] = "finish"};
    return names[mode];
}

void swap_free(struct swap *swap)
{
    mem_free(swap);
}
