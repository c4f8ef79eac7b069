/* Which sequences have pages of keys and values in a step. Suspended sequences lose theirs first.
 * Among the others the older goes first, always: an older sequence takes the pages of the youngest,
 * which starts again when there is room. So the oldest always gets on, and nothing waits for
 * ever. */
#include "model/engine/engine_state.h"
#include <assert.h>

enum { WORKING_PER_SPARE = 8 };

int engine_pages_for(int positions)
{
    return (positions + KV_PAGE - 1) / KV_PAGE;
}

void engine_drop_pages(struct engine *e, struct slot *slot)
{
    while (slot->pages)
        pages_drop(e->pages, slot->page[--slot->pages]);
    slot->cached = 0;
}

/* Pages that the prompt fills entirely: nobody writes them again, so they can be shared. */
static int whole_pages(const struct slot *slot)
{
    return slot->prompt_tokens / KV_PAGE;
}

/* Another slot of the request, which has computed the whole pages of the prompt. NULL: none. */
static const struct slot *mate_of(const struct engine *e, const struct slot *slot)
{
    for (int i = 0; i < e->actives; i++) {
        const struct slot *mate = e->active[i];
        if (mate != slot && mate->tag == slot->tag && mate->pages >= whole_pages(slot) &&
            mate->cached >= whole_pages(slot) * KV_PAGE)
            return mate;
    }
    return NULL;
}

/* Whether an older slot of the request is about to compute these pages. */
static bool mate_is_coming(const struct engine *e, const struct slot *slot)
{
    for (int i = 0; i < e->actives && e->active[i]->order < slot->order; i++)
        if (e->active[i]->tag == slot->tag && e->active[i]->state == SLOT_RUNNING)
            return true;
    return false;
}

static void share(struct engine *e, struct slot *slot, const struct slot *mate)
{
    assert(!slot->pages && slot->cached == 0);
    for (; slot->pages < whole_pages(slot); slot->pages++) {
        slot->page[slot->pages] = mate->page[slot->pages];
        pages_hold(e->pages, slot->page[slot->pages]);
    }
    slot->cached = slot->pages * KV_PAGE;
}

err_t engine_adopt(struct engine *e, struct slot *slot, const struct slot *first)
{
    struct backend *be = e->model->be;
    const int whole = whole_pages(slot);
    engine_drop_pages(e, slot); // pages that a failed step left behind
    share(e, slot, first);
    if (slot->prompt_tokens % KV_PAGE) {
        const int32_t page = pages_take(e->pages);
        if (page < 0)
            return OK; // the slot computes the rest of the prompt when there is room
        slot->page[slot->pages++] = page;
        TRY(be->ops->kv_copy(be, e->kv, page, first->page[whole]));
    }
    slot->cached = slot->prompt_tokens;
    return OK;
}

/* Whether dropping the slot's pages frees any. Shared pages come first, so the last one tells. */
static bool holds_its_own(const struct engine *e, const struct slot *slot)
{
    return slot->pages && pages_holders(e->pages, slot->page[slot->pages - 1]) == 1;
}

/* The slot whose pages `slot` may take: one of the suspended, or one that is younger than slot. The
 * youngest with pages of its own comes first, then the youngest of another request that has any.
 * NULL: none. */
static struct slot *victim_of(const struct engine *e, const struct slot *slot, bool suspended)
{
    struct slot *victim = NULL;
    for (int i = e->actives - 1; i >= 0; i--) {
        struct slot *other = e->active[i];
        if (other == slot ||
            (suspended ? other->state != SLOT_SUSPENDED : other->order <= slot->order))
            continue;
        if (holds_its_own(e, other))
            return other;
        if (other->pages && other->tag != slot->tag && !victim)
            victim = other;
    }
    return victim;
}

static bool preempt_one(struct engine *e, const struct slot *slot)
{
    struct slot *victim = victim_of(e, slot, true);
    if (!victim)
        victim = victim_of(e, slot, false);
    if (!victim)
        return false;
    engine_drop_pages(e, victim);
    e->counters.preemptions++;
    return true;
}

/* Takes pages for all tokens of slot. A slot that starts leaves some free: else those already at
 * work would soon take its pages back. */
static bool claim(struct engine *e, struct slot *slot, int working)
{
    const bool starts = !slot->pages;
    const struct slot *mate = starts && whole_pages(slot) ? mate_of(e, slot) : NULL;
    if (mate)
        share(e, slot, mate);
    const int spare = starts ? working / WORKING_PER_SPARE : 0;
    const int need = engine_pages_for(slot->length) - slot->pages;
    while (need > 0 && pages_free_count(e->pages) < need + spare)
        if (!preempt_one(e, slot)) {
            if (starts)
                engine_drop_pages(e, slot);
            return false;
        }
    for (int i = 0; i < need; i++)
        slot->page[slot->pages++] = pages_take(e->pages);
    return true;
}

void engine_claim_all(struct engine *e)
{
    bool behind = false; // someone older waits for room: nobody younger starts
    int working = 0;
    for (int i = 0; i < e->actives; i++) {
        struct slot *slot = e->active[i];
        slot->ready = false;
        if (slot->state != SLOT_RUNNING)
            continue;
        const bool starts = !slot->pages;
        if (starts && !behind && whole_pages(slot) && !mate_of(e, slot) && mate_is_coming(e, slot))
            continue;
        slot->ready = !(starts && behind) && claim(e, slot, working);
        working += slot->ready;
        behind = behind || !slot->ready;
        if (!slot->ready)
            slot->again = 0; // new weights do not wait for a slot without room
    }
}
