#include "learner/publish/listing.h"
#include "base/mem.h"
#include "svc/cell.h"
#include "weights/codec/changelist.h"

enum {
    PLACES = 2,
    SHARE = 16,        // one value in so many has room
    ROOM_LEAST = 4096, // values
};

struct listing_place {
    struct buffer memory;
    struct cell taken; // 1: somebody reads it
};

struct listing {
    struct backend *be;          // borrowed
    const struct layout *layout; // borrowed
    struct extent *extent;       // (tensors)
    uint32_t *count;             // (tensors)
    uint8_t *head;
    size_t room; // values
    struct listing_place place[PLACES];
};

static size_t room_of(const struct layout *layout)
{
    return layout->elements / SHARE + ROOM_LEAST;
}

bool listing_can(const struct layout *layout)
{
    for (int t = 0; t < layout->count; t++)
        if (layout->tensor[t].count > UINT32_MAX)
            return false;
    return true;
}

size_t listing_bytes(const struct layout *layout)
{
    return PLACES * changelist_bytes(layout, room_of(layout));
}

err_t listing_new(const struct model *model, struct listing **ret)
{
    SCOPED(listing) listing = mem_new(sizeof *listing);
    const struct layout *layout = model->params->layout;
    const size_t tensors = (size_t)layout->count;
    listing->be = model->be;
    listing->layout = layout;
    listing->room = room_of(layout);
    listing->extent = mem_array(tensors, sizeof *listing->extent);
    listing->count = mem_array(tensors, sizeof *listing->count);
    listing->head = mem_new(changelist_head_bytes(layout));
    for (size_t t = 0; t < tensors; t++)
        listing->extent[t] = (struct extent){layout->tensor[t].offset, layout->tensor[t].count};
    for (int i = 0; i < PLACES; i++)
        TRY(err_wrap(
            buffer_alloc(listing->be, listing_bytes(layout) / PLACES, &listing->place[i].memory),
            "room for lists of changed values"));
    *ret = STEAL(listing);
    return OK;
}

/* Behind the head's room. Then the head, as the counts are known. */
static err_t fill(struct listing *listing, struct listing_place *place, const bf16 *w,
                  const uint32_t *marks, size_t *ret_len)
{
    const size_t head = changelist_head_bytes(listing->layout);
    uint64_t changes = 0;
    TRY(listing->be->ops->changes_list(listing->be, w, marks, listing->extent,
                                       listing->layout->count, listing->room,
                                       (char *)place->memory.address + head, listing->count));
    for (int t = 0; t < listing->layout->count; t++)
        changes += listing->count[t];
    changelist_head(listing->layout, listing->count, listing->head);
    TRY(buffer_put(&place->memory, 0, listing->head, head));
    *ret_len = changelist_bytes(listing->layout, changes);
    return OK;
}

err_t listing_make(struct listing *listing, const bf16 *w, const uint32_t *marks,
                   struct listing_piece *ret)
{
    struct listing_place *place = NULL;
    size_t len = 0;
    for (int i = 0; i < PLACES; i++)
        if (cell_get(&listing->place[i].taken) == 0)
            place = &listing->place[i];
    if (!place)
        return err_new(ERR_EXHAUSTED, "both lists of changed values are still being sent");
    TRY(fill(listing, place, w, marks, &len));
    SCOPED_MEM uint8_t *bytes = mem_grow(NULL, len, 1);
    TRY(buffer_get(&place->memory, 0, len, bytes));
    cell_set(&place->taken, 1);
    *ret = (struct listing_piece){STEAL(bytes), len, place->memory.address, place};
    return OK;
}

void listing_give_back(struct listing_place *place)
{
    if (place)
        cell_set(&place->taken, 0);
}

void listing_free(struct listing *listing)
{
    if (!listing)
        return;
    for (int i = 0; i < PLACES; i++)
        buffer_done(&listing->place[i].memory);
    mem_free(listing->extent);
    mem_free(listing->count);
    mem_free(listing->head);
    mem_free(listing);
}
