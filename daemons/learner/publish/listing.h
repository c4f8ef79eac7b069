/* The changes of the weights since the version published before, as a list (codec/changelist.h)
 * that the model's backend makes of the optimizer's marks. The list stays in the backend's memory,
 * where NCCL may read it, and its bytes come to the host in place of all values.
 *
 *     TRY(listing_new(model, &listing));                      -- takes all its memory
 *     TRY(listing_make(listing, model_values(model), marks, &piece));   -- EXHAUSTED: too many changes
 *     ... piece.bytes, piece.len ...
 *     listing_give_back(piece.place);                         -- any thread
 *
 * Two lists have room, so that one may be made while the one before is sent. Owner: the thread that
 * owns the model's backend, which outlives the listing. */
#pragma once
#include "base/scoped.h"
#include "model/model.h"

struct listing;
struct listing_place; // in the backend's memory

/* EXHAUSTED: there is not so much memory. */
err_t listing_new(const struct model *model, struct listing **ret);

/* Whether the layout's changes can be listed: no tensor has 2^32 elements. */
bool listing_can(const struct layout *layout);
size_t listing_bytes(const struct layout *layout); // in the backend's memory

struct listing_piece {
    uint8_t *bytes; // the host's copy; mem_free frees it
    size_t len;
    void *address; // of the same bytes in the backend's memory
    struct listing_place *place;
};
/* The marked elements of w, the model's flat array. EXHAUSTED: more than one in sixteen, or both
 * places are taken. */
err_t listing_make(struct listing *listing, const bf16 *w, const uint32_t *marks,
                   struct listing_piece *ret);
void listing_give_back(struct listing_place *place); // NULL is allowed
void listing_free(struct listing *listing);
DEFINE_SCOPED(listing)
