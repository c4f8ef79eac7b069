#include "generator/swap.h"
#include "base/clock.h"
#include "base/mem.h"

struct swap {
    struct engine *engine;
    struct refresh *refresh;
    enum recipe_in_flight mode;
    int offers; // since the last swap
    double offered_s;
    bool asked, forced;
    bool replaces; // the rebuild under way took the place of one that was not completed
};

err_t swap_new(struct model *model, struct engine *engine, enum recipe_in_flight mode,
               struct swap **ret)
{
    SCOPED(swap) swap = mem_new(sizeof *swap);
    *swap = (struct swap){.engine = engine, .mode = mode};
    TRY(refresh_new(model, &swap->refresh));
    *ret = STEAL(swap);
    return OK;
}

err_t swap_lend(struct swap *swap, void **ret_memory, size_t *ret_bytes)
{
    return refresh_lend(swap->refresh, ret_memory, ret_bytes);
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

void swap_begin(struct swap *swap, const struct new_weights *weights)
{
    refresh_begin(swap->refresh, weights);
}

err_t swap_bring(struct swap *swap, bool *ret_there)
{
    return refresh_bring(swap->refresh, ret_there);
}

err_t swap_apply(struct swap *swap, uint64_t version, struct swapped *ret)
{
    const double begun = clock_s();
    struct swapped done = {
        .version = version, .waited_s = begun - swap->offered_s, .offers = swap->offers};
    TRY(refresh_apply(swap->refresh));
    done.how = refresh_figures(swap->refresh);
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
    if (!swap)
        return;
    refresh_free(swap->refresh);
    mem_free(swap);
}
